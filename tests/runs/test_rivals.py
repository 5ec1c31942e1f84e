"""Differences to rivals on the same test documents, with paired intervals."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import labelgraph_jax as lg
from labelgraph_jax.functional.metrics.bootstrap import document_draws, resampled_f1
from labelgraph_jax.runs.rivals import differences, label_f1


def cells(seed: int, share: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).random((60, 4)) < share


def test_a_difference_is_that_of_the_metrics_and_lies_in_its_interval() -> None:
    truth, own, other = cells(0), cells(1), cells(2)
    own[:40] = truth[:40]
    found = differences(csr_array(own), {"other": csr_array(other)}, csr_array(truth))
    for metric, interval in found["other"].items():
        expected = [
            lg.functional.evaluate_scores(x.astype(np.float32), truth, np.full(4, 0.5))[
                metric
            ]
            for x in (own, other)
        ]
        assert interval["difference"] == pytest.approx(expected[0] - expected[1])
        assert 0 < interval["low"] < interval["difference"] < interval["high"]


def test_a_rival_that_decides_alike_is_level() -> None:
    truth, own = csr_array(cells(0)), csr_array(cells(1))
    found = differences(own, {"twin": own}, truth)
    for interval in found["twin"].values():
        assert interval == {"difference": 0.0, "low": 0.0, "high": 0.0}


def test_the_interval_is_that_of_dense_resamples() -> None:
    truth, own, other = cells(0), cells(1), cells(2)
    draws = document_draws(60, 1_000)
    drawn = [resampled_f1(x, truth, draws) for x in (own, other)]
    found = differences(csr_array(own), {"other": csr_array(other)}, csr_array(truth))
    for metric, interval in found["other"].items():
        low, high = np.quantile(drawn[0][metric] - drawn[1][metric], [0.025, 0.975])
        assert (interval["low"], interval["high"]) == pytest.approx((low, high))


def test_what_is_not_annotated_counts_for_neither() -> None:
    truth, own = cells(0), cells(1)
    known = np.ones((60, 4), bool)
    known[30:] = False
    known[:, 3] = False
    half = csr_array(truth[:30, :3]), csr_array(own[:30, :3])
    f1 = label_f1(csr_array(own), csr_array(truth), known)
    assert f1 == [*label_f1(half[1], half[0]), None]
    other = cells(2)
    whole = differences(
        csr_array(own), {"other": csr_array(other)}, csr_array(truth), known
    )
    part = differences(half[1], {"other": csr_array(other[:30, :3])}, half[0])
    for metric in ("micro_f1", "macro_f1"):
        assert whole["other"][metric]["difference"] == pytest.approx(
            part["other"][metric]["difference"]
        )


def test_a_label_that_no_document_carries_has_no_f1() -> None:
    truth = np.array([[1, 0, 0], [1, 0, 1]], bool)
    own = np.array([[1, 1, 0], [0, 0, 0]], bool)
    assert label_f1(csr_array(own), csr_array(truth)) == [0.6667, None, 0.0]
