"""Rows ranked within their groups."""

import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import labelgraph_jax as lg
from tests.examples import examples
from tests.reference import row_groups as reference

KS = (1, 2, 5)


@given(seed=st.integers(0, 2**31 - 1))
@examples(30)
def test_metrics_equal_the_mean_over_all_orders_of_tied_rows(seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 3, 14).astype(float)
    targets, groups = generator.random(14) < 0.4, generator.integers(-1, 4, 14)
    found = lg.functional.ranking_within_groups(scores, targets, groups, ks=KS)
    expected = reference.ranking_within_groups(scores, targets, groups, KS)
    for name, value in expected.items():
        close = value if value is None else pytest.approx(value, abs=1e-12)
        assert found[name] == close, name


def test_a_group_is_measured_as_scikit_learn_does_and_weighed_by_its_rows() -> None:
    generator = np.random.default_rng(0)
    scores, users = generator.normal(size=400), generator.integers(0, 20, 400)
    clicks = generator.random(400) < 0.3
    aucs, rows = [], []
    for user in range(20):
        own = users == user
        aucs.append(roc_auc_score(clicks[own], scores[own]))
        rows.append(own.sum())
    found = lg.functional.ranking_within_groups(scores, clicks, users)
    assert found["AUC"] == pytest.approx(np.mean(aucs), abs=1e-12)
    assert found["GAUC"] == pytest.approx(np.average(aucs, weights=rows), abs=1e-12)
    assert (found["groups"], found["mixed"]) == (20, 20)


def test_what_shifts_a_whole_group_changes_nothing() -> None:
    generator = np.random.default_rng(1)
    scores, users = generator.normal(size=200), generator.integers(0, 9, 200)
    clicks = generator.random(200) < 0.3
    shifted = scores + 100.0 * users
    one, other = (
        lg.functional.ranking_within_groups(each, clicks, users)
        for each in (scores, shifted)
    )
    assert one == pytest.approx(other)


def test_equal_scores_get_what_chance_gives() -> None:
    targets, groups = np.array([1, 0, 0, 0]), np.zeros(4, int)
    found = lg.functional.ranking_within_groups(np.zeros(4), targets, groups)
    assert (found["AUC"], found["hit@1"], found["hit@5"]) == (0.5, 0.25, 1.0)


def test_where_no_group_counts_metrics_are_undefined() -> None:
    for groups in (np.array([0, 1]), np.array([-1, -1])):
        found = lg.functional.ranking_within_groups(
            np.array([0.1, 0.2]), np.array([0, 0]), groups
        )
        assert found["AUC"] is found["GAUC"] is found["nDCG@5"] is None
    empty = lg.functional.ranking_within_groups(
        np.zeros(0), np.zeros(0), np.zeros(0, int)
    )
    assert empty["groups"] == 0


def test_malformed_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    rank = lg.functional.ranking_within_groups
    with pytest.raises(ValueError, match=r"must fit together"):
        rank(np.zeros(2), np.zeros(3), np.zeros(2, int))
    with pytest.raises(ValueError, match="k must be >= 1, got 0"):
        rank(np.zeros(2), np.zeros(2), np.zeros(2, int), ks=(0, 5))
    with pytest.raises(ValueError, match="scores must be numbers, got NaN"):
        rank(np.array([np.nan]), np.zeros(1), np.zeros(1, int))
