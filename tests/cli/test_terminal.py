"""Lines on a terminal of 80 columns: words and paths whole, and the first one soon."""

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from labelgraph_jax.cli import output
from labelgraph_jax.cli.output import say
from labelgraph_jax.cli.results import print_results
from labelgraph_jax.cli.terminal import plain_console, plain_table, wrapped
from labelgraph_jax.data.terminal import visible
from labelgraph_jax.training.progress import Display, shown, track

if TYPE_CHECKING:
    from tests.zoo import Zoo

PATH = "/data/" + "a-rather-long-folder-name/" * 5 + "of spaces.jsonl"
LONG = "machine_learning/" * 8


@pytest.fixture(autouse=True)
def of_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def lines_are_whole(printed: str, said: str) -> None:
    """Nothing but single blanks has become line breaks.

    And no line is too long that has a blank to be broken at.
    """
    assert printed.split() == said.split()
    assert all(len(line) <= 80 or " " not in line for line in printed.splitlines())


@pytest.mark.parametrize(
    "said",
    [
        f"Everything else is in {PATH}/results.json",
        f"a note about {LONG} and about {LONG}, twice, and a few words behind them",
        "many short words " * 20,
        "ニュース記事の分類 " * 12,
        "a colon :fire: and [brackets] stay as they are " * 3,
    ],
)
def test_no_word_is_broken_and_every_path_is_whole(
    said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines_are_whole(wrapped(said), said)
    plain_console().print(said)
    lines_are_whole(capsys.readouterr().out, said)


def test_a_command_in_backticks_stays_whole() -> None:
    command = f"`labelgraph train --graph.adjacency-file {PATH} --graph.layers 2`"
    said = f"Saved as a graph, from which a run starts: {command}, and so on"
    assert command in wrapped(said)
    assert wrapped(said).split() == said.split()


def test_wide_letters_count_twice() -> None:
    assert len(wrapped("分類 " * 30).splitlines()) == 2


def on_a_terminal(write: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """What `write` prints on a standard error that is a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        write()
    said = os.read(ours, 10_000).decode().replace("\r\n", "\n")
    os.close(ours)
    return said


def test_a_remark_is_wrapped_on_a_terminal_and_one_line_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = f"{PATH}: 1,200 documents to train on, 300 for validation, 40 labels"
    output.say(said)
    assert capsys.readouterr().err == said + "\n"
    shown = on_a_terminal(lambda: output.say(said), monkeypatch)
    assert len(shown.splitlines()) > 1
    lines_are_whole(shown, said)


def test_the_notes_of_results_keep_a_long_work_directory_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    workdir = "/runs/" + "long-name-" * 12
    task = {
        "kind": "squared",
        "metrics": {"rows": 3, "rmse": 1.0, "mae": 1.0, "r2": None},
        "constant": {"rows": 3, "rmse": 1.0, "mae": 1.0, "r2": None},
        "skill": 0.0,
    }
    test = {
        "rows": 3,
        "tasks": {LONG: task},
        "unseen": {},
        "unseen_targets": {},
        "skill": 0.0,
    }
    results = {"split": "test", "data": "t.csv", "mixture": "mmoe", "baseline": None}
    print_results({**results, "test": test}, workdir=workdir)
    printed = capsys.readouterr().out
    assert f"{workdir}/results.json" in printed
    assert f"Task {LONG}:" in printed.replace("\n", " ")


@pytest.mark.process
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_training_says_what_it_does_before_it_loads_jax(
    tmp_path: Path, terminal: bool
) -> None:
    ours, theirs = pty.openpty() if terminal else os.pipe()
    started = time.perf_counter()
    process = subprocess.Popen(
        [
            *(sys.executable, "-X", "importtime", "-m", "labelgraph_jax", "train"),
            *("--data", "none.jsonl", "--workdir", str(tmp_path / "run")),
        ],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while b"loading JAX" not in said:
        part = os.read(ours, 100_000)
        assert part, said  # it ended without a word
        said += part
    seconds = time.perf_counter() - started
    process.kill()
    process.wait()
    os.close(ours)
    assert b"training on none.jsonl in" in said
    assert not [line for line in said.splitlines() if line.split()[-1:] == [b"jax"]]
    # A second on a machine that has nothing else to do.
    assert seconds < 10


NAMES = [
    "click [/i]",
    "[x]",
    "[bold red]y",
    ":fire:",
    "a\x1b[31mb\x9b2J",
    "\u2028c\u202e",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_stands_wherever_a_table_or_a_line_shows_it(
    name: str, zoo: "Zoo", capsys: pytest.CaptureFixture[str]
) -> None:
    table = plain_table(f"of {name}")
    table.add_column(name)
    table.add_row(name)
    plain_console().print(table)
    plain_console().print(f"about {name}")
    printed = capsys.readouterr().out
    expected = visible(name)
    assert printed.count(expected) == 4
    results = json.loads((zoo("table") / "results.json").read_text("utf-8"))
    test = results["test"]
    for key in ("tasks", "unseen_targets"):
        test[key] = {f"{name}{i}": v for i, v in enumerate(test[key].values())}
    results["data"], results["baseline"] = name, None
    print_results(results, workdir=f"runs/{name}")
    say(f"labelgraph: {name}")
    everything = capsys.readouterr()
    for text in (printed, everything.out, everything.err):
        assert not set(text) & set("\x1b\x9b\u2028\u202e")
        assert expected in text


def test_bars_and_lines_of_progress_show_names_as_they_stand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for name in NAMES:
        with shown():
            batches = [{"example_index": [0, 1]}]
            assert list(track(batches, total=2, what=name)) == batches
        with Display(2, 0) as display:
            display.say(name)
        printed = capsys.readouterr().err
        assert visible(name) in printed
        assert not set(printed) & set("\x9b\u2028\u202e")
        assert "\x1b[31mb" not in printed
