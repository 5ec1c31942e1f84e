"""`doctor` in two real processes that add up numbers over gloo."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.process, pytest.mark.slow]

SCRIPT = """
import dataclasses, json, sys
from labelgraph_jax.cli import doctor
from labelgraph_jax.training.hosts import Hosts, leave
if len(sys.argv) > 3:
    real = doctor.version
    fake = {"optax": sys.argv[3]}
    doctor.version = lambda name: fake.get(name) or real(name)
doctor.SHARED_SECONDS = 1.0
hosts = Hosts(timeout=int(sys.argv[2]))
found = doctor.examine(hosts, workdir=sys.argv[1], megabytes=1)
doctor.print_examination(found)
print("SEEN " + json.dumps(found, default=dataclasses.asdict))
leave(found.exit_code)  # as the command line does; nothing is left to leave
sys.exit(found.exit_code)
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


def start(
    process: int,
    port: int,
    *arguments: str,
    cwd: Path | None = None,
    devices: int = 2,
) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={
            **os.environ,
            "PYTHONPATH": root,
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "LABELGRAPH_COORDINATOR": f"localhost:{port}",
            "LABELGRAPH_PROCESSES": "2",
            "LABELGRAPH_PROCESS_ID": str(process),
        },
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, dict[str, Any]]:
    """Exit code, everything printed, and the examination as JSON."""
    try:
        out, err = process.communicate(timeout=90)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    seen = [line for line in out.splitlines() if line.startswith("SEEN ")]
    return process.returncode, out + err, json.loads(seen[0][5:]) if seen else {}


def test_two_processes_find_each_other_add_up_and_share_a_folder(
    tmp_path: Path,
) -> None:
    workdir, port = str(tmp_path / "run"), free_port()
    both = [start(process, port, workdir, "60") for process in range(2)]
    (code, said, seen), (other_code, other_said, other) = [finish(p) for p in both]
    assert (code, other_code) == (0, 0), said + other_said
    assert "process 0 of 2 (environment); 4 devices" in said
    assert "all-reduce of 1 MiB per device over 4 devices" in said
    assert "no problem found" in said and "no problem found" not in other_said
    assert [own["process"] for own in seen["processes"]] == [0, 1]
    assert other["processes"] == seen["processes"] and other["process"] == 1
    assert not list(tmp_path.iterdir())


def test_another_version_and_another_folder_end_both_with_2(tmp_path: Path) -> None:
    port = free_port()
    for name in "ab":
        (tmp_path / name).mkdir()
    both = [
        start(0, port, "run", "60", cwd=tmp_path / "a"),
        start(1, port, "run", "60", "0.0.1", cwd=tmp_path / "b"),
    ]
    (code, said, seen), (other_code, _, other) = [finish(p) for p in both]
    assert (code, other_code) == (2, 2), said
    version = seen["processes"][0]["versions"]["optax"]
    expected = f"optax differ: {version} on process 0; 0.0.1 on process 1"
    assert f"problem: {expected}" in said
    assert "process 1: not the folder that process 0 writes to" in said
    assert other["problems"] == seen["problems"]


def test_processes_with_other_numbers_of_devices_both_say_so_and_end_with_2() -> None:
    port = free_port()
    both = [start(n, port, "", "60", devices=n + 1) for n in range(2)]
    (code, said, _), (other_code, other_said, _) = [finish(p) for p in both]
    assert (code, other_code) == (2, 2), said + other_said
    for text in (said, other_said):
        assert "devices differ: 1 x cpu on process 0; 2 x cpu on process 1" in text


def test_a_process_whose_partner_never_comes_ends_with_2_and_says_so() -> None:
    code, said, _ = finish(start(0, free_port(), "", "1"))
    assert code == 2
    assert "not all of 2 processes joined within 1 s (coordinator at localhost" in said
    assert "start the same command on every worker" in said
