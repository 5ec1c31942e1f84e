"""What KDD 2018 reports of its synthetic experiment, each answered with numbers."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from experiments.mmoe.synthetic_statistics import (
    COMPARABLE,
    Draws,
    best_gap,
    gap_of_gaps,
    median_gap,
    text,
    variance_ratio,
)

SHARED, ONE_GATE, MANY_GATES = "shared-bottom", "omoe", "mmoe"


class Finding(NamedTuple):
    """A claim of the paper, whether it holds here, and by what numbers."""

    claim: str
    holds: bool
    numbers: str


def findings(draws: Draws, correlations: Sequence[float]) -> list[dict[str, Any]]:
    """The paper's claims; none where a model or a second correlation is missing.

    "Holds" asks for an interval clear of zero (of one, for ratios) wherever the claim
    speaks of a difference, at every correlation it speaks of.
    """
    order = sorted(correlations)
    models = {model for model, _ in draws.losses}
    if len(order) < 2 or models != {SHARED, ONE_GATE, MANY_GATES}:
        return []
    answers: list[Callable[[Draws, list[float]], Finding]] = [
        _better_when_related,
        _smallest_gap,
        _one_gate_is_enough_at_the_top,
        _one_gate_is_worse_at_the_bottom,
        _mixtures_win,
        _largest_variance,
        _comparable_at_best,
    ]
    return [answer(draws, order)._asdict() for answer in answers]


def _better_when_related(draws: Draws, order: list[float]) -> Finding:
    gaps = {
        model: draws.estimate(median_gap, (model, order[0]), (model, order[-1]))
        for model in (SHARED, ONE_GATE, MANY_GATES)
    }
    return Finding(
        f"Every model ends lower at correlation {order[-1]:g} than at {order[0]:g}",
        all(gap.above_zero for gap in gaps.values()),
        "difference of the medians: " + _listed(gaps),
    )


def _smallest_gap(draws: Draws, order: list[float]) -> Finding:
    low, high = order[0], order[-1]
    gaps = {
        f"{model} minus {MANY_GATES}": draws.estimate(
            gap_of_gaps,
            (model, low),
            (model, high),
            (MANY_GATES, low),
            (MANY_GATES, high),
        )
        for model in (SHARED, ONE_GATE)
    }
    return Finding(
        "MMoE loses least from low correlation to high",
        all(gap.above_zero for gap in gaps.values()),
        "gaps of the medians between the correlations: " + _listed(gaps),
    )


def _one_gate_is_enough_at_the_top(draws: Draws, order: list[float]) -> Finding:
    high = order[-1]
    gap = draws.estimate(median_gap, (ONE_GATE, high), (MANY_GATES, high))
    return Finding(
        f"OMoE and MMoE are level at correlation {high:g}",
        not gap.clear,
        f"median of OMoE minus MMoE: {text(gap)}",
    )


def _one_gate_is_worse_at_the_bottom(draws: Draws, order: list[float]) -> Finding:
    low = order[0]
    gap = draws.estimate(median_gap, (ONE_GATE, low), (MANY_GATES, low))
    return Finding(
        f"OMoE is worse than MMoE at correlation {low:g}",
        gap.above_zero,
        f"median of OMoE minus MMoE: {text(gap)}",
    )


def _mixtures_win(draws: Draws, order: list[float]) -> Finding:
    gaps = {
        f"{model} at {p:g}": draws.estimate(median_gap, (SHARED, p), (model, p))
        for p in order
        for model in (ONE_GATE, MANY_GATES)
    }
    return Finding(
        "Both mixtures end below shared-bottom at every correlation",
        all(gap.above_zero for gap in gaps.values()),
        "median of shared-bottom minus " + _listed(gaps),
    )


def _largest_variance(draws: Draws, order: list[float]) -> Finding:
    ratios = {
        f"{p:g}": draws.estimate(variance_ratio, (SHARED, p), (MANY_GATES, p))
        for p in order
    }
    return Finding(
        "Final losses of shared-bottom vary most (trainability)",
        all(ratio.low > 1 for ratio in ratios.values()),
        "variance of shared-bottom over that of MMoE at " + _listed(ratios, 2),
    )


def _comparable_at_best(draws: Draws, order: list[float]) -> Finding:
    gaps = {
        f"{model} at {p:g}": draws.estimate(best_gap, (model, p), (MANY_GATES, p))
        for p in order
        for model in (SHARED, ONE_GATE)
    }
    return Finding(
        f"The best tenths of the runs are within {COMPARABLE:.0%} of MMoE's",
        all(abs(gap.value) <= COMPARABLE for gap in gaps.values()),
        "relative difference to MMoE, above zero is worse: " + _listed(gaps),
    )


def _listed(estimates: dict[str, Any], digits: int = 3) -> str:
    return "; ".join(f"{name} {text(e, digits)}" for name, e in estimates.items())
