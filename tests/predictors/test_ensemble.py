"""Several finished runs as one model."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax import load
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import ConfigError
from labelgraph_jax.predictors.ensemble import Ensemble, combine, fit_weights
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.ensemble import make_ensemble
from labelgraph_jax.runs.evaluate import evaluate_workdir
from tests.zoo import Zoo

TEXTS = ["maize cob the harvest silo", "barrel crude of the port cargo"]


@pytest.fixture(scope="module")
def other(zoo: Zoo) -> Path:
    """A second finished run on the same documents."""
    return zoo("plain")


@pytest.fixture(scope="module")
def joined(zoo: Zoo) -> tuple[Path, dict[str, Any]]:
    """The ensemble of the two, whose members' own directories are gone."""
    workdir = zoo("ensemble")
    return workdir, json.loads((workdir.parent / "returned.json").read_text())


def test_logits_are_weighed_and_added() -> None:
    probabilities = [np.array([[0.5, 0.9]]), np.array([[0.2, 0.6]])]
    weights, bias = np.array([2.0, 0.5]), -0.3
    expected = np.empty((1, 2))
    for n in range(2):
        total = bias
        for weight, p in zip(weights, probabilities, strict=True):
            total += weight * np.log(p[0, n] / (1 - p[0, n]))
        expected[0, n] = 1 / (1 + np.exp(-total))
    np.testing.assert_allclose(combine(probabilities, weights, bias), expected, 1e-6)


def test_certain_members_leave_finite_numbers() -> None:
    certain = [np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]])]
    assert np.isfinite(combine(certain, np.ones(2), 0.0)).all()


def test_weights_are_found_again_and_a_member_that_knows_nothing_gets_none() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(2, 4000, 5))
    truth = generator.random((4000, 5)) < 1 / (1 + np.exp(0.5 - 1.5 * logits[0]))
    weights, bias = fit_weights(1 / (1 + np.exp(-logits)), truth)
    np.testing.assert_allclose([*weights, bias], [1.5, 0.0, -0.5], atol=0.06)
    assert (weights >= 0).all()


def test_what_is_not_annotated_does_not_move_the_weights() -> None:
    generator = np.random.default_rng(1)
    probabilities = generator.random((2, 50, 3))
    truth = generator.random((50, 3)) < 0.4
    mask = generator.random((50, 3)) < 0.7
    first = fit_weights(probabilities, truth, mask)
    second = fit_weights(probabilities, np.where(mask, truth, ~truth), mask)
    np.testing.assert_array_equal([*first[0], first[1]], [*second[0], second[1]])


def test_an_ensemble_is_restored_alone_and_predicts_what_its_members_say(
    joined: Any, trained: Path, other: Path
) -> None:
    workdir, results = joined
    model = load(workdir)
    assert isinstance(model, Ensemble)
    members = [load(trained).predict_proba(TEXTS), load(other).predict_proba(TEXTS)]
    expected = combine(members, model.weights, model.bias)
    np.testing.assert_allclose(model.predict_proba(TEXTS), expected, rtol=1e-5)
    decided = model.decision.decide(expected)
    names = [{model.labels[i] for i in np.flatnonzero(row)} for row in decided]
    assert [set(labels) for labels in model.predict(TEXTS)] == names
    assert results["ensemble"]["weights"] == model.weights.tolist()


def test_evaluating_an_ensemble_gives_the_numbers_it_was_made_with(joined: Any) -> None:
    workdir, results = joined
    again = evaluate_workdir(workdir)
    assert again["test"]["metrics"] == results["test"]["metrics"]


def test_the_command_line_joins_runs(
    trained: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "both"
    assert run(["ensemble", str(out), str(trained), str(other)]) == 0
    assert "2 models, weights" in capsys.readouterr().out
    assert run(["predict", str(out), str(tmp_path / "absent.jsonl")]) == 2


def test_runs_that_do_not_fit_together_are_refused(
    trained: Path, other: Path, joined: Any, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="needs at least two runs, got 1"):
        make_ensemble([trained], tmp_path / "w")
    with pytest.raises(WorkdirError, match="must be absent or an empty directory"):
        make_ensemble([trained, other], trained)
    with pytest.raises(WorkdirError, match="is an ensemble itself"):
        make_ensemble([joined[0], trained], tmp_path / "w")
    for name, changed, message in (
        ("results.json", None, "training has not finished"),
        ("data.json", {"train": "another"}, "on other documents or another split"),
        (
            "labels.json",
            {"names": ["a", "b"], "descriptions": {}, "parents": {}},
            "has other labels than",
        ),
    ):
        copy = tmp_path / name
        shutil.copytree(other, copy)
        (copy / name).unlink()
        if changed is not None:
            (copy / name).write_text(json.dumps(changed))
        with pytest.raises(WorkdirError, match=message):
            make_ensemble([trained, copy], tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_damaged_description_is_told(joined: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(joined[0], broken)
    for text in ("{", '{"members": ["members/0"], "weights": [1], "bias": 0}'):
        (broken / "ensemble.json").write_text(text)
        with pytest.raises(WorkdirError, match=r"ensemble\.json: must "):
            load(broken)
