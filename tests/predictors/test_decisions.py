"""How probabilities become labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax.config import ConfigError, ThresholdConfig
from labelgraph_jax.functional.decisions.thresholds import fit_top_k
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.decision import (
    Decision,
    at_half,
    read_decision,
    save_decision,
)
from labelgraph_jax.predictors.measure import label_metrics, validation_metrics
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from tests.functional.decisions.test_threshold_fitting import made

CHAIN = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]], bool)  # 0 below 1 below 2
SCORES = np.float32([[0.9, 0.2, 0.1], [0.1, 0.3, 0.2]])


def rule(**options: Any) -> Decision:
    options = {"kind": "label", "thresholds": np.array([0.5, 0.5, 0.5])} | options
    return Decision(**options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[1, 0, 0], [0, 0, 0]]),
        ({"thresholds": np.array([0.95, 0.2, 0.2])}, [[0, 1, 0], [0, 1, 1]]),
        ({"at_least_one": True}, [[1, 0, 0], [0, 1, 0]]),
        ({"kind": "top_k", "k": 2}, [[1, 1, 0], [0, 1, 1]]),
        ({"kind": "top_k", "k": 9}, [[1, 1, 1], [1, 1, 1]]),
        ({"consistent": True, "ancestors": CHAIN}, [[1, 1, 1], [0, 0, 0]]),
        (
            {"consistent": True, "ancestors": CHAIN, "at_least_one": True},
            [[1, 1, 1], [0, 1, 1]],
        ),
        (
            {"kind": "top_k", "k": 1, "consistent": True, "ancestors": CHAIN},
            [[1, 1, 1], [0, 1, 1]],
        ),
    ],
)
def test_a_rule_decides(options: dict[str, Any], expected: list[list[int]]) -> None:
    decided = rule(**options).decide(SCORES)
    assert decided.dtype == bool
    np.testing.assert_array_equal(decided, expected)
    # Documents are decided one by one.
    np.testing.assert_array_equal(rule(**options).decide(SCORES[1:]), expected[1:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "best"}, "the rule must be one of .* got best"),
        ({"kind": "top_k"}, "top_k needs a k of at least 1, got 0"),
        ({"thresholds": np.array([np.nan])}, "there must be one number per label"),
        ({"consistent": True}, "none lies above another"),
    ],
)
def test_a_rule_that_cannot_decide_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rule(**options)


def choose(documents: int = 300, shift: float = -1.5, **config: Any) -> Decision:
    scores, truth, counts = made(documents=documents, shift=shift)
    return choose_decision(
        ThresholdConfig(**config), Predictions.of_all(scores, truth), counts
    )


def test_what_is_asked_for_is_fitted() -> None:
    assert set(choose(kind="half").thresholds) == {0.5}
    assert len(set(choose(kind="global").thresholds)) == 1
    sloped, own = choose(kind="sloped"), choose(kind="label")
    assert len(set(sloped.thresholds)) == len(set(own.thresholds)) == 4
    assert own.kind == own.asked == "label"
    assert own.fit == {"fitted_on": "validation", "metric": "micro_f1"}
    near = choose(kind="label", shrinkage=1e9)
    np.testing.assert_allclose(near.thresholds, sloped.thresholds, rtol=1e-5)


def test_auto_takes_the_best_on_documents_that_it_was_not_fitted_on() -> None:
    chosen = choose(kind="auto")
    assert chosen.asked == "auto"
    assert chosen.kind in ("global", "sloped", "label")
    tried = chosen.fit["cross_fitted"]
    assert tried[chosen.kind]["micro_f1"] > 0.99 * tried["global"]["micro_f1"]
    np.testing.assert_array_equal(
        chosen.thresholds, choose(kind=chosen.kind).thresholds
    )


@pytest.mark.parametrize(("true", "other"), [(0.4, 0.05), (0.1, 0.01), (0.97, 0.8)])
@pytest.mark.parametrize("rare", [[10], [4, 3], [12, 5, 2]])
def test_auto_finds_rare_labels_wherever_their_scores_lie(
    rare: list[int], true: float, other: float
) -> None:
    truth = np.arange(200)[:, None] < np.array(rare)
    scores = np.where(truth, true, other).astype(np.float32)
    chosen = choose_decision(
        ThresholdConfig(), Predictions.of_all(scores, truth), truth.sum(axis=0)
    )
    assert not chosen.at_least_one
    np.testing.assert_array_equal(chosen.decide(scores), truth)


def test_auto_gives_every_document_its_best_label_where_that_is_better() -> None:
    """One label a document; how high its best score is, says nothing."""
    random = np.random.default_rng(0)
    truth = np.eye(4, dtype=bool)[random.integers(0, 4, 300)]
    level = random.normal(0, 3, (300, 1))
    logits = level + np.where(truth, 1.5, 0) + random.normal(0, 0.5, truth.shape)
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    predictions, counts = Predictions.of_all(scores, truth), np.ones(4)
    chosen = choose_decision(ThresholdConfig(), predictions, counts)
    assert chosen.at_least_one
    forbidden = ThresholdConfig(at_least_one=False)
    assert not choose_decision(forbidden, predictions, counts).at_least_one
    best = top_of(scores, truth)
    assert choose_decision(ThresholdConfig(), best, counts).at_least_one


def top_of(scores: np.ndarray, truth: np.ndarray) -> Predictions:
    """The best labels alone."""
    return Predictions.of_all(scores, truth).top(2)


@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize(("labels", "empty"), [(1, 0.0), (1, 0.9), (4, 0.2), (4, 0.95)])
def test_a_label_is_not_forced_on_documents_that_have_none(
    labels: int, empty: float, best: bool
) -> None:
    truth = np.eye(labels, dtype=bool)[np.arange(400) % labels]
    truth[: int(400 * empty)] = False
    random = np.random.default_rng(1)
    scores = (0.3 * truth + random.uniform(0, 0.3, truth.shape)).astype(np.float32)
    predictions = Predictions.of_all(scores, truth)
    chosen = choose_decision(
        ThresholdConfig(),
        predictions.top(min(2, labels)) if best else predictions,
        truth.sum(axis=0),
    )
    assert not chosen.at_least_one


@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("documents", [20, 60, 300])
@pytest.mark.parametrize("shift", [-2.0, 0.0, 1.0])
def test_auto_is_no_worse_on_validation_than_the_log_of_an_epoch(
    shift: float, documents: int, best: bool
) -> None:
    scores, truth, counts = made(documents=documents, labels=7, shift=shift)
    predictions = Predictions.of_all(scores, truth)
    if best:
        predictions = predictions.top(5)
    logged = validation_metrics(predictions)["micro_f1"]
    chosen = choose_decision(ThresholdConfig(), predictions, counts)
    found = label_metrics(predictions.decide(chosen), ks=(1,))["micro_f1"]
    assert found >= logged


def test_the_mean_of_micro_and_macro_f1_asks_more_for_rare_labels() -> None:
    micro = choose(kind="sloped", documents=2000)
    mean = choose(kind="sloped", documents=2000, metric="mean_f1")
    assert mean.thresholds[-1] < micro.thresholds[-1]


def test_k_is_fitted_where_it_is_open() -> None:
    scores, truth, _ = made(documents=100)
    fitted = choose(documents=100, shift=0.0, kind="top_k")
    assert fitted.k == fit_top_k(scores, truth)
    assert fitted.fit == {"fitted_on": "validation"}
    given = choose(kind="top_k", k=3)
    assert (given.k, given.fit) == (3, {"fitted_on": None})


@pytest.mark.parametrize("kind", ["auto", "global", "sloped", "label", "top_k"])
@pytest.mark.parametrize("documents", [0, 5])
def test_without_positives_everything_is_decided_at_one_half(
    kind: Any, documents: int
) -> None:
    nothing = np.zeros((documents, 3), np.float32)
    chosen = choose_decision(
        ThresholdConfig(kind=kind), Predictions.of_all(nothing, nothing), np.ones(3)
    )
    assert chosen.kind == ("top_k" if kind == "top_k" else "half")
    assert set(chosen.thresholds) == {0.5}
    assert chosen.fit == {"fitted_on": None}


def test_only_annotated_cells_choose() -> None:
    scores, truth, counts = made(documents=300, shift=-1.5)
    mask = np.random.default_rng(3).random(truth.shape) < 0.8
    other, other_truth = np.where(mask, scores, 0.99), np.where(mask, truth, False)
    for kind in ("auto", "label", "top_k"):
        config = ThresholdConfig(kind=kind, at_least_one=False)  # type: ignore[arg-type]
        one = choose_decision(config, Predictions.of_all(scores, truth, mask), counts)
        if kind != "top_k":  # which ranks what is not annotated as well
            two = choose_decision(
                config, Predictions.of_all(other, other_truth, mask), counts
            )
            np.testing.assert_array_equal(one.thresholds, two.thresholds)
        assert one.asked == kind


def test_a_decision_comes_back_as_it_was(tmp_path: Path) -> None:
    place = Workdir(tmp_path)
    labels = ("a", "ä", "c")
    for decision in (
        at_half(3),
        rule(thresholds=np.array([0.1 + 0.2, 1 / 3, 0.9]), asked="auto"),
        rule(kind="top_k", k=4, asked="top_k", fit={"fitted_on": None}),
        rule(consistent=True, ancestors=CHAIN, at_least_one=True),
    ):
        save_decision(place, decision, labels)
        again = read_decision(place, labels, CHAIN)
        np.testing.assert_array_equal(again.thresholds, decision.thresholds)
        np.testing.assert_array_equal(again.decide(SCORES), decision.decide(SCORES))
        assert again.summary() == decision.summary()
        assert again.fit == decision.fit


@pytest.mark.parametrize(("threshold", "kind"), [("label", "label"), ("half", "half")])
def test_thresholds_of_version_0_1_are_read(
    threshold: str, kind: str, tmp_path: Path
) -> None:
    values = {"threshold": threshold, "thresholds": {"a": 0.25, "b": 0.5}}
    (tmp_path / "thresholds.json").write_text(json.dumps(values))
    decision = read_decision(Workdir(tmp_path), ("a", "b"))
    assert (decision.kind, decision.asked) == (kind, threshold)
    np.testing.assert_array_equal(decision.thresholds, [0.25, 0.5])


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"thresholds": {"a": 1}}',
        '{"thresholds": {"a": "x", "b": 1}}',
        '{"kind": "best", "thresholds": {"a": 0.5, "b": 0.5}}',
        '{"kind": "top_k", "thresholds": {"a": 0.5, "b": 0.5}}',
        '{"consistent": true, "thresholds": {"a": 0.5, "b": 0.5}}',
    ],
)
def test_a_damaged_decision_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "thresholds.json").write_text(content)
    with pytest.raises(WorkdirError, match=r"thresholds\.json: must hold one number"):
        read_decision(Workdir(tmp_path), ("a", "b"))


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="k is read only with"):
        ThresholdConfig(kind="label", k=3)
    with pytest.raises(ConfigError, match="at_least_one changes nothing"):
        ThresholdConfig(kind="top_k", at_least_one=True)
