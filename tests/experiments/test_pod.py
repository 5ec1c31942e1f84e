"""Experiments of several processes: divided, met again, written down by the first."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import pod
from experiments.pod import ALONE, Pod, share, whole
from tests.xla import flags

ROOT = Path(__file__).parents[2]
QUICK = [
    *("--quick", "--preset", "zoo", "--seeds", "3", "--correlations", "0.5", "1"),
    *("--cells", "shared-bottom:0.5", "shared-bottom:1", "--learning-rates", "0.01"),
    *("--features", "5", "--batch", "4", "--steps", "3", "--epochs", "2"),
    *("--held-out", "8", "--together", "1", "--resamples", "20"),
]
TIMES = ("seconds", "cpu_seconds", "hardware", "command")


@given(st.lists(st.integers()), st.integers(1, 9))
def test_every_item_is_computed_once_in_order_by_shares_of_nearly_one_size(
    items: list[int], count: int
) -> None:
    named = list(enumerate(items))
    shares = [share(named, index, count) for index in range(count)]
    assert sorted(item for part in shares for item in part) == named
    assert all(part == sorted(part) for part in shares)
    sizes = [len(part) for part in shares]
    assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)


def test_one_process_computes_nothing_ahead_and_leaves_nothing(tmp_path: Path) -> None:
    computed: list[int] = []
    with pod.joined(Toy(work=str(tmp_path), out=str(tmp_path))) as alone:
        alone.fill("numbers", [1, 2], computed.append)
        assert alone.first_then_others("number", lambda: 3) == 3
    assert not computed and not list(tmp_path.iterdir())
    assert alone == ALONE and alone.writes and not alone.several
    assert alone.on("a machine") == "a machine"
    assert Pod(1, 2).on("a machine") == "a machine, 2 processes"
    assert not Pod(1, 2).writes


def test_a_part_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "part"
    with whole(path) as one, whole(path) as other:
        one.write_text("same")
        other.write_text("same")
        assert one != other and not path.exists()
    assert path.read_text() == "same"
    with pytest.raises(ValueError, match="stopped half-way"), whole(path) as one:
        one.write_text("ha")
        raise ValueError("stopped half-way")
    assert path.read_text() == "same" and list(tmp_path.iterdir()) == [path]


@pytest.mark.process
def test_two_processes_write_what_one_writes_and_train_each_part_once(
    tmp_path: Path,
) -> None:
    options = [*QUICK, "--out", "two", "--work", "work"]
    ends = run_two("experiments.mmoe_synthetic", [options, options], [tmp_path] * 2)
    assert [code for code, _ in ends] == [0, 0], ends
    first, second = (error for _, error in ends)
    assert "2 processes share 2 cells: 1, 1" in first
    # Each trained one of the two; the first then found both.
    assert first.count("shared-bottom, 3 runs:") == 1 and second == ""
    assert len(list((tmp_path / "work").glob("*.npz"))) == 2
    assert not list((tmp_path / "work").glob(".pod*"))
    assert sorted(path.suffix for path in (tmp_path / "two").iterdir()) == [
        *(".json", ".md", ".png")
    ]
    from experiments import mmoe_synthetic  # the toys do without it

    places = ["--out", str(tmp_path / "one"), "--work", str(tmp_path / "alone")]
    assert mmoe_synthetic.main([*QUICK, *places, "--quiet"]) == 0
    name = "mmoe-synthetic-zoo.json"
    one, two = (
        json.loads((tmp_path / folder / name).read_text()) for folder in ("one", "two")
    )
    assert two["hardware"] == one["hardware"] + ", 2 processes"
    assert_same(without_times(one), without_times(two))


@pytest.mark.process
def test_other_arguments_on_one_process_are_an_error_on_both_that_names_them(
    tmp_path: Path,
) -> None:
    options = [*QUICK, "--work", "work", "--out", "out"]
    other = [*options, "--seeds", "4"]
    ends = run_two("experiments.mmoe_synthetic", [options, other], [tmp_path] * 2)
    assert [code for code, _ in ends] == [2, 2], ends
    for _, error in ends:
        assert "--seeds of process 1 differs from process 0's" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.process
@pytest.mark.parametrize(
    ("action", "code", "messages"),
    [
        ("fail", 2, ("toy: process 1 failed: part 1 is odd", "toy: part 1 is odd")),
        ("stop", 130, ("toy: stopped", "toy: stopped")),
        ("write", 2, ("toy: the disk is full", "process 0 failed: the disk is full")),
    ],
)
def test_what_ends_one_process_ends_both_and_finished_parts_are_kept(
    tmp_path: Path, action: str, code: int, messages: Sequence[str]
) -> None:
    options = ["work", "out", action]
    ends = run_two(__name__, [options] * 2, [tmp_path] * 2)
    assert [end[0] for end in ends] == [code] * 2, ends
    for (_, error), message in zip(ends, messages, strict=True):
        assert message in error
        assert "Traceback" not in error
    kept = {path.name for path in (tmp_path / "work").iterdir()}
    # Process 0 may hear of the other's end before its second part.
    assert kept == set("0123") if action == "write" else {"0"} <= kept <= {"0", "2"}


@pytest.mark.process
def test_folders_that_are_not_shared_are_an_error_on_both(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("here", "there")]
    for folder in folders:
        folder.mkdir()
    ends = run_two(__name__, [["work", "out", "unshared"]] * 2, folders)
    assert [code for code, _ in ends] == [2, 2], ends
    for _, error in ends:
        assert "--work work: is not the folder that process 0 sees" in error
    assert not list((tmp_path / "here" / "work").iterdir())


def run_two(
    module: str, options: Sequence[Sequence[str]], folders: Sequence[Path]
) -> list[tuple[int, str]]:
    """Exit code and standard error of each of two processes, one device each."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port = listener.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": flags(1),
        "LABELGRAPH_COORDINATOR": f"localhost:{port}",
        "LABELGRAPH_PROCESSES": "2",
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", module, *given],
            cwd=folder,
            env=environment | {"LABELGRAPH_PROCESS_ID": str(process)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process, (given, folder) in enumerate(zip(options, folders, strict=True))
    ]
    ends = [worker.communicate(timeout=240) for worker in workers]
    return [
        (worker.returncode, error)
        for worker, (_, error) in zip(workers, ends, strict=True)
    ]


def without_times(record: Any) -> Any:
    """A record without what differs from one call to the next."""
    if isinstance(record, dict):
        return {n: without_times(v) for n, v in record.items() if n not in TIMES}
    return [without_times(v) for v in record] if isinstance(record, list) else record


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_same(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    else:
        # A program for one device and one for eight may round differently.
        assert one == (pytest.approx(other, rel=1e-4) if one != other else other)


@dataclasses.dataclass(frozen=True)
class Toy:
    """An experiment of four parts, of which one process computes 0 and 2."""

    work: str
    out: str
    action: str = ""
    quiet: bool = True


def toy() -> int:
    work, out, action = sys.argv[1:]
    chosen = Toy(work, out, action)
    pod.SHARED_SECONDS = 0.5

    def compute(part: int) -> None:
        while part % 2 and not Path(chosen.work, "0").exists():
            time.sleep(0.05)
        if chosen.action == "fail" and part % 2:
            raise ValueError(f"part {part} is odd")
        if chosen.action == "stop" and part % 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        Path(chosen.work, str(part)).touch()

    try:
        with pod.joined(chosen) as processes:
            processes.fill("parts", range(4), compute)
            if processes.writes:
                raise OSError("the disk is full")
    except KeyboardInterrupt:
        print("toy: stopped", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"toy: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    pod.end(toy)
