"""The JobSet that gke.sh writes: YAML, by the schema, with what was asked for."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tpu_scripts.places import CLUSTER, GPU, IMAGE, TPU
from tests.tpu_scripts.shell import SCRIPTS, Shell

SCHEMA = json.loads((Path(__file__).parent / "jobset_schema.json").read_text())
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "number": (int, float),
}
COMMAND = ["labelgraph", "train", "--workdir", "/mnt/work/r", "--data"]
COMMAND = [*COMMAND, 'it\'s "q" \\ & $(HOME) $$ $x\ttab\nline é']


def complaints(value: Any, schema: dict[str, Any], where: str = "") -> list[str]:
    """What is wrong by the part of JSON Schema that our schema uses."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        return complaints(value, SCHEMA["$defs"][name], where)
    names = schema.get("type", [])
    names = names if isinstance(names, list) else [names]
    fits = [isinstance(value, TYPES[name]) for name in names]
    if isinstance(value, bool) and "boolean" not in names:
        fits = [False]
    if names and not any(fits):
        return [f"{where}: must be {' or '.join(names)}; got {value!r}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: must be one of {schema['enum']}; got {value!r}")
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        for missing in set(schema.get("required", [])) - set(value):
            found.append(f"{where}: must have {missing}")
        for key, item in value.items():
            if key in fields:
                found += complaints(item, fields[key], f"{where}.{key}")
            elif others is False:
                found.append(f"{where}: knows no {key}")
            elif isinstance(others, dict):
                found += complaints(item, others, f"{where}.{key}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += complaints(item, schema["items"], f"{where}[{number}]")
    return found


def manifest(shell: Shell, *options: str, command: list[str] = COMMAND) -> dict:
    result = shell.run("gke.sh", "manifest", *options, "--", *command)
    assert result.returncode == 0, result.stderr
    return yaml.safe_load(result.stdout)


def pod_spec(jobset: dict) -> dict:
    (job,) = jobset["spec"]["replicatedJobs"]
    return job["template"]["spec"]["template"]["spec"]


CLAIM = ["--image", "host/labelgraph:1", "--claim", "filestore"]


@pytest.mark.parametrize("place", [TPU, GPU], ids=["tpu", "gpu"])
@pytest.mark.parametrize("storage", [IMAGE, CLAIM], ids=["bucket", "claim"])
def test_the_manifest_fits_the_schema(
    shell: Shell, place: list[str], storage: list[str]
) -> None:
    assert complaints(manifest(shell, *place, *storage), SCHEMA) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["spec", "replicatedJobs", 0, "template", "spec", "paralelism"], 4),
        (["spec", "failurePolicy", "maxRestarts"], "ten"),
        (["kind"], "Job"),
        (["spec", "replicatedJobs", 0, "template", "spec", "template", "spec"], {}),
    ],
)
def test_the_schema_catches_what_a_cluster_would_refuse(
    shell: Shell, path: list, value: Any
) -> None:
    jobset = manifest(shell, *TPU, *IMAGE)
    inner = jobset
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert len(complaints(jobset, SCHEMA)) == 1


def test_a_tpu_slice_has_a_pod_per_host_and_its_chips(shell: Shell) -> None:
    jobset = manifest(shell, *TPU, *IMAGE, "--restarts", "3", "--grace", "60")
    assert jobset["metadata"]["name"] == "run-1"
    assert jobset["spec"]["failurePolicy"] == {"maxRestarts": 3}
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert (job["parallelism"], job["completions"], job["backoffLimit"]) == (4, 4, 0)
    spec = pod_spec(jobset)
    assert spec["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
    }
    assert spec["terminationGracePeriodSeconds"] == 60
    (container,) = spec["containers"]
    assert container["image"] == "host/labelgraph:1"
    assert container["resources"]["limits"] == {"google.com/tpu": 4}
    assert "env" not in container


