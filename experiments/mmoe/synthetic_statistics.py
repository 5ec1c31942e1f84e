"""From the final losses of many seeds to what can be said about the models.

All models of a seed saw the same data, so models are compared seed by seed: intervals
are 95 % percentile intervals over draws of the seeds, the same draw for every cell.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from labelgraph_jax.functional.metrics.bootstrap import run_draws

Cell = tuple[str, float]
"""Model and correlation."""
BEST_SHARE = 0.1
COMPARABLE = 0.05
"""Best losses this close together, as a share of the larger, count as comparable."""


class Estimate(NamedTuple):
    """A number of all seeds, and where 95 % of its bootstrap draws lie."""

    value: float
    low: float
    high: float

    @property
    def above_zero(self) -> bool:
        """Whether all of the interval lies above zero."""
        return self.low > 0

    @property
    def clear(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


class Draws:
    """Final losses of all cells, and every statistic on the same draws of the seeds.

    Args:
        losses: per cell, one per seed `[S]`; the same seeds in the same order.
        resamples: R, how many draws.
    """

    def __init__(self, losses: Mapping[Cell, np.ndarray], resamples: int) -> None:
        counts = {len(values) for values in losses.values()}
        if len(counts) != 1:
            raise ValueError(
                f"cells must have the same seeds; got {sorted(counts)} runs"
            )
        self.losses = dict(losses)
        self.rows = run_draws(counts.pop(), resamples)

    def estimate(
        self, statistic: Callable[..., np.ndarray], *cells: Cell, **options: Any
    ) -> Estimate:
        """`statistic(*losses, axis=-1)` of the cells, with its interval."""
        values = [self.losses[cell] for cell in cells]
        whole = float(statistic(*values, axis=-1, **options))
        drawn = statistic(*(value[self.rows] for value in values), axis=-1, **options)
        low, high = np.nanquantile(drawn, (0.025, 0.975))
        return Estimate(whole, float(low), float(high))


def median_gap(one: np.ndarray, other: np.ndarray, *, axis: int = -1) -> np.ndarray:
    """median(one) - median(other)."""
    return np.asarray(np.median(one, axis=axis) - np.median(other, axis=axis))


def gap_of_gaps(*losses: np.ndarray, axis: int = -1) -> np.ndarray:
    """(median(a) - median(b)) - (median(c) - median(d))."""
    first, second, third, fourth = (np.median(part, axis=axis) for part in losses)
    return np.asarray((first - second) - (third - fourth))


def variance_ratio(one: np.ndarray, other: np.ndarray, *, axis: int = -1) -> np.ndarray:
    """Sample variance of one over that of the other.

    NaN where a draw of very few runs holds a single run over and over.
    """
    above, below = (np.var(part, axis=axis, ddof=1) for part in (one, other))
    return np.asarray(np.divide(above, np.where(below > 0, below, np.nan)))


def best_mean(losses: np.ndarray, *, axis: int = -1) -> np.ndarray:
    """The mean of the best tenth of the runs, at least one."""
    ordered = np.moveaxis(np.sort(losses, axis=axis), axis, -1)
    count = max(1, round(BEST_SHARE * ordered.shape[-1]))
    return np.asarray(ordered[..., :count].mean(axis=-1))


def best_gap(one: np.ndarray, other: np.ndarray, *, axis: int = -1) -> np.ndarray:
    """Best tenth of one against that of the other, relative to the larger."""
    first, second = best_mean(one, axis=axis), best_mean(other, axis=axis)
    return np.asarray((first - second) / np.maximum(first, second))


def cell_rows(draws: Draws, variances: Mapping[Cell, np.ndarray]) -> list[dict]:
    """One row per cell: median with interval, mean, spread, best, and share left.

    The share left is of the labels' variance.
    """
    rows = []
    for cell, losses in draws.losses.items():
        share = losses / variances[cell]
        rows.append(
            {
                "model": cell[0],
                "correlation": cell[1],
                "median": draws.estimate(np.median, cell)._asdict(),
                "mean": float(losses.mean()),
                "sd": float(losses.std(ddof=1)) if len(losses) > 1 else None,
                "quartiles": np.quantile(losses, (0.25, 0.75)).tolist(),
                "best": float(losses.min()),
                "best_tenth": draws.estimate(best_mean, cell)._asdict(),
                "worst": float(losses.max()),
                "unexplained_median": float(np.median(share)),
            }
        )
    return rows


def trainability_rows(
    draws: Draws,
    correlations: Sequence[float],
    *,
    reference: str = "mmoe",
    others: Sequence[str] = ("shared-bottom", "omoe"),
) -> list[dict]:
    """Is the spread of the other models' final loss larger than the reference's?

    Variances as a ratio with its interval; Brown and Forsythe's test (Levene's with
    medians), which does not ask for a normal distribution, on the losses and on their
    logarithms. The test takes the two samples as independent; the interval of the ratio
    draws seeds in pairs.

    Reference: Brown and Forsythe, Robust tests for the equality of variances, 1974.
    """
    rows = []
    for correlation in correlations:
        base = draws.losses[reference, correlation]
        for other in others:
            losses = draws.losses[other, correlation]
            row: dict[str, Any] = {
                "model": other,
                "reference": reference,
                "correlation": correlation,
                "variance_ratio": draws.estimate(
                    variance_ratio, (other, correlation), (reference, correlation)
                )._asdict(),
                "best_gap": draws.estimate(
                    best_gap, (other, correlation), (reference, correlation)
                )._asdict(),
            }
            for name, transform in (("raw", np.asarray), ("log", np.log)):
                test = stats.levene(transform(losses), transform(base), center="median")
                row[f"brown_forsythe_{name}"] = {
                    "statistic": float(test.statistic),
                    "p": float(test.pvalue),
                }
            row["log_sd"] = [
                float(np.log(losses).std(ddof=1)),
                float(np.log(base).std(ddof=1)),
            ]
            rows.append(row)
    return rows


def text(estimate: Mapping[str, float] | Estimate, digits: int = 3) -> str:
    """`0.512 [0.498, 0.530]`."""
    values = estimate._asdict() if isinstance(estimate, Estimate) else estimate
    numbers = [f"{values[name]:.{digits}f}" for name in ("value", "low", "high")]
    return f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"
