"""Areas and means on resampled users equal those of the rows written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.metrics.bootstrap_ranking import (
    group_draws,
    resampled_areas,
    resampled_mean,
)
from labelgraph_jax.functional.metrics.tasks import pr_auc, roc_auc
from tests.examples import examples


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.booleans())
@examples(40)
def test_areas_equal_those_of_the_drawn_rows_repeated(seed, rows, tied) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=rows)
    scores = np.round(scores) if tied else scores
    targets = generator.random(rows) < 0.4
    draws = generator.integers(0, 4, (5, rows))
    areas = resampled_areas(scores, targets, draws)
    means = resampled_mean(scores, draws)
    for resample, counts in enumerate(draws):
        drawn, true = np.repeat(scores, counts), np.repeat(targets, counts)
        for name, measure in (("auc", roc_auc), ("pr_auc", pr_auc)):
            expected = measure(drawn, true)
            got = areas[name][resample]
            if expected is None:
                assert np.isnan(got)
            else:
                np.testing.assert_allclose(got, expected, atol=1e-12)
        if len(drawn):
            np.testing.assert_allclose(means[resample], drawn.mean(), atol=1e-12)
        else:
            assert np.isnan(means[resample])


def test_rows_of_one_user_are_drawn_together_and_users_as_often_as_there_are() -> None:
    users = np.array([7, 3, 7, 9, 3, 3])
    draws = group_draws(users, 200, seed=1)
    assert draws.shape == (200, 6)
    np.testing.assert_array_equal(draws[:, 0], draws[:, 2])
    np.testing.assert_array_equal(draws[:, 1], draws[:, 5])
    np.testing.assert_array_equal(draws[:, [0, 1, 3]].sum(axis=1), 3)
    assert (draws[:, 3] == 0).any() and (draws[:, 3] > 1).any()


def test_more_resamples_than_a_chunk_are_all_computed() -> None:
    generator = np.random.default_rng(0)
    scores, targets = generator.normal(size=40), generator.random(40) < 0.5
    draws = group_draws(np.arange(40), 120)
    areas = resampled_areas(scores, targets, draws)
    assert areas["auc"].shape == areas["pr_auc"].shape == (120,)
    last = resampled_areas(scores, targets, draws[-1:])
    assert areas["auc"][-1] == last["auc"][0]


def test_no_resample_is_refused() -> None:
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        group_draws(np.arange(3), 0)
