"""Ctrl-C and SIGTERM, from the first moment of a command to its last."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from labelgraph_jax.cli.app import run
from labelgraph_jax.cli.interrupts import AFTER, AT_ONCE, Interrupts, TerminatedError

if TYPE_CHECKING:
    from tests.zoo import Zoo

BOTH = (signal.SIGINT, signal.SIGTERM)


class EndedError(Exception):
    """In place of the end of the process."""


@pytest.fixture
def _signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both signals as they were, afterwards; and no end of this process."""

    def end(code: int) -> None:
        raise EndedError(code)

    monkeypatch.setattr(os, "_exit", end)
    before = {number: signal.getsignal(number) for number in BOTH}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ended(number: signal.Signals) -> int:
    with pytest.raises(EndedError) as found:
        signal.raise_signal(number)
    return int(found.value.args[0])


@pytest.mark.usefixtures("_signals")
def test_a_run_that_trains_says_what_is_true_before_between_and_after(
    capfd: pytest.CaptureFixture[str],
) -> None:
    interrupts = Interrupts()
    interrupts.begin("train")
    interrupts.ready()
    said = "labelgraph: stopped by {} {}; run the command again to go on\n"
    before = "before the first step, so there was nothing to save"
    for where in (before, AT_ONCE, AFTER):
        interrupts.where = where
        assert ended(signal.SIGTERM) == 0
        assert capfd.readouterr().err == said.format("SIGTERM", where)
        assert ended(signal.SIGINT) == 130
        assert capfd.readouterr().err == said.format("Ctrl-C", where)


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize(("number", "code"), [(BOTH[0], 130), (BOTH[1], 143)])
def test_any_other_command_tidies_up_at_the_first_and_ends_at_the_second(
    number: signal.Signals, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    interrupts = Interrupts()
    interrupts.begin("evaluate")
    assert ended(number) == code
    interrupts.ready()
    # The tests themselves were imported: there are frames of that below this one.
    raised = TerminatedError if number == signal.SIGTERM else KeyboardInterrupt
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("labelgraph_jax.cli.interrupts._is_importing", lambda _: False)
        with pytest.raises(raised):
            signal.raise_signal(number)
    assert ended(number) == code
    interrupts.end(5)
    assert ended(number) == 5
    assert capfd.readouterr().err == "labelgraph: stopped\n" * 2


@pytest.mark.usefixtures("_signals")
def test_a_parent_s_wish_to_live_through_ctrl_c_is_kept() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts = Interrupts()
    interrupts.begin("evaluate")
    interrupts.ready()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.usefixtures("_signals")
def test_signals_wait_while_the_program_starts_over() -> None:
    interrupts = Interrupts()
    interrupts.begin("evaluate")
    interrupts.hold()
    # To this thread: it alone keeps them back, as the program has no other yet.
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # nothing happens yet
    assert signal.SIGINT in signal.sigpending()
    with pytest.raises(EndedError):
        interrupts.begin("evaluate")


@pytest.mark.parametrize(("number", "code"), [(BOTH[0], 130), (BOTH[1], 0)])
def test_a_stop_while_the_report_is_written_says_that_training_is_saved(
    number: signal.Signals,
    code: int,
    zoo: "Zoo",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir = zoo.copy("bag", tmp_path / "my run")
    (workdir / "report.html").unlink(missing_ok=True)
    shutil.rmtree(workdir / "report", ignore_errors=True)

    def write(*_: Any) -> None:
        os.kill(os.getpid(), number)
        raise AssertionError("the report went on")

    monkeypatch.setattr("labelgraph_jax.inspection.report.write_report", write)
    config = str(workdir / "config.json")
    assert run(["train", "--config", config, "--workdir", str(workdir)]) == code
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert (
        f"labelgraph: stopped by {name} after training, which is saved with its "
        f"results, before its report was written: `labelgraph report '{workdir}'` "
        "writes it; go on with `labelgraph train"
    ) in capsys.readouterr().err


def test_sigterm_leaves_no_half_written_file(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise TerminatedError

    monkeypatch.setattr("labelgraph_jax.runs.predict._write_rows", stop)
    file = tmp_path / "new.jsonl"
    file.write_text('{"text": "wheat"}\n')
    out = tmp_path / "out.jsonl"
    assert run(["predict", str(trained), str(file), "--output", str(out)]) == 143
    assert [path.name for path in tmp_path.iterdir()] == ["new.jsonl"]


@pytest.mark.parametrize("name", ["folder", "folder/", ".", "absent/"])
def test_a_folder_as_output_is_refused_and_left_as_it_was(
    name: str,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "new.jsonl").write_text('{"text": "wheat"}\n')
    for command in (
        ["predict", str(trained), "new.jsonl", "--output", name],
        ["explain", str(trained), "wheat", "--html", name],
    ):
        assert run(command) == 2
        said = capsys.readouterr().err
        assert said.endswith("must be a file to write; it is a folder\n"), said
    names = {path.name for path in tmp_path.rglob("*")}
    assert names == {"folder", "new.jsonl"}


DEEP = """
import hashlib
from labelgraph_jax.cli.interrupts import interrupts

interrupts.begin("evaluate")
interrupts.ready()
interrupts.watch()
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10**9)  # minutes, in C
"""


@pytest.mark.process
def test_a_second_ctrl_c_ends_a_command_that_is_deep_in_a_library() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DEEP],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 130
    assert said == "labelgraph: stopped\n"
