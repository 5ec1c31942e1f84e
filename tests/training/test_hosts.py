"""Processes find each other, agree, or say in one line why they do not."""

import importlib.machinery
import importlib.util
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import jax
import pytest

from labelgraph_jax.training import hosts
from labelgraph_jax.training.hosts import (
    Hosts,
    HostsError,
    gather_text,
    initialise,
    is_first,
    leave,
    on_first,
    require_same,
    scheduler,
    together,
)

ROOT = Path(__file__).parents[2]
GIVEN = {
    "LABELGRAPH_COORDINATOR": "head:1234",
    "LABELGRAPH_PROCESSES": "4",
    "LABELGRAPH_PROCESS_ID": "3",
}


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def without_libtpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def test_empty_fields_are_filled_from_the_environment() -> None:
    assert Hosts(timeout=7).filled(GIVEN) == Hosts("head:1234", 4, 3, 7)


def test_what_is_given_comes_before_the_environment() -> None:
    given = Hosts("other:1", 2, 0)
    assert given.filled(GIVEN) == given
    assert Hosts(process_id=0).filled(GIVEN) == Hosts("head:1234", 4, 0)


def test_an_empty_environment_gives_nobody() -> None:
    empty = Hosts().filled(dict.fromkeys(GIVEN, ""))
    assert empty == Hosts()
    assert not empty.is_given
    assert Hosts().filled(GIVEN).is_given


@pytest.mark.parametrize(
    ("given", "environment", "message"),
    [
        (
            Hosts("a:1"),
            {},
            "--coordinator, --processes, --process-id go together; --processes and "
            "--process-id not given",
        ),
        (Hosts(processes=2, process_id=0), {}, "together; --coordinator not given"),
        (Hosts("a:1", process_id=0), {}, "together; --processes not given"),
        (Hosts(), {"LABELGRAPH_PROCESSES": "2"}, "--coordinator and --process-id not"),
        (
            Hosts(),
            GIVEN | {"LABELGRAPH_PROCESSES": "four"},
            "LABELGRAPH_PROCESSES must be a whole number, got 'four'",
        ),
        (
            Hosts(),
            GIVEN | {"LABELGRAPH_PROCESS_ID": "-1"},
            "LABELGRAPH_PROCESS_ID must be a whole number, got '-1'",
        ),
        (
            Hosts("a:1", 2, 2),
            {},
            "--process-id must lie in 0 .. --processes - 1, got process id 2 of 2",
        ),
        (Hosts("a:1", 2, -1), {}, "got process id -1 of 2 processes"),
        (Hosts("a:1", 0, 0), {}, "got process id 0 of 0 processes"),
        (Hosts(timeout=0), {}, "--timeout must be at least 1 s, got 0"),
        (Hosts("a", 2, 0), {}, "--coordinator must be HOST:PORT, got 'a'"),
        (Hosts(":80", 2, 0), {}, "--coordinator must be HOST:PORT, got ':80'"),
        (Hosts("a:", 2, 0), {}, "--coordinator must be HOST:PORT, got 'a:'"),
        (Hosts("a:b", 2, 0), {}, "--coordinator must be HOST:PORT, got 'a:b'"),
        (Hosts("a:0", 2, 0), {}, "--coordinator must be HOST:PORT, got 'a:0'"),
        (Hosts("a:65536", 2, 0), {}, "must be HOST:PORT, got 'a:65536'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    given: Hosts, environment: Mapping[str, str], message: str
) -> None:
    with pytest.raises(HostsError) as refused:
        given.filled(environment)
    assert message in str(refused.value)
    with pytest.raises(HostsError) as refused:
        initialise(given, environment)
    assert message in str(refused.value)


@pytest.mark.parametrize("address", ["head:1", "10.0.0.1:65535", "[::1]:8476"])
def test_an_address_may_be_a_name_or_a_number(address: str) -> None:
    assert Hosts(address, 1, 0).filled({}).coordinator == address


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, ""),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, "Slurm"),
        ({"SLURM_NTASKS": "8"}, ""),  # a shell of salloc: no task of srun
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, ""),
        # Within a batch script of 8 tasks, `srun --ntasks 1`, and the other way round.
        (
            {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"},
            "",
        ),
        (
            {"SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
            "Slurm",
        ),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "Open MPI"),
        ({"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, ""),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}, "Cloud TPU"),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1"}, ""),
    ],
)
@pytest.mark.usefixtures("without_libtpu")
def test_the_scheduler_is_read_off_the_environment(
    environment: Mapping[str, str], name: str
) -> None:
    assert scheduler(environment) == name


