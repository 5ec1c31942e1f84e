"""The line that makes logits calibrated, or none."""

import jaxtyping
import numpy as np
import pytest
from scipy.optimize import minimize

import labelgraph_jax as lg


def made(count: int, scale: float, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are calibrated once they are read as scale * x + shift."""
    generator = np.random.default_rng(0)
    right = generator.normal(-2, 2, count)
    return (right - shift) / scale, generator.random(count) < 1 / (1 + np.exp(-right))


@pytest.mark.parametrize(("scale", "shift"), [(0.6, 0.0), (1.0, -2.5), (1.4, 1.0)])
def test_a_planted_line_is_recovered(scale: float, shift: float) -> None:
    logits, truth = made(20_000, scale, shift)
    found = lg.functional.fit_calibration(logits, truth)
    assert found.scale == pytest.approx(scale, abs=0.08)
    assert found.shift == pytest.approx(shift, abs=0.15)
    assert found.gain > 0


def test_the_line_is_the_most_likely_one_under_its_prior() -> None:
    logits, truth = made(300, 0.5, -1.0)

    def unlikelihood(line: np.ndarray) -> float:
        loss = sum(
            np.logaddexp(0, line[0] * x + line[1]) - y * (line[0] * x + line[1])
            for x, y in zip(logits, truth, strict=True)
        )
        return loss + ((line[0] - 1) / 0.3) ** 2 / 2 + (line[1] / 3) ** 2 / 2

    best = minimize(unlikelihood, [1.0, 0.0], method="Nelder-Mead").x
    found = lg.functional.fit_calibration(logits, truth)
    np.testing.assert_allclose(found[:2], best, atol=1e-3)


def test_calibrated_logits_are_left_as_they_are() -> None:
    assert lg.functional.fit_calibration(*made(5_000, 1.0, 0.0)) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("count", [0, 5, 2_000])
def test_few_cells_of_a_kind_leave_logits_as_they_are(count: int) -> None:
    truth = np.arange(count) < 9
    logits = np.where(truth, -5.0, 5.0)
    assert lg.functional.fit_calibration(logits, truth) == (1.0, 0.0, 0.0)


def test_malformed_cells_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        lg.functional.fit_calibration(np.zeros(2), np.zeros(3, bool))
    with pytest.raises(ValueError, match="logits must be finite"):
        lg.functional.fit_calibration(np.array([np.nan, 1.0]), np.array([True, False]))
