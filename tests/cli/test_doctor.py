"""What `doctor` makes of a machine: decided from facts, and measured here."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from labelgraph_jax.cli.doctor import machine
from labelgraph_jax.cli.doctor.checks import (
    backend_failure,
    differing_devices,
    notes_of,
    problems_of,
)
from labelgraph_jax.cli.doctor.examination import Examination, examine, how_found
from labelgraph_jax.cli.doctor.facts import GIB, Finding, Folder, ProcessFacts, spans
from labelgraph_jax.cli.doctor.folder import examine_workdir
from labelgraph_jax.cli.doctor.machine import (
    gpu_names,
    machine_accelerator,
    read_memory,
    writing_trouble,
)
from labelgraph_jax.cli.doctor.tables import print_examination
from labelgraph_jax.cli.doctor.timing import expected_sum, wrong_sum
from labelgraph_jax.cli.doctor.workers import (
    announced_workers,
    started_alone,
    tpu_devices,
)
from labelgraph_jax.runs.lock import WorkdirLock
from labelgraph_jax.training.hosts import Hosts

SCRIPT = """
import json, sys
from labelgraph_jax.cli.doctor import examine, print_examination
from labelgraph_jax.training.hosts import Hosts
found = examine(Hosts(), workdir=sys.argv[1], megabytes=1)
print_examination(found)
print(json.dumps(found.to_json()))
sys.exit(found.exit_code)
"""
POD = {
    "TPU_WORKER_HOSTNAMES": "10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5",
    "TPU_WORKER_ID": "0",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
}
HEALTHY = ProcessFacts(
    process=0,
    host="a",
    cores=8,
    memory_total=64 * GIB,
    memory_free=32 * GIB,
    folders={
        "current folder": Folder("/here", 100 * GIB),
        "cache folder": Folder("/cache", 100 * GIB),
    },
    versions={"jax": "0.10.2", "code": "aa"},
    platform="gpu",
    device_kinds=("H100", "H100"),
    gpus=("GPU-1", "GPU-2"),
    accelerator="NVIDIA GPU",
    plugin=True,
    teraflops=400.0,
)


def facts(process: int = 0, **changes: object) -> ProcessFacts:
    """A healthy GPU machine of its own, but for the changes."""
    own = {"process": process, "host": f"host{process}", **changes}
    return dataclasses.replace(HEALTHY, **own)


def run_doctor(workdir: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, workdir],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


@pytest.mark.parametrize(
    ("environment", "workers", "how"),
    [
        ({"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "1"}, 4, "srun"),
        ({"SLURM_JOB_NUM_NODES": "2", "SLURM_NTASKS": "1"}, 2, "srun"),
        ({"OMPI_COMM_WORLD_SIZE": "3"}, 3, "mpirun -n"),
        (POD, 4, "--worker=all"),
        ({"MEGASCALE_NUM_SLICES": "2"}, 2, "of every slice"),
        ({**POD, "MEGASCALE_NUM_SLICES": "2"}, 8, "of every slice"),
        (
            {"LABELGRAPH_PROCESSES": "4", "JOB_COMPLETION_INDEX": "0"},
            4,
            "LABELGRAPH_PROCESS_ID to $JOB_COMPLETION_INDEX",
        ),
        ({"LABELGRAPH_PROCESSES": "4"}, 4, "--process-id"),
    ],
)
def test_a_worker_started_alone_is_told_how_to_start_all(
    environment: dict[str, str], workers: int, how: str
) -> None:
    found = only(started_alone(environment, 1, 4, "tpu"))
    assert "started on one worker only" in found.what
    assert f"{workers} workers" in found.what
    assert how in found.hint
    assert not started_alone(environment, workers, 4 * workers, "tpu")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_NTASKS": "1", "SLURM_JOB_NUM_NODES": "1"},
        {"TPU_WORKER_HOSTNAMES": "localhost", "MEGASCALE_NUM_SLICES": "1"},
        {"OMPI_COMM_WORLD_SIZE": "", "SLURM_NTASKS": "four"},
    ],
)
def test_one_machine_is_no_worker_of_several(environment: dict[str, str]) -> None:
    assert announced_workers(environment) is None
    assert not started_alone(environment, 1, 1, "cpu")


def test_a_pod_with_fewer_devices_than_its_type_says_was_started_in_part() -> None:
    environment = {"TPU_ACCELERATOR_TYPE": "v5litepod-16"}
    alone = only(started_alone(environment, 1, 4, "tpu"))
    assert "started on one worker only: v5litepod-16 has 16 devices" in alone.what
    assert "--worker=all" in alone.hint
    some = only(started_alone(environment, 2, 8, "tpu"))
    assert "on some workers only" in some.what
    assert not started_alone(environment, 4, 16, "tpu")
    asked = {**environment, "TPU_VISIBLE_CHIPS": "0"}
    assert not started_alone(asked, 1, 1, "tpu")


def test_the_type_of_a_tpu_gives_its_devices() -> None:
    types = {
        "v2-8": 8,
        "v3-32": 32,
        "v4-16": 8,
        "v5p-128": 64,
        "v5litepod-16": 16,
        "v6e-8": 8,
        "v99-8": None,
        "": None,
    }
    assert {name: tpu_devices(name) for name in types} == types


def test_healthy_machines_have_neither_problem_nor_note() -> None:
    machines = [facts(0), facts(1)]
    assert not problems_of(machines)
    assert not notes_of(machines, {})


def test_a_gpu_that_jax_does_not_see_asks_for_the_extra() -> None:
    blind = facts(platform="cpu", device_kinds=("cpu",), gpus=(), plugin=False)
    found = only(problems_of([blind]))
    assert found.what == "process 0 (host0): there is an NVIDIA GPU, and JAX sees a CPU"
    assert "jax[cuda13]" in found.hint and "jax[cuda12]" in found.hint
    installed = dataclasses.replace(blind, plugin=True)
    assert "did not load" in only(problems_of([installed])).hint


def test_a_tpu_that_jax_does_not_see_asks_for_its_extra() -> None:
    blind = facts(platform="cpu", accelerator="TPU", gpus=(), plugin=False)
    assert "jax[tpu]" in only(problems_of([blind])).hint


def test_a_cpu_that_was_asked_for_is_a_note() -> None:
    asked = facts(platform="cpu", gpus=(), platforms="cpu")
    assert not problems_of([asked])
    assert "JAX_PLATFORMS asks for the CPU" in only(notes_of([asked], {})).what


def test_differing_versions_and_code_name_the_processes() -> None:
    machines = [facts(n) for n in range(4)]
    other = {"jax": "0.10.1", "code": "bb"}
    machines[2] = facts(2, versions=other)
    code, package = problems_of(machines)
    assert package.what == ("jax differ: 0.10.2 on process 0-1, 3; 0.10.1 on process 2")
    assert "constraints.txt" in package.hint
    assert code.what.startswith("the code of labelgraph_jax differ: aa on process 0-1")


def test_differing_devices_name_the_processes() -> None:
    found = only(differing_devices([["A", "A"], ["A"], ["B", "B"]]))
    assert found.what == (
        "devices differ: 2 x A on process 0; 1 x A on process 1; 2 x B on process 2"
    )
    assert not differing_devices([["A"], ["A"]])


def test_processes_of_one_host_must_not_share_a_gpu() -> None:
    together = [facts(0, host="a"), facts(1, host="a")]
    found = only(problems_of(together))
    assert found.what == "processes 0-1 on a use the same GPUs (2)"
    assert "--gpus-per-task=1" in found.hint
    apart = [facts(0, host="a", gpus=("GPU-1",)), facts(1, host="a", gpus=("GPU-2",))]
    assert not problems_of(apart)


def test_a_gpu_has_one_name_whatever_a_process_is_shown() -> None:
    unique = ["GPU-a", "GPU-b"]
    assert gpu_names([0, 1], "", unique) == ("GPU-a", "GPU-b")
    assert gpu_names([0], "1", unique) == ("GPU-b",)
    assert gpu_names([0], "GPU-b", unique) == ("GPU-b",)
    assert gpu_names([0], "0", ["GPU-b"]) == ("GPU-b",)  # Slurm shows only its share
    assert gpu_names([1], "", []) == ("1",)


def test_a_wrong_sum_is_a_problem() -> None:
    assert expected_sum([["A", "A"], ["A", "A"]]) == 6
    assert not wrong_sum(6, 6)
    assert "is 4 and must be 6" in only(wrong_sum(4, 6)).what


def test_little_disk_or_memory_and_a_slow_process_are_notes() -> None:
    full = facts(folders={"current folder": Folder("/full", GIB)})
    found = only(notes_of([full], {}))
    assert "1.0 GiB free on the disk of the current folder (/full)" in found.what
    tight = facts(memory_free=GIB)
    assert "1.0 GiB of RAM left" in only(notes_of([tight], {})).what
    machines = [facts(0), facts(1), facts(2, teraflops=100.0)]
    slow = only(notes_of(machines, {}))
    assert slow.what == ("process 2 (host2) is slow: 100 TFLOP/s, the median is 400")


def test_forced_cpu_devices_and_a_pod_of_its_own_are_notes() -> None:
    forced = facts(host_devices=8)
    assert "look like 8 devices" in only(notes_of([forced], {})).what
    indexed = notes_of([facts()], {"JOB_COMPLETION_INDEX": "3"})
    assert "this pod is one of an indexed job" in only(indexed).what


def test_a_cache_that_cannot_be_written_is_a_problem_and_that_of_xla_a_note() -> None:
    closed = Folder("/closed", 100 * GIB, "Permission denied")
    found = only(problems_of([facts(folders={"cache folder": closed})]))
    assert "the cache folder /closed cannot be written: Permission" in found.what
    assert "XDG_CACHE_HOME" in found.hint
    compiled = [facts(folders={"compilation cache": closed})]
    assert not problems_of(compiled)
    assert "JAX_COMPILATION_CACHE_DIR" in only(notes_of(compiled, {})).hint


def test_a_device_without_memory_left_is_a_problem() -> None:
    broken = facts(device_trouble="RESOURCE_EXHAUSTED", teraflops=None)
    assert "does not compute: RESOURCE_EXHAUSTED" in only(problems_of([broken])).what


def test_a_backend_that_fails_gets_a_hint_for_its_machine() -> None:
    reason = "Unable to initialize backend 'tpu': ABORTED:\n in use"
    tpu = backend_failure(reason, facts(accelerator="TPU"))
    assert "backend 'tpu': ABORTED: in use" in tpu.what
    assert "another process using the TPU" in tpu.hint
    named = backend_failure(reason, facts(platforms="tpu"))
    assert "JAX_PLATFORMS is 'tpu'" in named.hint
    assert "nvidia-smi" in backend_failure(reason, facts()).hint


def test_rising_numbers_are_short() -> None:
    assert spans([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert spans([]) == ""


def test_what_the_machine_holds_is_read_from_its_device_files(tmp_path: Path) -> None:
    assert machine_accelerator({}, str(tmp_path)) == ""
    (tmp_path / "accel0").touch()
    assert machine_accelerator({}, str(tmp_path)) == ""
    assert machine_accelerator(POD, str(tmp_path)) == "TPU"
    (tmp_path / "nvidia0").touch()
    assert machine_accelerator({}, str(tmp_path)) == "NVIDIA GPU"


def test_memory_counts_a_container_limit_and_may_be_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, free = read_memory(str(tmp_path))
    assert total is not None and free is not None and 0 < free < total
    (tmp_path / "memory.max").write_text("1048576\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert read_memory(str(tmp_path)) == (2**20, 48576)
    monkeypatch.setattr("psutil.PROCFS_PATH", str(tmp_path))
    if sys.platform == "linux":
        assert read_memory(str(tmp_path)) == (None, None)


def test_a_device_is_reported_when_jax_cannot_compute_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(device: jax.Device) -> float:
        raise RuntimeError("RESOURCE_EXHAUSTED: out of\n memory")

    monkeypatch.setattr(machine, "time_matrix_product", fail)
    seen = machine.device_facts(ProcessFacts(process=0), {})
    assert seen.device_trouble == "RESOURCE_EXHAUSTED: out of memory"
    assert seen.teraflops is None and len(seen.device_kinds) == jax.device_count()


def test_who_said_which_processes_there_are() -> None:
    flags = Hosts("localhost:1", 2, 0)
    slurm = {"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}
    assert how_found(flags, {}, True) == "flags"
    assert how_found(Hosts(), {"LABELGRAPH_COORDINATOR": "a:1"}, True) == "environment"
    assert how_found(Hosts(), slurm, True) == "Slurm"
    assert how_found(Hosts(), {}, False) == "alone"


def test_a_work_directory_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    new = tmp_path / "runs" / "new"
    assert examine_workdir(str(new)) == ([], "")
    assert not (tmp_path / "runs").exists()
    assert examine_workdir(str(tmp_path)) == ([], "")
    assert not list(tmp_path.iterdir())


def test_a_work_directory_that_cannot_be_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found, _ = examine_workdir(str(tmp_path / "file" / "run"))
    assert "process 0: cannot be written: Not a directory" in only(found).what
    found, _ = examine_workdir("gs://bucket/run")
    assert "must be a folder of a file system" in only(found).what
    assert "Not a directory" in writing_trouble(tmp_path / "file" / "cache")


def test_a_work_directory_in_use_is_a_problem(tmp_path: Path) -> None:
    with WorkdirLock(tmp_path):
        found, held = examine_workdir(str(tmp_path))
    assert f"process {os.getpid()} on " in held
    assert only(found).what == f"--workdir {tmp_path} is in use: {held}"
    assert examine_workdir(str(tmp_path)) == ([], "")


def test_settings_that_contradict_each_other_are_a_problem() -> None:
    found = examine(Hosts(coordinator="localhost:1"), environment={})
    assert found.exit_code == 2 and not found.shared
    assert "--processes and --process-id not given" in found.problems[0].what
    late = examine(Hosts(timeout=0), environment={})
    assert "--timeout must be at least 1 s, got 0" in late.problems[0].what


def test_an_all_reduce_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="--megabytes must be at least 1, got 0"):
        examine(Hosts(), megabytes=0)


def test_a_backend_that_does_not_start_is_a_problem_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise RuntimeError("Unable to initialize backend 'cuda': no device")

    monkeypatch.setattr(jax, "devices", fail)
    found = examine(Hosts(), environment={})
    assert found.exit_code == 2
    assert "Unable to initialize backend 'cuda'" in found.problems[0].what


def test_other_processes_print_only_what_they_alone_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    problem = (Finding("the others did not join", "start them"),)
    seen = Examination(
        1, 2, "flags", 2, (facts(0), facts(1)), None, "", "", problem, (), True
    )
    print_examination(seen)
    assert capsys.readouterr().out == ""
    print_examination(dataclasses.replace(seen, shared=False))
    assert "problem: the others did not join\n  start them" in capsys.readouterr().out


@pytest.mark.process
def test_eight_devices_of_this_machine_add_up_and_nothing_is_wrong(
    tmp_path: Path,
) -> None:
    ran = run_doctor(
        str(tmp_path / "run"), XLA_FLAGS="--xla_force_host_platform_device_count=8"
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "process 0 of 1 (alone); 8 devices" in ran.stdout
    assert "all-reduce of 1 MiB per device over 8 devices" in ran.stdout
    assert "no problem found" in ran.stdout
    seen = json.loads(ran.stdout.splitlines()[-1])
    reduction, own = seen["all_reduce"], seen["processes"][0]
    sent = 2 * 7 / 8 * 2**20 / reduction["seconds"] / 1e9
    assert reduction["gigabytes_per_second"] == pytest.approx(sent)
    assert own["host_devices"] == 8 and own["teraflops"] > 0
    assert own["versions"]["jax"] == jax.__version__
    assert any("look like 8 devices" in note["what"] for note in seen["notes"])
    assert not (tmp_path / "run").exists()


@pytest.mark.process
def test_a_real_run_on_one_worker_of_four_ends_with_2() -> None:
    ran = run_doctor("", XLA_FLAGS="", SLURM_NTASKS="4", SLURM_STEP_NUM_TASKS="1")
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "SLURM_NTASKS speaks of 4 workers" in ran.stdout
    assert "`srun labelgraph ...`" in ran.stdout
    assert "all-reduce: not timed with one device" in ran.stdout
