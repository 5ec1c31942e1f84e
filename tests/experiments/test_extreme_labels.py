"""The experiment of very many labels at toy sizes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import extreme_labels
from experiments.extreme import ours, rendering, step, sweep
from experiments.extreme_labels import Arguments

SIZES = {"features": 4, "heads": 2, "width": 3, "limit_gib": 8.0, "repeats": 1}
STEP = {
    "labels": 40,
    "batch": 4,
    "width": 4,
    "heads": 1,
    "features": 3,
    "chunk": 16,
    "tokens": 5,
    "vocabulary": 30,
    "positives": 2,
}


def test_every_method_over_the_complete_graph_computes_the_same() -> None:
    losses = {
        m: ours.make_run(m, 30, SIZES)() for m in ("dense", "complete", "blocked")
    }
    np.testing.assert_allclose(list(losses.values()), losses["dense"], rtol=1e-4)
    for method in ("sparse", "low-rank", "relu"):
        assert np.isfinite(ours.make_run(method, 30, SIZES)())


def test_ours_is_measured_without_the_rival_and_the_page_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {
        "labels": 9,
        "methods": "pyg-dense",
        "ratio-labels": 9,
        "turns": 1,
        "turn-seconds": 0.001,
        "features": 4,
        "heads": 2,
        "width": 3,
        "peer-python": "no-such-python",
        "out": tmp_path,
    }
    flags = [part for k, v in options.items() for part in (f"--{k}", str(v))]
    extreme_labels.main(flags)
    shown = capsys.readouterr().out
    assert "| pyg-dense | 9 | no interpreter at no-such-python" in shown
    assert "Without the rival: no interpreter at no-such-python" in shown
    record = json.loads((tmp_path / "extreme-labels.json").read_text())
    assert set(record["ratios"]["sizes"]["9"]["milliseconds"]) == {
        "auto",
        "dense",
        "complete",
    }
    assert (tmp_path / "extreme-labels.png").stat().st_size > 0


def test_a_point_that_does_not_fit_dies_before_it_is_tried() -> None:
    sizes = SIZES | {"seconds": 1.0, "point_seconds": 120.0}
    found = sweep.our_point("dense", 100_000, sizes)
    assert found["reason"].startswith("refused before it was tried: method 'dense'")


def test_a_train_step_over_labels_in_chunks_learns() -> None:
    stepping, state, batch = step.make_step(STEP)
    losses = []
    for _ in range(8):
        state, metrics = stepping(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < losses[0]


def test_the_page_shows_what_was_measured_and_what_died() -> None:
    def point(method: str, labels: int) -> dict[str, Any]:
        return {
            "method": method,
            "labels": labels,
            "seconds": [2e-9 * labels**2, 1.0],
            "working": labels * 1000,
        }

    points = [point("dense", n) for n in (1_000, 10_000, 20_000)]
    points.append({"method": "dense", "labels": 40_000, "reason": "out of memory"})
    found = sweep.exponents(points)
    assert found["dense"]["from"] == 10_000
    np.testing.assert_allclose(found["dense"]["working"], 1.0)
    np.testing.assert_allclose(found["dense"]["seconds"], np.log2(4 / 1.0), atol=1e-6)
    arguments = Arguments()
    record = {
        "machine": extreme_labels.measure.machine_facts(),
        "jax": "0",
        "command": "c",
        "sizes": arguments.sizes(),
        "points": points,
        "exponents": found,
        "step": {
            "seconds": [3.0],
            "peak": 2**34,
            "state": 2**33,
            "losses": [2.0, 1.0],
        },
        "step_sizes": arguments.step_sizes(),
    }
    page = rendering.page(record)
    assert "| dense | 40,000 | out of memory |" in page
    assert "3.0 s a step" in page and "16.0 GiB, of which 8.0 GiB" in page
    record["step"] = {"reason": "took longer"}
    assert "Failed: took longer." in rendering.page(record)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--methods", "dence"], "got 'dence'"),
        (["--labels", "0"], "--labels must be at least 1, got 0"),
        (["--turns", "0"], "--turns must be at least 1"),
    ],
)
def test_settings_that_measure_nothing_are_refused(
    flags: list[str], message: str
) -> None:
    with pytest.raises(SystemExit, match=message):
        extreme_labels.main(flags)
