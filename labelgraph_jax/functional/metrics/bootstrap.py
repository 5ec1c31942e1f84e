"""Paired bootstrap of F1: is one classifier better than another, or is it chance?

A test set is one sample of documents and a handful of seeds one sample of runs, so both
are drawn again. The two classifiers are measured on the same draws: what is hard about
a document, or lucky about a seed, hits both and cancels in the difference.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import check_axes, check_targets


class Interval(NamedTuple):
    """A difference, and where 1 - alpha of its bootstrap draws lie."""

    difference: float
    low: float
    high: float


def document_draws(
    documents: int, resamples: int, *, seed: int = 0
) -> Int[np.ndarray, "R M"]:
    """Count each document in each resample: M drawn from M, put back.

    Raises:
        ValueError: there is no document or no resample.
    """
    _check_counts(documents=documents, resamples=resamples)
    generator = np.random.default_rng((seed, 0))
    return generator.multinomial(
        documents, np.full(documents, 1.0 / documents), size=resamples
    )


def run_draws(runs: int, resamples: int, *, seed: int = 0) -> Int[np.ndarray, "R S"]:
    """Draw the runs of each resample: S drawn from S, put back.

    Raises:
        ValueError: there is no run or no resample.
    """
    _check_counts(runs=runs, resamples=resamples)
    generator = np.random.default_rng((seed, 1))
    return generator.integers(0, runs, (resamples, runs))


def resampled_f1(
    decisions: Bool[np.ndarray, "M N"],
    targets: Shaped[np.ndarray, "M N"],
    draws: Int[np.ndarray, "R M"],
) -> dict[str, Float[np.ndarray, " R"]]:
    """Micro- and macro-F1 of one run on every resample of the documents.

    With c_rm how often resample r holds document m, the counts of a label are
    tp_r = sum_m c_rm [predicted and true], and so on: one matrix product each. The
    conventions are those of `functional.metrics`: 0 / 0 = 0, and macro averages over
    all labels, those without a positive in the resample included. A label with one
    positive is missing from 37 of 100 resamples, so macro-F1, and a difference of two,
    lies nearer to 0 in the resamples than on the documents themselves.

    Args:
        decisions: True where the label is predicted.
        targets: positive where > 0.
        draws: from `document_draws`.

    Returns:
        micro_f1 and macro_f1.
    """
    check_axes(
        decisions=(decisions, "M N"), targets=(targets, "M N"), draws=(draws, "R M")
    )
    check_targets(targets)
    truth = np.asarray(targets) > 0
    # float32 products of counts are exact up to 2^24 documents.
    weights = draws.astype(np.float32)
    hits = weights @ (decisions & truth).astype(np.float32)  # [R, N]
    either = weights @ (decisions.astype(np.float32) + truth)  # predicted + positives
    return f1_of_counts(hits, either)


def f1_of_counts(
    hits: Float[np.ndarray, "R N"], either: Float[np.ndarray, "R N"]
) -> dict[str, Float[np.ndarray, " R"]]:
    """Micro- and macro-F1 of R resamples from counts per label; 0 / 0 = 0.

    Args:
        hits: documents where a label is predicted and true.
        either: documents where it is predicted, plus those where it is true.
    """
    hits, either = hits.astype(np.float64), either.astype(np.float64)
    return {
        "micro_f1": 2 * hits.sum(1) / either.sum(1).clip(1),
        "macro_f1": (2 * hits / either.clip(1)).mean(1),
    }


def paired_interval(
    values: Float[np.ndarray, "R S"],
    reference: Float[np.ndarray, "R S"],
    runs: Int[np.ndarray, "R S"],
    *,
    difference: float,
    alpha: float = 0.05,
) -> Interval:
    """The percentile interval of mean(values) - mean(reference), both levels drawn.

    Resample r gives mean_s (values - reference)[r, runs[r, s]]: its documents are drawn
    as `document_draws` says, and which pairs of runs count as `run_draws` does.

    Args:
        values: a metric on every resample of the documents, for each run.
        reference: the same of the other classifier; column s is the run with the same
            seed, or all columns are alike where there is one run alone.
        runs: from `run_draws`.
        difference: the plain difference of the means, on all documents and runs.
        alpha: the share of draws outside the interval.

    Raises:
        ValueError: an alpha outside (0, 1).

    Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    Few runs make the seeds' part of it too narrow, by sqrt((S - 1) / S): read it
    beside the t interval over the runs.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha}")
    drawn = np.take_along_axis(values - reference, runs, axis=1).mean(axis=1)
    low, high = np.quantile(drawn, [alpha / 2, 1 - alpha / 2])
    return Interval(float(difference), float(low), float(high))


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
