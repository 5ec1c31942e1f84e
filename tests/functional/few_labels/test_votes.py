"""Votes against loops; planted accuracies are found; what cannot be found is said."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import labelgraph_jax as lg

F = lg.functional


def planted(seed, accuracies, coverage, count=8_000, prior=0.3):
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < prior
    votes = np.zeros((count, len(accuracies)), int)
    for f, (accuracy, share) in enumerate(zip(accuracies, coverage, strict=True)):
        right = rng.random(count) < accuracy
        cast = np.where(truth == right, 1, -1)
        votes[:, f] = np.where(rng.random(count) < share, cast, 0)
    return truth, votes


def em_by_loops(votes, steps):
    count, functions = votes.shape
    p, votes = np.zeros(count), votes.tolist()
    shares = []
    for row in votes:
        total = sum(v != 0 for v in row)
        shares.append(sum(v > 0 for v in row) / total if total else 0.0)
    g = sum(shares) / count
    for m, row in enumerate(votes):
        total = sum(v != 0 for v in row)
        p[m] = (sum(v > 0 for v in row) + 0.25 * g) / (total + 0.25) if total else g
    for _ in range(steps):
        g = sum(p) / count
        rates = {}
        for f in range(functions):
            for y in (0, 1):
                weights = [q if y else 1 - q for q in p]
                for answer in (-1, 0, 1):
                    hits = sum(
                        w
                        for w, row in zip(weights, votes, strict=True)
                        if row[f] == answer
                    )
                    rates[f, y, answer] = (hits + 0.01) / (sum(weights) + 0.03)
        new = []
        for row in votes:
            one, zero = g, 1 - g
            for f, v in enumerate(row):
                one *= rates[f, 1, v]
                zero *= rates[f, 0, v]
            new.append(one / (one + zero))
        p = np.array(new)
    return p, g


@given(st.integers(0, 2**31 - 1))
def test_a_majority_is_that_of_a_loop_and_more_votes_for_never_lower_it(seed):
    rng = np.random.default_rng(seed)
    votes = rng.integers(-1, 2, (10, 4))
    found = F.vote_model(votes, 0.2)
    for row, p, voted in zip(votes, found.probabilities, found.voted, strict=True):
        total = sum(v != 0 for v in row)
        wanted = (sum(v > 0 for v in row) + 0.25 * 0.2) / (total + 0.25)
        assert p == pytest.approx(wanted)
        assert voted == (total > 0)
    more = np.maximum(votes, rng.integers(0, 2, votes.shape))
    assert (F.vote_model(more, 0.2).probabilities >= found.probabilities - 1e-12).all()
    order = rng.permutation(4)
    other = F.vote_model(votes[:, order], 0.2)
    np.testing.assert_allclose(other.probabilities, found.probabilities)
    np.testing.assert_allclose(other.accuracies, found.accuracies[order])


def test_expectation_maximisation_is_that_of_loops():
    _, votes = planted(0, (0.9, 0.8, 0.7), (1.0, 0.6, 0.8), count=40)
    found = F.vote_model(votes, method="em", steps=4)
    p, g = em_by_loops(votes, 4)
    np.testing.assert_allclose(found.probabilities, p, atol=1e-9)
    assert found.prior == pytest.approx(g)


@pytest.mark.parametrize("seed", range(4))
def test_planted_accuracies_are_found_within_three_hundredths(seed):
    accuracies, coverage = (0.9, 0.75, 0.65, 0.8), (0.9, 0.7, 0.8, 0.3)
    truth, votes = planted(seed, accuracies, coverage)
    found = F.vote_model(votes, method="em")
    np.testing.assert_allclose(found.accuracies, accuracies, atol=0.03)
    assert found.prior == pytest.approx(0.3, abs=0.03)
    majority = F.vote_model(votes, 0.3)
    right = ((found.probabilities > 0.5) == truth)[found.voted].mean()
    assert right > ((majority.probabilities > 0.5) == truth)[majority.voted].mean()


def test_silence_of_functions_that_find_most_counts_for_something():
    rng = np.random.default_rng(1)
    truth = rng.random(6_000) < 0.1
    finds = rng.random((6_000, 3)) < np.where(truth[:, None], 0.7, 0.02)
    found = F.vote_model(finds.astype(int), method="em")
    alone = finds[:, 0] & ~finds[:, 1:].any(axis=1)
    assert found.probabilities[alone].max() < 0.5
    assert truth[alone].mean() < 0.5
    both = finds.sum(axis=1) == 2
    assert found.probabilities[both].min() > 0.9


def test_two_functions_are_left_to_the_majority():
    _, votes = planted(0, (0.9, 0.6), (1.0, 1.0), count=200)
    found, majority = (F.vote_model(votes, method=m) for m in ("em", "majority"))
    np.testing.assert_array_equal(found.probabilities, majority.probabilities)


def test_a_function_that_never_voted_has_no_accuracy_and_nobody_leaves_the_prior():
    found = F.vote_model(np.array([[1, 0], [0, 0]]), 0.25)
    assert np.isnan(found.accuracies[1])
    assert found.probabilities[1] == 0.25
    assert found.voted.tolist() == [True, False]
    nothing = F.vote_model(np.zeros((0, 3), int), method="em")
    assert nothing.probabilities.shape == (0,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.vote_model(np.array([[2]])), "-1, 0 or 1, got 2 to 2"),
        (lambda: F.vote_model(np.array([[1]]), 1.5), "prior must be between 0 and 1"),
        (
            lambda: F.vote_model(np.array([[1]]), method="mean"),
            "majority or em, .* 'mean'",
        ),
        (lambda: F.vote_model(np.array([[1]]), strength=0.0), "strength above 0"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
