"""A training command that is stopped: what it says, how it ends, how it goes on.

One run, stopped wherever it can be and started again each time, until it is done.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from labelgraph_jax.config import DataConfig, to_dict
from tests.tiny import made_documents, tiny_config, write_jsonl
from tests.xla import flags

pytestmark = [pytest.mark.process, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
EPOCHS, STEPS = 12, 120


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, all it said, and the run it left."""

    code: int
    said: str
    files: frozenset[str]

    @property
    def last_line(self) -> str:
        return self.said.splitlines()[-1]


class Command:
    """`labelgraph train` in a process of its own, and what it says."""

    def __init__(self, folder: Path, name: str) -> None:
        self.workdir, self.stderr = folder / "run", folder / f"{name}.txt"
        arguments = ["train", "--config", "c.json", "--workdir", str(self.workdir)]
        arguments.append("--no-report")
        with self.stderr.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "labelgraph_jax", *arguments],
                stdout=subprocess.DEVNULL,
                stderr=file,
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "XLA_FLAGS": flags(1),
                    "XDG_CACHE_HOME": str(folder / "cache"),
                    "LABELGRAPH_HUGE_PAGES": "0",
                },
            )

    def wait_for(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not happened():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.005)

    def says(self, words: str) -> None:
        """Wait until it has said so."""
        self.wait_for(lambda: words in self.said())

    def said(self) -> str:
        return self.stderr.read_text()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int | None = None) -> Ended:
        if number is not None:
            self.send(number)
        try:
            code = self.process.wait(timeout=120)
        finally:
            self.process.kill()
        files = frozenset(
            str(path.relative_to(self.workdir))
            for path in (self.workdir.rglob("*") if self.workdir.exists() else ())
        )
        return Ended(code, self.said(), files)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    folder = tmp_path_factory.mktemp("stopping")
    # Enough of them that reading and counting takes a moment.
    file = write_jsonl(folder / "data.jsonl", made_documents(1_800, seed=1))
    config = tiny_config(
        DataConfig(data=str(file)),
        graph={"layers": 0, "features": "random"},
        training={"epochs": EPOCHS, "batch_size": 130, "evaluation_batch_size": 256},
    )
    (folder / "c.json").write_text(json.dumps(to_dict(config)))
    ended: dict[str, Ended] = {}

    command = Command(folder, "preparing")
    command.says("cut off")  # said once the documents are read
    ended["preparing"] = command.end(signal.SIGTERM)

    command = Command(folder, "training")
    command.says("epoch 2, ")
    command.send(signal.SIGSTOP)  # it lives on, and holds its directory
    ended["second"] = Command(folder, "second").end()
    ended["owner"] = Ended(command.process.pid, "", frozenset())
    command.send(signal.SIGCONT)
    ended["training"] = command.end(signal.SIGINT)

    command = Command(folder, "again")
    command.says("epoch 5, ")
    ended["again"] = command.end(signal.SIGTERM)

    command = Command(folder, "testing")
    command.says(f"epoch {EPOCHS}, ")
    ended["testing"] = command.end(signal.SIGTERM)

    ended["done"] = Command(folder, "done").end()
    return ended


def step_of(ended: Ended) -> int:
    """The step at which it was stopped, of the line that says so."""
    return int(ended.last_line.partition("at step ")[2].partition(",")[0])


def test_sigterm_before_the_first_step_ends_with_0_and_saves_nothing(
    story: dict[str, Ended],
) -> None:
    ended = story["preparing"]
    assert ended.code == 0, ended.said
    assert ended.last_line.startswith(
        "labelgraph: stopped by SIGTERM before the first step, so there was nothing to "
        "save; "
    )
    assert not ended.files
    assert "Traceback" not in ended.said


def test_ctrl_c_while_training_ends_with_130_and_saves(story: dict[str, Ended]) -> None:
    ended = story["training"]
    assert ended.code == 130, ended.said
    step = step_of(ended)
    assert ended.last_line.startswith(
        f"labelgraph: stopped by Ctrl-C at step {step}, which is saved; go on with "
        "`labelgraph train --config "
    )
    assert ended.said.count("stopped") == 1
    assert 0 < step < STEPS
    assert f"checkpoints/{step}" in ended.files
    assert "Traceback" not in ended.said


def test_a_second_command_into_a_live_directory_ends_with_2_and_the_owner_s_process(
    story: dict[str, Ended],
) -> None:
    ended, owner = story["second"], story["owner"].code
    assert ended.code == 2, ended.said
    _, line = ended.said.splitlines()
    assert line.startswith("labelgraph: error: ")
    assert f"another run is at work here (process {owner} on " in line


def test_sigterm_while_training_ends_with_0_where_the_last_command_went_on(
    story: dict[str, Ended],
) -> None:
    ended, before = story["again"], step_of(story["training"])
    assert ended.code == 0, ended.said
    assert f"going on after step {before} of {STEPS}" in ended.said
    step = step_of(ended)
    assert before < step < STEPS
    assert ended.last_line.startswith(
        f"labelgraph: stopped by SIGTERM at step {step}, which is saved; go on with `"
    )
    assert ended.said.count("stopped") == 1
    assert f"checkpoints/{step}" in ended.files


def test_sigterm_while_testing_ends_with_0_and_loses_no_step(
    story: dict[str, Ended],
) -> None:
    ended = story["testing"]
    assert ended.code == 0, ended.said
    assert ended.last_line.startswith(
        "labelgraph: stopped by SIGTERM after training, which is saved, while testing; "
        "go on with `"
    )
    assert f"checkpoints/{STEPS}" in ended.files
    assert "results.json" not in ended.files


def test_the_last_command_tests_without_another_step(story: dict[str, Ended]) -> None:
    ended = story["done"]
    assert ended.code == 0, ended.said
    assert f"going on after step {STEPS} of {STEPS}" in ended.said
    assert "epoch" not in ended.said
    assert "results.json" in ended.files
    # Every stop tidied up after itself.
    assert not [name for name in ended.files if "partial" in name or "draft" in name]
