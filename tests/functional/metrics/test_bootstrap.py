"""The paired bootstrap: equal to loops, paired indeed, and honest about chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.functional.metrics.bootstrap import (
    document_draws,
    paired_interval,
    resampled_f1,
    run_draws,
)
from labelgraph_jax.functional.metrics.counts import (
    label_counts,
    summarise_label_counts,
)
from tests.examples import examples
from tests.reference import bootstrap as reference


def made(seed: int, documents: int = 12, labels: int = 4) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    targets = generator.random((documents, labels)) < 0.3
    wrong = generator.random((documents, labels)) < 0.2
    return targets ^ wrong, targets.astype(np.float32)


@examples(15)
@given(st.integers(0, 2**16))
def test_resampled_f1_is_that_of_the_documents_drawn(seed: int) -> None:
    decisions, targets = made(seed)
    draws = document_draws(len(targets), 5, seed=seed)
    found = resampled_f1(decisions, targets, draws)
    expected = reference.resampled_f1(decisions, targets, draws)
    np.testing.assert_allclose(found["micro_f1"], [e[0] for e in expected], atol=1e-12)
    np.testing.assert_allclose(found["macro_f1"], [e[1] for e in expected], atol=1e-12)


def test_every_document_drawn_once_gives_the_plain_metrics() -> None:
    decisions, targets = made(3)
    found = resampled_f1(decisions, targets, np.ones((1, len(targets)), np.int64))
    plain = summarise_label_counts(label_counts(decisions, targets))
    for name, values in found.items():
        assert values[0] == pytest.approx(plain[name], abs=1e-12)


def test_draws_put_back_what_they_took_and_follow_from_the_seed() -> None:
    draws, runs = document_draws(20, 8, seed=1), run_draws(3, 8, seed=1)
    assert draws.shape == (8, 20) and (draws.sum(1) == 20).all() and draws.max() > 1
    assert runs.shape == (8, 3) and set(np.unique(runs)) == {0, 1, 2}
    np.testing.assert_array_equal(draws, document_draws(20, 8, seed=1))
    assert (draws != document_draws(20, 8, seed=2)).any()


@examples(20)
@given(st.integers(0, 2**16), st.integers(1, 4))
def test_an_interval_is_that_of_the_drawn_pairs(seed: int, seeds: int) -> None:
    generator = np.random.default_rng(seed)
    values, other = generator.random((2, 30, seeds))
    runs = run_draws(seeds, 30, seed=seed)
    found = paired_interval(values, other, runs, difference=0.1, alpha=0.2)
    low, high = reference.paired_interval(values, other, runs, 0.2)
    assert found.difference == 0.1
    assert found.low == pytest.approx(low) and found.high == pytest.approx(high)


def test_a_constant_gain_has_an_interval_of_no_width_however_hard_the_documents() -> (
    None
):
    other = np.random.default_rng(0).random((50, 4))
    found = paired_interval(other + 0.02, other, run_draws(4, 50), difference=0.02)
    assert found.low == pytest.approx(0.02) and found.high == pytest.approx(0.02)


def test_no_difference_is_covered_by_most_intervals() -> None:
    covered = 0
    for trial in range(60):
        generator = np.random.default_rng(trial)
        targets = (generator.random((80, 3)) < 0.4).astype(np.float32)
        both = [(targets > 0) ^ (generator.random(targets.shape) < 0.2) for _ in "ab"]
        draws = document_draws(80, 200, seed=trial)
        ours, theirs = (
            resampled_f1(decisions, targets, draws)["macro_f1"][:, None]
            for decisions in both
        )
        runs = run_draws(1, 200, seed=trial)
        found = paired_interval(ours, theirs, runs, difference=0.0)
        covered += found.low <= 0 <= found.high
    assert 50 <= covered < 60


def test_bad_arguments_are_told() -> None:
    with pytest.raises(ValueError, match=r"documents must be at least 1, got 0"):
        document_draws(0, 5)
    with pytest.raises(ValueError, match=r"resamples must be at least 1, got 0"):
        run_draws(3, 0)
    column = np.zeros((3, 1))
    runs = np.zeros((3, 1), np.int64)
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\), got 1.0"):
        paired_interval(column, column, runs, difference=0.0, alpha=1.0)
