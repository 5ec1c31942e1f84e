"""Calibration: of the cells given a probability near p, is a share p positive?"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from labelgraph_jax.functional.checks import check_targets

Host = np.ndarray


class CalibrationBins(NamedTuple):
    """Cells (documents x labels) by their probability, in bins of equal width.

    Bin b of K holds the probabilities in [b / K, (b + 1) / K), the last one 1 as well.
    `a + b` adds the counts of two batches.
    """

    cells: Int[Host, " K"]
    positives: Int[Host, " K"]
    probability_sum: Float[Host, " K"]

    def __add__(self, other: "CalibrationBins") -> "CalibrationBins":  # type: ignore[override]
        return CalibrationBins(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def mean_probability(self) -> Float[Host, " K"]:
        """Mean probability of each bin's cells; NaN of an empty bin."""
        return _shares(self.probability_sum, self.cells)

    @property
    def positive_rate(self) -> Float[Host, " K"]:
        """The share of each bin's cells that are positive; NaN of an empty bin."""
        return _shares(self.positives, self.cells)


def calibration_bins(
    probabilities: Float[Array | Host, "*cells"],
    targets: Shaped[Array | Host, "*cells"],
    *,
    bins: int = 10,
    target_mask: Bool[Array | Host, "*cells"] | None = None,
    chunk_size: int = 2**22,
) -> CalibrationBins:
    """Count cells and positives, and sum probabilities, by bin of probability.

    Cells are taken in chunks, and sums are in float64, so that memory beyond the
    arguments stays bounded and any number of cells is counted exactly.

    Args:
        probabilities: in [0, 1], of any shape.
        targets: positive where > 0.
        bins: how many bins of equal width.
        target_mask: True where the cell is annotated; others are not counted.
        chunk_size: cells at a time; it does not change the counts.

    Returns:
        Counts and sums per bin, which add over batches.

    Raises:
        ValueError: shapes differ, a probability or an annotated target lies outside
            [0, 1] or is NaN, or `bins` or `chunk_size` is below 1.

    Reference: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    section 2; there for the largest probability of a row, here for every label.
    """
    # Check shapes and sizes.
    given, truth = np.asarray(probabilities), np.asarray(targets)
    mask = None if target_mask is None else np.asarray(target_mask, bool)
    if truth.shape != given.shape or (mask is not None and mask.shape != given.shape):
        raise ValueError(
            f"probabilities of shape {given.shape} need targets and a target_mask of "
            f"that shape, got {truth.shape} and {None if mask is None else mask.shape}"
        )
    if bins < 1 or chunk_size < 1:
        raise ValueError(
            f"bins and chunk_size must be at least 1, got {bins} and {chunk_size}"
        )
    check_targets(truth, mask)
    # Chunk by chunk, so that copies in float64 stay small.
    given, truth = given.reshape(-1), truth.reshape(-1)
    zeros = np.zeros(bins, np.int64)
    total = CalibrationBins(zeros, zeros, np.zeros(bins))
    for start in range(0, len(given), chunk_size):
        part = slice(start, start + chunk_size)
        values, positive = given[part].astype(np.float64), truth[part] > 0
        if mask is not None:
            kept = mask.reshape(-1)[part]
            values, positive = values[kept], positive[kept]
        if not ((values >= 0.0) & (values <= 1.0)).all():
            wrong = values[~((values >= 0.0) & (values <= 1.0))][0]
            raise ValueError(f"probabilities must lie in [0, 1], got {wrong}")
        # The last bin holds probability 1 too.
        bin_of = np.minimum((values * bins).astype(np.int64), bins - 1)
        total += CalibrationBins(
            np.bincount(bin_of, minlength=bins),
            np.bincount(bin_of[positive], minlength=bins),
            np.bincount(bin_of, weights=values, minlength=bins),
        )
    return total


def expected_calibration_error(bins: CalibrationBins) -> float:
    """sum_b cells_b / cells abs(mean_probability_b - positive_rate_b), in [0, 1].

    Most cells of many labels are certain negatives, on which every model is right;
    they make this number small. 0 where no cell was counted.
    """
    cells = int(bins.cells.sum())
    return float(np.abs(bins.probability_sum - bins.positives).sum() / max(cells, 1))


def _shares(part: Shaped[Host, " K"], whole: Int[Host, " K"]) -> Float[Host, " K"]:
    none = np.full(len(whole), np.nan)
    return np.divide(part, whole, out=none, where=whole > 0)
