"""Real shifts between documents: what is measured of one, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from experiments import shifts
from experiments.shifts import ROWS, Item, Shift, interval, main, page, summary
from experiments.store import Store


def made_shift() -> Shift:
    """Two sets of documents, of which the second lies elsewhere."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(240, 8)).astype(np.float32)
    labels = [
        tuple(name for name, x in zip("ab", row[:2], strict=True) if x > 0)
        for row in vectors
    ]
    vectors[120:, -1] += 4
    items = [Item("", names, "") for names in labels]
    return Shift(
        "here -> there", vectors, items, *np.split(np.arange(240), 2), labels=2
    )


def test_every_row_of_a_shift_is_measured_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelgraph_jax.training.adaptation.STEPS", 20)
    shift, store = made_shift(), Store(tmp_path, lambda line: None)
    cells = [
        {"shift": shift.title, "seed": s, **shifts.measured(shift, s, store)}
        for s in (0, 1)
    ]
    table = summary(cells)
    assert set(ROWS) < set(table) and sum(table["chosen"].values()) == 2
    assert table["none"]["gain"] == [0, 0, 0]
    assert table["oracle"]["closed"][0] == pytest.approx(100)
    assert table["accuracy_before"] > 0.9
    record = {
        "command": "python -m experiments.shifts",
        "seeds": 2,
        "seconds": 1,
        "commit": "none",
        "cells": {"types": cells},
        "table": {"types": table},
    }
    assert "| here -> there | oracle |" in page(record)

    def never(*_: object) -> None:
        raise AssertionError("it was computed before")

    monkeypatch.setattr(shifts, "_measure", never)
    assert shifts.measured(shift, 0, store)["none"] == cells[0]["none"]


def test_an_interval_of_a_mean_is_students() -> None:
    mean, low, high = interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2
    assert (low, high) == pytest.approx((2 - 2.484, 2 + 2.484), abs=1e-3)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--seeds", "1"], "--seeds must be at least 2, got 1"),
        (["--shifts", "moons"], "--shifts must be of types, years, sections, amazon"),
        (["--data-dir", "nowhere"], "must be there; --data-dir names its folder"),
    ],
)
def test_what_does_not_fit_is_refused(
    more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--work", str(tmp_path / "w"), "--out", str(tmp_path), *more]
    assert main(options) == 2
    assert said in capsys.readouterr().err
