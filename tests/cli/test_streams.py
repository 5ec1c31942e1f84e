"""Standard output and standard error that are closed, full, or read by nobody."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labelgraph_jax.cli import streams
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import DataConfig, to_dict
from tests.tiny import tiny_config
from tests.xla import flags

FULL = OSError(errno.ENOSPC, "No space left on device")
GONE = BrokenPipeError(errno.EPIPE, "Broken pipe")
ROOT = Path(__file__).parents[2]


class Failing(io.StringIO):
    """A stream that fails from the first letter on."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        raise self._error


class FailingAtTheEnd(Failing):
    """One that takes everything into its buffer, as a pipe does, and then fails."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        raise self._error


@pytest.mark.parametrize("kind", [Failing, FailingAtTheEnd])
@pytest.mark.parametrize(
    "verb", [["data", "stats"], ["data", "validate"], ["--help"], ["config", "list"]]
)
def test_a_verb_that_prints_ends_quietly_with_141_once_nobody_reads(
    verb: list[str],
    kind: type[Failing],
    tiny_data: DataConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdout", kind(GONE))
    source = [tiny_data.data] if verb[0] == "data" else []
    assert run([*verb, *source]) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", [Failing, FailingAtTheEnd])
def test_a_full_disk_behind_the_output_is_one_line(
    kind: type[Failing],
    trained: Path,
    tiny_data: DataConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdout", kind(FULL))
    for arguments in (
        ["data", "stats", tiny_data.data],
        ["predict", str(trained), tiny_data.data],
        ["labels", "list", str(trained)],
    ):
        assert run(arguments) == 2
        *remarks, last = capsys.readouterr().err.splitlines()
        assert last == (
            "labelgraph: error: standard output: cannot be written: No space left on "
            "device"
        )
        assert not any("error" in line for line in remarks)


def test_what_is_written_to_a_file_needs_no_reader_of_the_output(
    trained: Path,
    tiny_data: DataConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(GONE))
    monkeypatch.setattr(sys, "stderr", Failing(GONE))
    out = tmp_path / "out.jsonl"
    assert run(["data", "export", tiny_data.data, "--out", str(out)]) == 0
    assert out.stat().st_size
    predicted = tmp_path / "p.jsonl"
    wanted = ["predict", str(trained), tiny_data.data, "--output", str(predicted)]
    assert run(wanted) == 0
    assert predicted.stat().st_size


def test_what_is_said_beside_the_result_needs_no_reader(
    tiny_data: DataConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stderr", Failing(GONE))
    assert run(["data", "stats", tiny_data.data]) == 0
    assert "documents" in capsys.readouterr().out
    assert run(["data", "stats", "absent.jsonl"]) == 2


def test_a_closed_output_is_refused_before_any_work_by_a_verb_that_prints(
    trained: Path,
    tiny_data: DataConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    said = "labelgraph: error: standard output must be open; it is closed"
    assert run(["data", "stats", tiny_data.data]) == 2
    assert capsys.readouterr().err == f"{said}\n"
    assert run(["predict", str(trained), tiny_data.data]) == 2
    assert capsys.readouterr().err == f"{said}: give --output\n"


def test_letters_that_the_output_cannot_write_are_escapes(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    output = io.TextIOWrapper(written, encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", output)
    sys.stdout.flush()
    with streams.guarded() as guard:
        print("R² of caf\N{LATIN SMALL LETTER E WITH ACUTE}")
    assert guard.lost is None
    assert written.getvalue() == b"R\\xb2 of caf\\xe9\n"
    file = tmp_path / "new.jsonl"
    file.write_text(json.dumps({"id": "naïve", "text": "wheat"}), encoding="utf-8")
    assert run(["predict", str(trained), str(file)]) == 0
    row = json.loads(written.getvalue().splitlines()[-1])
    assert row["id"] == "naïve"


@pytest.mark.process
def test_training_goes_on_though_nobody_reads_what_it_says(
    tiny_data: DataConfig, tmp_path: Path
) -> None:
    config = tmp_path / "c.json"
    config.write_text(json.dumps(to_dict(tiny_config(tiny_data))), encoding="utf-8")
    workdir = tmp_path / "run"
    command = [sys.executable, "-m", "labelgraph_jax", "train", "--config", str(config)]
    process = subprocess.Popen(
        [*command, "--workdir", str(workdir), "--no-report"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags(1)},
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"labelgraph: training on ")
    process.stdout.close()
    assert process.wait(120) == 0
    assert (workdir / "results.json").is_file()
    assert (workdir / "metrics.jsonl").read_text("utf-8").count("\n") > 1


STOPPED = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Finder())
sys.argv = ["labelgraph", *{arguments!r}]
from labelgraph_jax.cli import main
main()
"""


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["tyro", "jax"])
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_stop_while_the_program_is_loaded_is_one_line(
    verb: str, module: str, number: signal.Signals, trained: Path, tmp_path: Path
) -> None:
    data = ["--data", str(trained), "--workdir", str(tmp_path)]
    arguments = [verb, *(data if verb == "train" else [str(trained)])]
    code = STOPPED.format(module=module, number=int(number), arguments=arguments)
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LABELGRAPH_HUGE_PAGES": "0"},
    )
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert len([s for s in ended.stderr.splitlines() if "stopped" in s]) == 1
    agreed = verb == "train" and number == signal.SIGTERM
    assert ended.returncode == (0 if agreed else 128 + number)