def test_a_machine_with_libtpu_asks_cloud_tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.machinery.ModuleSpec("libtpu", None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found if name == "libtpu" else None
    )
    assert scheduler({}) == "Cloud TPU"


@pytest.mark.usefixtures("without_libtpu")
def test_a_process_that_is_alone_stays_alone() -> None:
    assert initialise(environment={}) is False
    assert initialise(Hosts(), {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}) is False
    assert not jax.distributed.is_initialized()


def test_one_tpu_machine_outside_of_a_cluster_is_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", refuse)
    environment = {"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}
    assert initialise(environment=environment) is False
    slurm = {"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}
    with pytest.raises(HostsError, match=r"did not all join .*found by Slurm\)"):
        initialise(environment=slurm)


def test_what_jax_says_stands_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **_: object) -> None:
        assert given == ("head:1234", 2, 0)
        raise RuntimeError("deadline\nexceeded " + "x" * 999)

    monkeypatch.setattr(jax.distributed, "initialize", refuse)
    with pytest.raises(HostsError) as refused:
        initialise(Hosts("head:1234", 2, 0, timeout=9), {})
    said = str(refused.value)
    assert "did not all join within 9 s (coordinator at head:1234)" in said
    assert "JAX says: deadline exceeded xxx" in said
    assert len(said) < 600


def test_a_coordinator_that_does_not_answer_is_named() -> None:
    address = f"localhost:{closed_port()}"
    began = time.monotonic()
    with pytest.raises(
        HostsError, match=rf"no coordinator answers at {address} after 1 s"
    ):
        initialise(Hosts(address, 2, 1, timeout=1), {})
    assert 1 <= time.monotonic() - began < 5


def test_a_coordinator_that_comes_late_is_waited_for() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        late = threading.Timer(0.3, listener.listen)
        late.start()
        hosts._await_coordinator(f"127.0.0.1:{port}", 5)
        late.join()


@pytest.mark.process
def test_a_process_whose_partner_never_comes_ends_with_one_line() -> None:
    address = f"localhost:{closed_port()}"
    code = (
        "from labelgraph_jax.training.hosts import Hosts, initialise\n"
        f"initialise(Hosts({address!r}, 2, 0, timeout=2), {{}})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == (
        f"labelgraph: error: not all of 2 processes joined within 2 s (coordinator at "
        f"{address}): start the same command on every worker, each with its own "
        "process id\n"
    )


def test_one_process_is_the_first_and_all_of_them() -> None:
    assert is_first()
    assert gather_text("said") == ["said"]
    assert together(lambda: 3) == 3
    require_same({"anything": "at all"})


def test_one_process_runs_what_the_first_does_and_raises_what_it_raises() -> None:
    done: list[str] = []
    on_first(lambda: done.append("once"))
    assert done == ["once"]

    def fail() -> None:
        raise OSError("disk full")

    for run in (on_first, together):
        with pytest.raises(OSError, match="disk full"):
            run(fail)


def test_a_process_that_is_alone_is_not_ended_early() -> None:
    leave(2)  # returns: the caller exits as it likes


@pytest.mark.parametrize(
    ("coordinator", "expected"),
    [
        ("127.0.0.1:8476", "127.0.0.1:8476"),
        ("127.0.0.5:1", "127.0.0.5:1"),
        ("[::1]:8476", "[::1]:8476"),
        ("localhost:8476", "127.0.0.1:8476"),
        ("10.1.2.3:8476", None),
        ("0.0.0.0:8476", None),
        ("no-such-host.invalid:8476", None),
    ],
)
@pytest.mark.parametrize("process", [0, 1])
def test_a_coordinator_of_this_machine_alone_listens_there_alone(
    coordinator: str,
    expected: str | None,
    process: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def join(*_: object, **options: object) -> None:
        asked.append(options["coordinator_bind_address"])

    monkeypatch.setattr(jax.distributed, "initialize", join)
    monkeypatch.setattr(hosts, "_await_coordinator", lambda *_: None)
    assert initialise(Hosts(coordinator, 2, process), {})
    assert asked == [None if process else expected]
