import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.metrics.calibration import (
    calibration_bins,
    expected_calibration_error,
)
from tests.examples import examples
from tests.reference import calibration as reference


def cells(seed=0, count=200):
    rng = np.random.default_rng(seed)
    probabilities = rng.random(count).astype(np.float32) ** 2
    return probabilities, (rng.random(count) < probabilities).astype(np.float32)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("chunk_size", [1, 7, 2**22])
def test_bins_equal_their_loop_for_every_chunk_size(masked, chunk_size):
    probabilities, targets = cells()
    mask = np.arange(200) % 3 > 0 if masked else None
    found = calibration_bins(
        probabilities, targets, bins=7, target_mask=mask, chunk_size=chunk_size
    )
    expected = reference.calibration_bins(probabilities, targets, 7, mask)
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, wanted, rtol=1e-12)
    assert expected_calibration_error(found) == pytest.approx(
        reference.expected_calibration_error(*expected), abs=1e-12
    )


def test_bins_of_two_batches_add_to_those_of_both():
    probabilities, targets = cells()
    one = calibration_bins(probabilities[:80], targets[:80])
    other = calibration_bins(probabilities[80:], targets[80:])
    whole = calibration_bins(probabilities, targets)
    for values, wanted in zip(one + other, whole, strict=True):
        np.testing.assert_allclose(values, wanted)


@examples(50)
@given(
    values=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40),
    bins=st.integers(1, 12),
)
def test_every_cell_is_in_one_bin_whose_mean_lies_within_its_edges(values, bins):
    probabilities = np.array(values, np.float32)
    found = calibration_bins(probabilities, np.zeros(len(values)), bins=bins)
    assert found.cells.sum() == len(values)
    filled = found.cells > 0
    edges = np.arange(bins + 1) / bins
    means = found.mean_probability[filled]
    assert (means >= edges[:-1][filled] - 1e-9).all()
    assert (means <= edges[1:][filled] + 1e-9).all()
    assert 0.0 <= expected_calibration_error(found) <= 1.0


def test_the_ends_belong_to_the_first_and_the_last_bin_and_empty_bins_are_nan():
    found = calibration_bins(np.array([0.0, 1.0]), np.array([0, 1]), bins=4)
    assert found.cells.tolist() == [1, 0, 0, 1]
    assert np.isnan(found.mean_probability[1]) and np.isnan(found.positive_rate[2])
    assert expected_calibration_error(found) == 0.0


def test_no_cell_at_all_has_no_error():
    empty = calibration_bins(np.zeros((0, 3)), np.zeros((0, 3)))
    assert expected_calibration_error(empty) == 0.0


def test_what_is_no_probability_or_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got 1.5"):
        calibration_bins(np.array([0.5, 1.5]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got nan"):
        calibration_bins(np.array([np.nan]), np.array([0]))
    with pytest.raises(ValueError, match="at least 1, got 0 and"):
        calibration_bins(np.array([0.5]), np.array([0]), bins=0)