def test_gpu_pods_are_told_where_to_meet_and_who_they_are(shell: Shell) -> None:
    jobset = manifest(shell, *GPU, *IMAGE)
    (container,) = pod_spec(jobset)["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 2}
    number = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    assert container["env"] == [
        {"name": "LABELGRAPH_COORDINATOR", "value": "run-1-workers-0-0.run-1:8476"},
        {"name": "LABELGRAPH_PROCESSES", "value": "3"},
        {
            "name": "LABELGRAPH_PROCESS_ID",
            "valueFrom": {"fieldRef": {"fieldPath": number}},
        },
    ]
    assert jobset["spec"]["network"]["enableDNSHostnames"] is True


def test_the_command_survives_yaml_and_kubernetes_variables(shell: Shell) -> None:
    (container,) = pod_spec(manifest(shell, *TPU, *IMAGE))["containers"]
    # Kubernetes reads $$ as $ and leaves a lone $ alone; $(NAME) must not be left.
    command = [word.replace("$$", "$") for word in container["command"]]
    assert command[:2] == ["/bin/sh", "-c"]
    assert command[3:] == ["pod", *COMMAND]
    assert command[2] == (SCRIPTS / "gke/pod.sh").read_text().rstrip("\n")


def test_run_applies_the_manifest_that_manifest_prints(shell: Shell) -> None:
    assert shell.run("gke.sh", "run", *GPU, *IMAGE, "--", *COMMAND).returncode == 0
    (arguments, piped) = shell.recorded()[0]
    assert arguments[-3:] == ["apply", "-f", "-"]
    assert yaml.safe_load(piped) == manifest(shell, *GPU, *IMAGE)


def test_the_doctor_uses_the_run_s_nodes_under_a_name_of_its_own(shell: Shell) -> None:
    assert shell.run("gke.sh", "setup", *GPU, *IMAGE).returncode == 0
    (piped,) = (piped for _, piped in shell.recorded() if piped)
    jobset = yaml.safe_load(piped)
    assert jobset["metadata"]["name"] == "run-1-doctor"
    assert jobset["spec"]["failurePolicy"] == {"maxRestarts": 0}
    spec = pod_spec(jobset)
    assert spec["nodeSelector"]["cloud.google.com/gke-nodepool"] == "run-1"
    (container,) = spec["containers"]
    assert container["command"][-2:] == ["labelgraph", "doctor"]
    assert container["env"][0]["value"].startswith("run-1-doctor-workers-0-0.run-1-")


def test_the_chips_of_another_machine_decide_the_hosts(shell: Shell) -> None:
    place = [*CLUSTER, "--machine-type", "ct6e-standard-8t", "--topology", "2x4"]
    job = manifest(shell, *place, *IMAGE)["spec"]["replicatedJobs"][0]
    assert job["template"]["spec"]["parallelism"] == 1
    create = "\n".join(shell.dry("gke.sh", "create", *place))
    assert "--num-nodes=1" in create
    assert "--tpu-topology" not in create


def run_pod(script: str) -> subprocess.Popen:
    command = ["/bin/sh", str(SCRIPTS / "gke/pod.sh"), "bash", "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("status", [0, 5])
def test_a_pod_left_alone_ends_as_its_command_does(status: int) -> None:
    pod = run_pod(f"exit {status}")
    pod.communicate(timeout=20)
    assert pod.returncode == status


@pytest.mark.parametrize(("status", "expected"), [(0, 143), (5, 5)])
def test_a_pod_told_to_stop_waits_for_the_checkpoint_and_does_not_look_finished(
    status: int, expected: int
) -> None:
    save = f"trap 'sleep 0.3; echo saved; exit {status}' TERM"
    pod = run_pod(f"{save}; echo ready; while :; do sleep 0.05; done")
    assert pod.stdout is not None
    assert pod.stdout.readline() == "ready\n"
    time.sleep(0.05)
    os.kill(pod.pid, signal.SIGTERM)
    output, _ = pod.communicate(timeout=20)
    assert output == "saved\n"
    assert pod.returncode == expected
