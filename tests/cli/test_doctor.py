"""What `doctor` makes of a machine: decided from facts, and measured here."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import pytest

from labelgraph_jax.cli import doctor
from labelgraph_jax.cli.doctor import (
    GIB,
    Examination,
    Finding,
    add_up,
    differences,
    examine,
    examine_workdir,
    grouped,
    machine_accelerator,
    print_examination,
    process_facts,
    started_alone,
)
from labelgraph_jax.config.wording import spans
from labelgraph_jax.data.files import writing_trouble
from labelgraph_jax.runs.lock import WorkdirLock
from labelgraph_jax.training.hosts import Hosts, announced_workers

SCRIPT = """
import dataclasses, json, sys
from labelgraph_jax.cli.doctor import examine, print_examination
from labelgraph_jax.training.hosts import Hosts
found = examine(Hosts(), workdir=sys.argv[1], megabytes=1)
print_examination(found)
print(json.dumps(found, default=dataclasses.asdict))
sys.exit(found.exit_code)
"""
POD = {
    "TPU_WORKER_HOSTNAMES": "10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5",
    "TPU_WORKER_ID": "0",
}


def facts(process: int = 0) -> dict[str, Any]:
    """What a process of a machine of its own says of itself."""
    return {
        "process": process,
        "host": f"host{process}",
        "cores": 8,
        "memory_total": 64 * GIB,
        "memory_free": 32 * GIB,
        "folders": {"current folder": {"path": "/here", "free": None, "trouble": ""}},
        "versions": {"jax": "0.10.2", "code": "aa"},
        "platform": "gpu",
        "device_kinds": ["H100", "H100"],
        "device_memory": 80 * GIB,
    }


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
            "LABELGRAPH_PROCESS_ID (in a pod $JOB_COMPLETION_INDEX)",
        ),
        ({"LABELGRAPH_PROCESSES": "4"}, 4, "--process-id"),
    ],
)
def test_a_worker_started_alone_is_told_how_to_start_all(
    environment: dict[str, str], workers: int, how: str
) -> None:
    found = only(started_alone(environment, 1))
    assert "started on one worker only" in found.what
    assert f"{workers} workers" in found.what
    assert how in found.hint
    assert not started_alone(environment, workers)


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
    assert announced_workers(environment)[0] < 2
    assert not started_alone(environment, 1)


def test_an_accelerator_that_jax_does_not_see_asks_for_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    for kind, there, extra in (
        ("NVIDIA GPU", "an NVIDIA GPU", '`pip install -U "jax[cuda13]"` (NVIDIA'),
        ("TPU", "a TPU", '`pip install -U "jax[tpu]"`'),
    ):
        monkeypatch.setattr(doctor, "machine_accelerator", lambda kind=kind: kind)
        _, problems, _ = process_facts(0, "", jax.local_devices())
        ((what, hint),) = problems
        assert what == f"there is {there}, and JAX sees a CPU"
        assert hint.startswith(f"install JAX for it: {extra}")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert not process_facts(0, "", jax.local_devices())[1]


def test_findings_of_several_processes_are_said_once() -> None:
    everyone = [facts(n) for n in range(4)]
    cold, full = ("cold", "warm it"), ("full", "empty it")
    assert grouped(everyone, [[cold], [cold, full], [], [cold]]) == [
        Finding("processes 0-1, 3: cold", "warm it"),
        Finding("process 1 (host1): full", "empty it"),
    ]
    assert not grouped(everyone, [[], [], [], []])


def test_differing_versions_and_code_name_the_processes() -> None:
    package = only(differences("jax", ["0.10.2", "0.10.2", "0.10.1", "0.10.2"]))
    assert package.what == ("jax differ: 0.10.2 on process 0-1, 3; 0.10.1 on process 2")
    assert "constraints.txt" in package.hint
    code = only(differences("code", ["aa", "aa", "bb"]))
    assert code.what.startswith("the code of labelgraph_jax differ: aa on process 0-1")
    assert not differences("code", ["aa", "aa"])


def test_differing_devices_name_the_processes() -> None:
    found = only(differences("devices", ["2 x A", "1 x A", ""]))
    assert found.what == (
        "devices differ: 2 x A on process 0; 1 x A on process 1; none on process 2"
    )
    assert found.hint == "every process needs the same devices"


def test_a_wrong_sum_is_a_problem() -> None:
    count = jax.device_count()
    reduction, wrong = add_up(1, count)
    assert not wrong and reduction["devices"] == count
    _, wrong = add_up(1, count + 2)
    assert f"is {count} and must be {count + 2}" in only(wrong).what


def test_little_disk_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.files, "free_disk", lambda path: GIB)
    _, problems, notes = process_facts(0, "/full", [])
    assert not problems
    said = [what for what, _ in notes]
    assert "1.0 GiB free on the disk of the work directory (/full)" in said


def test_a_cache_that_cannot_be_written_is_a_problem_and_that_of_xla_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "file" / "x"))
    try:
        _, ((problem, hint),), ((note, other),) = process_facts(0, "", [])
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    assert problem == (
        f"the cache folder {tmp_path}/file/labelgraph_jax cannot be written: Not a "
        "directory"
    )
    assert hint == "name another with XDG_CACHE_HOME"
    assert note.startswith(f"the compilation cache {tmp_path}/file/x cannot be written")
    assert "JAX_COMPILATION_CACHE_DIR" in other


def test_a_device_that_does_not_compute_is_a_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> jax.Array:
        raise RuntimeError("RESOURCE_EXHAUSTED: out of\n memory")

    monkeypatch.setattr(jax, "device_put", fail)
    seen, ((what, _),), _ = process_facts(0, "", jax.local_devices())
    assert what == "the device does not compute: RESOURCE_EXHAUSTED: out of memory"
    assert len(seen["device_kinds"]) == jax.device_count()


def test_rising_numbers_are_short() -> None:
    assert spans([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert spans([]) == ""


def test_what_the_machine_holds_is_read_from_its_device_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("TPU_")]:
        monkeypatch.delenv(name)
    assert machine_accelerator(str(tmp_path)) == ""
    (tmp_path / "accel0").touch()
    assert machine_accelerator(str(tmp_path)) == ""
    monkeypatch.setenv("TPU_WORKER_ID", "0")
    assert machine_accelerator(str(tmp_path)) == "TPU"
    (tmp_path / "nvidia0").touch()
    assert machine_accelerator(str(tmp_path)) == "NVIDIA GPU"


def test_memory_may_be_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise FileNotFoundError("/proc/meminfo")

    monkeypatch.setattr("psutil.virtual_memory", fail)
    seen = process_facts(0, str(tmp_path), [])[0]
    assert seen["memory_total"] is None and seen["memory_free"] is None
    print_examination(examination([seen]))
    assert "free: unknown of unknown GiB RAM, " in capsys.readouterr().out


def test_a_package_that_is_not_installed_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "NEEDS", "jax no-such-package")
    versions = process_facts(0, "", [])[0]["versions"]
    assert versions["jax"] == jax.__version__
    assert versions["no-such-package"] == "absent"


def test_the_flags_and_the_environment_say_which_processes_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert examine(Hosts("a:1")).found_by == "flags"
    monkeypatch.setenv("LABELGRAPH_COORDINATOR", "a:1")
    assert examine(Hosts()).found_by == "environment"


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
    assert "cannot be written: Not a directory" in writing_trouble(
        tmp_path / "file" / "cache"
    )


def test_a_work_directory_in_use_is_a_problem(tmp_path: Path) -> None:
    with WorkdirLock(tmp_path):
        found, held = examine_workdir(str(tmp_path))
    assert f"process {os.getpid()} on " in held
    assert only(found).what == f"--workdir {tmp_path} is in use: {held}"
    assert examine_workdir(str(tmp_path)) == ([], "")


def test_settings_that_contradict_each_other_are_a_problem() -> None:
    found = examine(Hosts(coordinator="localhost:1"))
    assert found.exit_code == 2 and not found.shared
    assert "--processes and --process-id not given" in found.problems[0].what
    late = examine(Hosts(timeout=0))
    assert "--timeout must be at least 1 s, got 0" in late.problems[0].what


def test_an_all_reduce_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="--megabytes must be at least 1, got 0"):
        examine(Hosts(), megabytes=0)


def test_a_backend_that_does_not_start_gets_a_hint_for_its_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise RuntimeError("Unable to initialize backend 'tpu': ABORTED:\n in use")

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    for kind, hint in (
        ("TPU", "is another process using the TPU?"),
        ("NVIDIA GPU", "does `nvidia-smi` work here?"),
        ("", "JAX_PLATFORMS=cpu runs without an accelerator"),
    ):
        monkeypatch.setattr(doctor, "machine_accelerator", lambda kind=kind: kind)
        found = examine(Hosts())
        assert found.exit_code == 2 and not found.shared
        problem = only(found.problems)
        assert problem.what == (
            "JAX finds no devices: Unable to initialize backend 'tpu': ABORTED: in use"
        )
        assert hint in problem.hint
    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    assert "JAX_PLATFORMS is 'tpu'" in only(examine(Hosts()).problems).hint


def test_a_platform_that_jax_only_asserts_is_a_problem_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise AssertionError  # what JAX does for JAX_PLATFORMS=cuda without its plugin

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    problem = only(examine(Hosts()).problems)
    assert problem.what == "JAX finds no devices: it does not say why"
    assert "JAX_PLATFORMS is 'cuda'" in problem.hint


def examination(
    processes: list[dict[str, Any]], process: int = 0, problems: Sequence[Finding] = ()
) -> Examination:
    """What was found with one device for each process."""
    count, code = len(processes), 2 if problems else 0
    here = (process, count, "flags", count, processes, None, "", "")
    return Examination(*here, list(problems), [], True, code)


def test_other_processes_print_only_what_they_alone_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    problem = Finding("the others did not join", "start them")
    seen = examination([facts(0), facts(1)], 1, [problem])
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
    assert own["device_kinds"] == ["cpu"] * 8
    assert own["versions"]["jax"] == jax.__version__
    assert not (tmp_path / "run").exists()


@pytest.mark.process
def test_a_real_run_on_one_worker_of_four_ends_with_2() -> None:
    ran = run_doctor("", XLA_FLAGS="", SLURM_NTASKS="4", SLURM_STEP_NUM_TASKS="1")
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "SLURM_NTASKS speaks of 4 workers" in ran.stdout
    assert "`srun labelgraph ...`" in ran.stdout
    assert "all-reduce: not timed with one device" in ran.stdout
