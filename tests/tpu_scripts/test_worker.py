"""What happens on a worker: worker.sh itself, and the Slurm job, run for real."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.tpu_scripts.shell import SCRIPTS, Shell

SAVES = "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def home(shell: Shell) -> Path:
    """A worker's folder whose `labelgraph` prints its words, one per line."""
    binaries = shell.folder / "labelgraph/venv/bin"
    binaries.mkdir(parents=True)
    (binaries / "labelgraph").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (binaries / "labelgraph").chmod(0o755)
    # The fakes must not stand in for the worker's own tail.
    (shell.folder / "tools/tail").unlink()
    return shell.folder / "labelgraph"


def wait_for(shell: Shell, text: str) -> str:
    for _ in range(100):
        output = shell.run("worker.sh", "status").stdout
        if text in output:
            return output
        time.sleep(0.05)
    raise AssertionError(f"expected {text}, got {output}")


def test_exec_runs_in_the_environment_and_the_folder(shell: Shell, home: Path) -> None:
    result = shell.run("worker.sh", "exec", "--", "labelgraph", "a b", "it's")
    assert result.stdout == "a b\nit's\n"
    assert shell.run("worker.sh", "exec", "--", "pwd").stdout == f"{home}\n"


def test_a_run_goes_on_alone_logs_and_tells_how_it_ended(
    shell: Shell, home: Path
) -> None:
    assert "never started" in shell.run("worker.sh", "status").stdout
    result = shell.run("worker.sh", "start", "--", "labelgraph", "it's here")
    assert result.returncode == 0, result.stderr
    wait_for(shell, "finished, exit status 0")
    assert "it's here" in shell.run("worker.sh", "logs").stdout.splitlines()
    shell.run("worker.sh", "start", "--", "bash", "-c", "exit 9")
    wait_for(shell, "finished, exit status 9")


def test_stop_lets_the_run_save_and_a_second_run_must_wait(
    shell: Shell, home: Path
) -> None:
    started = shell.run("worker.sh", "start", "--", "bash", "-c", SAVES)
    assert "running, pid" in started.stdout
    second = shell.run("worker.sh", "start", "--", "labelgraph")
    assert second.returncode == 2
    assert "one run at a time must be live" in second.stderr
    for _ in range(100):
        if "ready" in (home / "run.log").read_text():
            break
        time.sleep(0.05)
    assert "finished, exit status 0" in shell.run("worker.sh", "stop").stdout
    assert (home / "run.log").read_text().splitlines()[-1] == "saved"


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["exec", "ls"], ["start", "--"], ["setup", "--jax", "quantum"]],
)
def test_a_worker_refuses_what_it_does_not_know(
    shell: Shell, home: Path, arguments: list[str]
) -> None:
    result = shell.run("worker.sh", *arguments)
    assert result.returncode == 2
    assert "must" in result.stderr and "got" in result.stderr


def test_the_slurm_job_s_directives_are_what_a_resumable_job_needs() -> None:
    lines = (SCRIPTS / "slurm/job.sbatch").read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    directives = []
    for line in lines[1:]:
        if not line.startswith("#"):
            break
        if line.startswith("#SBATCH "):
            directives.append(line.removeprefix("#SBATCH "))
    assert all(re.fullmatch(r"--[a-z-]+(=\S+)?", one) for one in directives)
    assert "--signal=TERM@120" in directives
    assert "--requeue" in directives
    assert "--open-mode=append" in directives


def job(
    shell: Shell, home: Path, ends_in: int, status: int = 0, restarts: int = 0
) -> tuple[int, list[str]]:
    """The job with srun running its command here, and a clock that Slurm would have."""
    tools = shell.folder / "tools"
    requeued = shell.folder / "requeued"
    (tools / "srun").write_text('#!/usr/bin/env bash\nshift\nexec "$@"\n')
    now = int(time.time())
    (tools / "squeue").write_text(f"#!/bin/sh\necho {now + ends_in}\n")
    (tools / "scontrol").write_text(f'#!/bin/sh\necho "$@" >>{requeued}\n')
    (tools / "sleep").write_text("#!/bin/sh\n")
    for tool in tools.iterdir():
        tool.chmod(0o755)
    (home / "tpu_scripts").symlink_to(SCRIPTS)
    result = subprocess.run(
        ["bash", str(SCRIPTS / "slurm/job.sbatch"), "bash", "-c", f"exit {status}"],
        env=shell.environment
        | {
            "LABELGRAPH_HOME": str(home),
            "SLURM_JOB_ID": "17",
            "SLURM_JOB_NODELIST": "n[1-2]",
            "SLURM_RESTART_COUNT": str(restarts),
            "LABELGRAPH_MAX_REQUEUES": "5",
        },
        capture_output=True,
        text=True,
        timeout=30,
    )
    (home / "tpu_scripts").unlink()
    calls = requeued.read_text().splitlines() if requeued.exists() else []
    return result.returncode, calls


def test_a_slurm_job_out_of_time_goes_back_into_the_queue(
    shell: Shell, home: Path
) -> None:
    assert job(shell, home, ends_in=100) == (0, ["requeue 17"])


def test_a_finished_slurm_job_does_not(shell: Shell, home: Path) -> None:
    assert job(shell, home, ends_in=4000) == (0, [])


def test_a_failed_slurm_job_does_not_either(shell: Shell, home: Path) -> None:
    assert job(shell, home, ends_in=100, status=3) == (3, [])


def test_a_slurm_job_that_never_ends_is_not_restarted_for_ever(
    shell: Shell, home: Path
) -> None:
    assert job(shell, home, ends_in=100, restarts=5) == (0, [])


def test_a_slurm_job_without_a_command_is_refused(shell: Shell) -> None:
    result = shell.run("slurm/job.sbatch")
    assert result.returncode == 2
    assert "a command must be given" in result.stderr


def test_the_files_that_setup_packs_exist() -> None:
    packed = re.search(
        r"pyproject\.toml .*$", (SCRIPTS / "lib.sh").read_text(), flags=re.M
    )
    assert packed is not None
    for name in packed[0].split():
        assert (SCRIPTS.parent / name).exists()
    assert os.access(SCRIPTS / "worker.sh", os.R_OK)
