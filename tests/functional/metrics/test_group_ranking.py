"""Metrics within groups of labels: from all scores, and from the best labels."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from labelgraph_jax.functional.metrics.groups import (
    competing_r_precision,
    group_hits,
    group_ranking_metrics,
    ranked_group_metrics,
)
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from tests.examples import examples
from tests.reference import group_ranking as reference

KS = (1, 3, 5)
GROUPS = {
    "frequent": np.array([0, 3]),
    "few": np.array([1, 2, 5, 6, 7, 8]),
    "zero": np.array([4]),
}
NAMES = ("R", "RP", "nDCG")


def made(seed: int, documents: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    # Few distinct scores, so that ties are met.
    scores = random.integers(0, 6, (documents, 9)).astype(np.float32)
    return scores, (random.random((documents, 9)) < 0.25).astype(np.float32)


def ranked(scores: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def from_ranking(ids, targets, ks=KS, groups=None):
    truth = csr_array(targets)
    return ranked_group_metrics(
        ids,
        truth.indptr,
        truth.indices,
        GROUPS if groups is None else groups,
        labels=9,
        ks=ks,
    )


@examples(15)
@given(st.integers(0, 10_000))
def test_both_ways_equal_the_plain_loops(seed: int) -> None:
    scores, targets = made(seed)
    dense = group_ranking_metrics(scores, targets, GROUPS, ks=KS)
    lists = from_ranking(ranked(scores, 9), targets)
    for name, group in GROUPS.items():
        for k in KS:
            documents, expected = reference.group_metrics(scores, targets, group, k)
            for found in (dense[name], lists[name]):
                got = [found[f"{metric}@{k}"] for metric in NAMES]
                np.testing.assert_allclose(got, expected, atol=1e-12)
                assert found["documents"] == documents
                assert found["labels"] == len(group)
            assert lists[name][f"complete@{k}"] in (1.0,) or not documents


def compete(ids, targets, groups, k, labels=9):
    truth = csr_array(targets)
    rows = truth.indptr, truth.indices, groups
    return competing_r_precision(ids, *rows, labels=labels, k=k)


@examples(15)
@given(st.integers(0, 10_000), st.sampled_from(KS))
def test_competing_groups_equal_the_plain_loop(seed: int, k: int) -> None:
    scores, targets = made(seed)
    ids = ranked(scores, 6)
    ids[0, 2:] = -1  # fewer labels than places
    found = compete(ids, targets, GROUPS, k)
    expected = {}
    for name, group in GROUPS.items():
        values = []
        for row, truth in zip(ids, targets, strict=True):
            own = [label for label in group if truth[label] > 0]
            if own:
                hits = sum(label in own for label in row[:k])
                values.append(hits / min(k, len(own)))
        expected[name] = np.mean(values) if values else np.nan
        np.testing.assert_allclose(found[name], expected[name], atol=1e-12)
    each = list(expected.values())
    harmonic = 0.0 if 0.0 in each else len(each) / sum(1.0 / value for value in each)
    np.testing.assert_allclose(found["harmonic_mean"], harmonic, atol=1e-12)


def test_bad_competitors_are_refused() -> None:
    ids, targets = np.array([[0, 1]]), np.array([[1.0, 0.0]])
    with pytest.raises(ValueError, match="k must lie from 1 to 2, got 3"):
        compete(ids, targets, {}, 3, labels=2)
    with pytest.raises(ValueError, match="label ids must be below 1"):
        compete(ids, targets, {}, 1, labels=1)
    with pytest.raises(ValueError, match="group 'x' must lie from 0 to 1; got 2"):
        compete(ids, targets, {"x": np.array([2])}, 1, labels=2)


def test_eager_equals_jit() -> None:
    scores, targets = made(0)
    eager = group_hits(scores, targets, GROUPS["few"], 3)
    compiled = jax.jit(group_hits, static_argnames="k")
    for ours, theirs in zip(
        eager, compiled(scores, targets, GROUPS["few"], k=3), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_the_group_of_all_labels_gives_the_metrics_of_the_labelled_documents() -> None:
    scores, targets = made(3)
    targets[targets.sum(axis=1) == 0, 0] = 1
    found = group_ranking_metrics(scores, targets, {"all": np.arange(9)}, ks=KS)["all"]
    whole = evaluate_scores(scores, targets, np.full(9, 0.5), ks=KS)
    for k in KS:
        for name in NAMES:
            np.testing.assert_allclose(found[f"{name}@{k}"], whole[f"{name}@{k}"])


def test_other_groups_do_not_stand_in_the_way() -> None:
    scores = np.float32([[9, 8, 7, 6, 5, 4, 3, 2, 1]])
    targets = np.float32([[1, 0, 0, 0, 1, 0, 0, 0, 0]])
    found = group_ranking_metrics(scores, targets, GROUPS, ks=(1,))
    assert found["zero"]["R@1"] == 1.0 and found["frequent"]["R@1"] == 1.0
    assert found["few"]["documents"] == 0 and np.isnan(found["few"]["R@1"])


def test_lists_that_run_out_are_lower_bounds_and_say_so() -> None:
    scores, targets = made(5, documents=40)
    whole = group_ranking_metrics(scores, targets, GROUPS, ks=KS)
    cut = from_ranking(ranked(scores, 4), targets)
    for name in GROUPS:
        for k in KS:
            assert cut[name][f"R@{k}"] <= whole[name][f"R@{k}"] + 1e-12
    assert cut["few"]["complete@5"] < 1
    padded = np.pad(ranked(scores, 4), ((0, 0), (0, 3)), constant_values=-1)
    assert from_ranking(padded, targets) == cut


def test_an_empty_group_has_no_number() -> None:
    scores, targets = made(1)
    empty = {"none": np.zeros(0, np.int64)}
    for found in (
        group_ranking_metrics(scores, targets, empty, ks=(5,)),
        from_ranking(ranked(scores, 9), targets, (5,), empty),
    ):
        assert found["none"]["labels"] == 0 and np.isnan(found["none"]["RP@5"])


@pytest.mark.parametrize(
    ("group", "ks", "message"),
    [
        ([9], (1,), "must lie from 0 to 8; got 9 to 9"),
        ([-1], (1,), "must lie from 0 to 8"),
        ([1, 1], (1,), "stands in group 'g' once"),
        ([1], (0,), "k must be >= 1, got 0"),
    ],
)
def test_groups_and_ranks_that_are_none_are_refused(group, ks, message) -> None:
    scores, targets = made(0)
    groups = {"g": np.array(group)}
    with pytest.raises(ValueError, match=message):
        group_ranking_metrics(scores, targets, groups, ks=ks)
    with pytest.raises(ValueError, match=message):
        from_ranking(ranked(scores, 9), targets, ks, groups)


def test_a_ranking_of_more_labels_than_there_are_is_refused() -> None:
    _, targets = made(0)
    with pytest.raises(ValueError, match="label ids must be below 9"):
        from_ranking(np.full((12, 1), 9), targets)
    with pytest.raises(ValueError, match="at least one label to be ranked"):
        group_hits(targets, targets, np.zeros(0, np.int32), 1)
