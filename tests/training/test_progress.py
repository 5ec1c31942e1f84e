"""Long passes tell how far they are, and only where someone asked for it."""

import re
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from labelgraph_jax.training import progress


def batches(sizes: list[int]) -> Iterator[dict[str, np.ndarray]]:
    for size in sizes:
        mask = np.arange(4) < size
        yield {"example_index": np.arange(4), "example_mask": mask}


def test_nothing_is_shown_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    passed = list(progress.track(batches([4, 2]), total=6, what="scoring"))
    assert [int(batch["example_mask"].sum()) for batch in passed] == [4, 2]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_with_documents_done_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress.shown():
        assert len(list(progress.track(batches([4, 2]), total=6, what="scoring"))) == 2
    said = capsys.readouterr().err
    assert "scoring" in said
    assert "6/6" in said
    assert re.search(r"\d:\d\d:\d\d", said)


def test_a_log_gets_a_line_now_and_then_with_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 10.0, 25.0, 40.0, 86.0, 90.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    with progress.shown():
        list(progress.track(batches([4, 4, 4, 4, 4]), total=20, what="encoding"))
    # After 25 s (8 of 20 are done) and 86 s; at 40 s the last line is too young.
    assert capsys.readouterr().err.splitlines() == [
        "encoding: 8 of 20 documents, 0:38 left",
        "encoding: 16 of 20 documents, 0:22 left",
    ]


def test_a_pass_inside_another_shows_nothing_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.shown():
        for _ in progress.track(batches([4]), total=4, what="outer"):
            list(progress.track(batches([4]), total=4, what="inner"))
    said = capsys.readouterr().err
    assert "outer" in said
    assert "inner" not in said


def test_a_pass_that_is_left_early_closes_its_bar(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.shown():
        tracked = progress.track(batches([4, 4]), total=8, what="scoring")
        next(tracked)
        tracked.close()
        assert not progress._open
    assert capsys.readouterr().out == ""


def test_what_is_hidden_inside_is_shown_again_after(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_AFTER", -1.0)
    with progress.shown():
        with progress.shown(False):
            list(progress.track(batches([4, 2]), total=6, what="hidden"))
        list(progress.track(batches([4, 2]), total=6, what="seen"))
    said = capsys.readouterr().err
    assert said.startswith("seen: 4 of 6 documents")
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0:00"), (59.6, "1:00"), (3599, "59:59"), (7325, "2:02:05")],
)
def test_a_clock_shows_hours_only_where_there_are_any(
    seconds: float, shown: str
) -> None:
    assert progress.clock(seconds) == shown
