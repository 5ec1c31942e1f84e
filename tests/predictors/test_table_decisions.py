"""How tasks of a table are calibrated and decided, and what is kept of that."""

import json
from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.config import ThresholdConfig
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.functional.decisions.calibrated import Calibration
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.tables.decision import (
    TaskRule,
    calibrated,
    choose_rules,
    decide,
    read_rules,
    save_rules,
)
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError

FRAUD = Target("fraud", "binary", ("0", "1"), (0.01,), rows=4_000)
RATING = Target("rating", "squared", rows=4_000)
TAGS = Target("tags", "multi_label", ("a", "b"), (0.01, 0.3), rows=4_000)
TARGETS = (FRAUD, RATING, TAGS)


def made(count: int = 4_000, *, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and targets: one in a hundred is fraud, and no logit reaches 0."""
    generator = np.random.default_rng(0)
    logits = np.minimum(generator.normal(-5.5, 2.5, (count, 4)), -0.3)
    truth = generator.random((count, 4)) < 1 / (1 + np.exp(-logits))
    return (logits - shift).astype(np.float32), truth.astype(np.float32)


def f1(chosen: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (chosen & truth).sum() / max(chosen.sum() + truth.sum(), 1))


def test_rare_positives_are_predicted_at_a_threshold_of_their_own() -> None:
    outputs, truth = made()
    rules = choose_rules(ThresholdConfig(), outputs, TARGETS, truth)
    assert list(rules) == ["fraud", "tags"]
    assert 0 < rules["fraud"].decision.thresholds[0] < 0.4
    half, own = (decide(outputs, TARGETS, each) for each in ({}, rules))
    assert not half.any()
    assert f1(own[:, 0], truth[:, 0] > 0) > 0.2
    assert not own[:, 1].any(), "a number is not decided"


def test_a_conditional_task_is_never_decided_for_without_its_parents() -> None:
    pay = Target("pay", "binary", ("0", "1"), (0.1,), given="buy")
    buy = Target("buy", "binary", ("0", "1"), (0.2,), given="click")
    click = Target("click", "binary", ("0", "1"), (0.5,))
    eager = TaskRule(Decision(kind="global", thresholds=np.array([0.01])))
    rules = {"pay": eager, "buy": eager}  # thresholds far below that of the click
    outputs = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    found = decide(outputs, (pay, RATING, buy, click), rules)
    assert found[:, 3].any() and not found[:, 3].all()
    np.testing.assert_array_equal(found[:, 2], found[:, 3])
    np.testing.assert_array_equal(found[:, 0], found[:, 3])
    # The other way round the parent alone is decided for.
    shy = TaskRule(Decision(kind="global", thresholds=np.array([0.99])))
    found = decide(outputs, (pay, buy, click), {"pay": eager, "buy": shy})
    assert not found[:, :2].any() and found[:, 2].any()


def test_asked_for_half_everything_is_decided_at_half() -> None:
    outputs, truth = made()
    rules = choose_rules(ThresholdConfig(kind="half"), outputs, TARGETS, truth)
    assert all(rule.is_half for rule in rules.values())


def test_a_balanced_task_keeps_half_though_more_positives_would_raise_their_f1() -> (
    None
):
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 0.4, (4_000, 1)).astype(np.float32)
    truth = (generator.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)
    target = Target("back", "binary", ("0", "1"), (0.5,), rows=4_000)
    rules = choose_rules(ThresholdConfig(), logits, [target], truth)
    assert rules["back"].is_half
    assert f1(logits > -2, truth > 0) > f1(logits > 0, truth > 0)


def test_what_is_not_annotated_decides_nothing() -> None:
    outputs, truth = made()
    known = np.random.default_rng(2).random(outputs.shape) < 0.5
    wrong = np.where(known, truth, 1 - truth)
    one = choose_rules(ThresholdConfig(), outputs, TARGETS, truth, known)
    other = choose_rules(ThresholdConfig(), outputs, TARGETS, wrong, known)
    assert one["fraud"].summary() == other["fraud"].summary()
    nobody = choose_rules(
        ThresholdConfig(), outputs, TARGETS, truth, np.zeros(outputs.shape, bool)
    )
    assert nobody["fraud"].is_half


def test_shifted_logits_are_calibrated_and_decided_as_the_right_ones_are() -> None:
    outputs, truth = made(shift=2.0)
    rules = choose_rules(ThresholdConfig(), outputs, TARGETS, truth)
    assert rules["fraud"].calibration.shift == pytest.approx(2.0, abs=0.4)
    right = calibrated(outputs, TARGETS, rules)
    np.testing.assert_allclose(right[:, 0], made()[0][:, 0], atol=0.7)
    np.testing.assert_array_equal(right[:, 1], outputs[:, 1])


def test_rules_are_read_as_they_were_saved(tmp_path: Path) -> None:
    place = Workdir(tmp_path)
    assert read_rules(place, TARGETS) == {}, "a run of 0.6.0 has none"
    rules = choose_rules(ThresholdConfig(), *made(shift=1.0)[:1], TARGETS, made()[1])
    save_rules(place, TARGETS, rules)
    again = read_rules(place, TARGETS)
    assert {n: r.summary() for n, r in again.items()} == {
        n: r.summary() for n, r in rules.items()
    }
    outputs, _ = made()
    np.testing.assert_array_equal(
        decide(outputs, TARGETS, again), decide(outputs, TARGETS, rules)
    )
    stored = json.loads((tmp_path / "thresholds.json").read_text("utf-8"))
    assert set(stored["tasks"]["tags"]["thresholds"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tasks: tasks.pop("fraud"), "of task 'fraud'"),
        (lambda tasks: tasks["fraud"].pop("calibration"), "of task 'fraud'"),
        (lambda tasks: tasks["fraud"]["thresholds"].update({"1": 1.5}), "from 0 to 1"),
        (lambda tasks: tasks["tags"]["thresholds"].pop("b"), "of task 'tags'"),
        (lambda tasks: tasks["tags"]["calibration"].update(scale=None), "'tags'"),
        (
            lambda tasks: tasks["tags"]["calibration"].update(shift=float("inf")),
            "Infinity is no JSON number",
        ),
    ],
)
def test_damaged_rules_are_refused_by_name(
    change: object, message: str, tmp_path: Path
) -> None:
    place = Workdir(tmp_path)
    rule = TaskRule(Decision(kind="label", thresholds=np.array([0.2])))
    both = TaskRule(Decision(kind="label", thresholds=np.array([0.2, 0.3])))
    save_rules(place, TARGETS, {"fraud": rule, "tags": both})
    path = tmp_path / "thresholds.json"
    stored = json.loads(path.read_text("utf-8"))
    assert stored["tasks"]["fraud"]["calibration"] == Calibration()._asdict()
    change(stored["tasks"])  # type: ignore[operator]
    path.write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(WorkdirError, match=message) as error:
        read_rules(place, TARGETS)
    assert str(path) in str(error.value)
