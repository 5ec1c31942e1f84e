"""Census-Income, six models: sizes, tuning, runs together, intervals, the page."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import census_income
from experiments.census import cells, corpus
from experiments.census.cells import Laboratory, Plan
from experiments.census.inputs import CensusInputs, encode, one_hot
from experiments.census.networks import MODELS, Shape, parameter_count, shapes_of
from experiments.census.statistics import resampled_auc, task_rows
from experiments.census.training import Schedule, Trained, Trial, train_together
from experiments.census.verdict import verdict
from labelgraph_jax.functional.losses.tasks import Task
from labelgraph_jax.functional.metrics.bootstrap import document_draws
from labelgraph_jax.functional.metrics.tasks import roc_auc
from tests.experiments import tiny_census


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_census.make_copy(tmp_path_factory.mktemp("census"))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"mmoe": tiny_census.SIZES}
    changed = dataclasses.replace(corpus.SOURCE, sizes=sizes)
    monkeypatch.setattr(corpus, "SOURCE", changed)


@pytest.fixture
def inputs(copy: Path) -> CensusInputs:
    return encode(corpus.load_census_income(copy), "group1", min_count=5)


def test_inputs_are_one_hot_columns_and_standardised_logarithms(
    inputs: CensusInputs,
) -> None:
    train = inputs.splits["train"]
    # 30 columns of names, and the values of the 7 amounts.
    np.testing.assert_array_equal(train["categories"].sum(axis=1), 37)
    assert train["numbers"].shape == (240, 7)
    moving = train["numbers"][:, train["numbers"].std(axis=0) > 0]
    np.testing.assert_allclose(moving.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(moving.std(axis=0), 1, atol=1e-5)
    assert inputs.width == train["categories"].shape[1] + 7
    assert inputs.unseen["validation"] > 0  # ages of fewer than five people
    assert [task.name for task in inputs.tasks] == ["income", "never_married"]


def test_one_hot_sets_one_entry_per_column() -> None:
    hot = one_hot(np.array([[0, 2], [1, 0]]), (2, 3))
    assert hot.tolist() == [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]]


@pytest.mark.parametrize("model", ["l2_constrained", "mmoe"])
def test_all_shapes_of_a_model_have_nearly_as_many_parameters(model: Any) -> None:
    tasks = tuple(Task(name, "binary") for name in ("a", "b"))
    budget = parameter_count(cells.REFERENCE, tasks, 400)
    shapes = shapes_of(model, tasks, 400, budget)
    assert len(set(shapes)) == 4
    for shape in shapes:
        count = parameter_count(shape, tasks, 400)
        assert abs(count / budget - 1) < 0.05, str(shape)
    first = shapes[0]
    for step in (-1, 1):
        other = dataclasses.replace(first, hidden=(first.hidden[0] + step,))
        distance = abs(parameter_count(other, tasks, 400) - budget)
        assert distance > abs(parameter_count(first, tasks, 400) - budget)


def test_the_models_are_those_of_the_package() -> None:
    assert sorted(census_income.MODELS) == sorted(MODELS)


def test_runs_keep_their_best_epoch_and_the_constraint_acts(
    inputs: CensusInputs,
) -> None:
    runs = train_together(
        inputs,
        Shape("l2_constrained", (4,)),
        [Trial(1, 0.03), Trial(1, 0.03, constraint=0.1), Trial(1, 0.03)],
        Schedule(epochs=2, batch_size=80, dropout=0.0),
    )
    targets = inputs.splits["test"]["targets"]
    for run in runs:
        assert run.gates is None and len(run.history) == 2
        assert run.history[run.best_epoch - 1] == max(run.history) == run.validation[0]
        for task in range(2):
            area = roc_auc(run.test_outputs[:, task], targets[:, task])
            assert run.test[task] == area
    free, constrained, again = (run.test_outputs for run in runs)
    np.testing.assert_allclose(free, again, atol=1e-6)
    assert np.abs(constrained - free).max() > 1e-2


def made_run(trial: Trial, value: float, rows: int = 60) -> Trained:
    outputs = np.random.default_rng(trial.seed).normal(size=(rows, 2))
    return Trained(
        trial=trial,
        best_epoch=1,
        validation=(value, 0.5),
        test=(value - 0.01, 0.6),
        history=(value,),
        seconds=1.0,
        test_outputs=outputs.astype(np.float32),
        gates=None,
    )


def test_validation_chooses_the_setting_and_every_seed_runs_once(
    inputs: CensusInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Shape, list[Trial], bool]] = []

    def made(
        inputs: CensusInputs, shape: Shape, trials: Any, schedule: Any, *, scores: bool
    ) -> list[Trained]:
        calls.append((shape, list(trials), scores))
        best = len(shape.hidden) == 2 and shape.towers == (16,)
        values = [
            0.8 + 0.1 * best * (t.learning_rate == 0.02) * (t.weight_decay == 0.1)
            for t in trials
        ]
        return [made_run(t, v) for t, v in zip(trials, values, strict=True)]

    monkeypatch.setattr(cells, "train_together", made)
    plan = Plan(5, 2, Schedule(3, 8, 0.0), Schedule(1, 8, 0.0, 100))
    laboratory = Laboratory(tmp_path, lambda line: None)
    cell = laboratory.cell(inputs, "cross_stitch", plan)
    assert cell.shape.towers == (16,) and len(cell.shape.hidden) == 2
    assert cell.chosen == Trial(0, 0.02, weight_decay=0.1)
    assert len(cell.tried) == 24
    assert max(entry["validation_auc"] for entry in cell.tried) == pytest.approx(0.9)
    assert [scores for _, _, scores in calls] == [False] * 4 + [True] * 3
    assert [[t.seed for t in trials] for _, trials, _ in calls[4:]] == [
        [0, 1],
        [2, 3],
        [4],
    ]

    again = laboratory.cell(inputs, "cross_stitch", plan)
    assert len(calls) == 7, "a second call must only read"
    assert [run.trial for run in again.runs] == [run.trial for run in cell.runs]
    np.testing.assert_array_equal(again.runs[4].test_outputs, cell.runs[4].test_outputs)
    rows = task_rows(again, inputs.tasks)
    assert rows[0]["mean"] == pytest.approx(0.89)
    laboratory.cell(inputs, "cross_stitch", dataclasses.replace(plan, seeds=6))
    assert [t.seed for t in calls[-1][1]] == [4, 5] and len(calls) == 8


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=10, deadline=None)
def test_resampled_areas_are_close_to_those_of_the_rows_written_out(
    seed: int, tied: bool
) -> None:
    generator = np.random.default_rng((seed, 1))
    positive = generator.random(800) < 0.3
    scores = generator.normal(size=(2, 800)) + positive
    scores = np.round(scores, 1) if tied else scores
    draws = document_draws(800, 20, seed=seed)
    plain = resampled_auc(scores, positive, np.ones((1, 800), np.float32))
    areas = resampled_auc(scores, positive, draws.astype(np.float32))
    for run in range(2):
        assert plain[0, run] == pytest.approx(roc_auc(scores[run], positive), abs=1e-6)
        expected = [
            roc_auc(np.repeat(scores[run], counts), np.repeat(positive, counts))
            for counts in draws
        ]
        np.testing.assert_allclose(areas[:, run], expected, atol=0.01)
        assert np.corrcoef(areas[:, run], np.array(expected))[0, 1] > 0.98


def made_record(mmoe: list[float], single: list[float] | None) -> dict[str, Any]:
    def row(model: str, task: str, interval: list[float]) -> dict[str, Any]:
        middle = sum(interval) / 2
        found = {"model": model, "task": task, "interval": interval}
        return found | {"difference": middle, "reference": "shared_bottom"}

    differences = [row("mmoe", "main", mmoe), row("mmoe", "other", [0.001, 0.003])]
    if single is not None:
        differences.append(row("single_task", "main", single))
    return {
        "tasks": ["main", "other"],
        "differences": differences,
        "correlation": {"train": -0.2},
        "gates": [],
        "plan": {"learning_rates": [0.01, 0.02], "tuned": True},
        "models": [
            {
                "model": name,
                "auc": [{"mean": mean, "sd": 0.001}],
                "chosen": {"learning_rate": round(mean - 0.89, 2)},
            }
            for name, mean in (("shared_bottom", 0.9), ("mmoe", 0.91))
        ],
    }


@pytest.mark.parametrize(
    ("mmoe", "single", "said"),
    [
        ([0.001, 0.002], None, "MMoE wins on both tasks."),
        ([-0.002, -0.001], [-0.003, -0.001], "MMoE is worse"),
        ([-0.002, -0.001], [-0.003, -0.001], "sharing helps"),
        ([-0.002, 0.001], [0.001, 0.003], "so much sharing costs"),
        ([-0.002, 0.001], [-0.001, 0.003], "no cost that can be seen"),
        ([0.001, 0.002], None, "1 of 2 models chose the largest learning rate"),
    ],
)
def test_the_verdict_follows_the_intervals(
    mmoe: list[float], single: list[float] | None, said: str
) -> None:
    text = " ".join(verdict(made_record(mmoe, single)))
    assert said in text
    assert ("does not win on main" in text) == (mmoe[0] <= 0)
    assert "0.00100 (MMoE)" in text


def test_a_quick_look_writes_everything_and_a_second_call_trains_nothing(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def real_or_made(
        inputs: CensusInputs, shape: Shape, trials: Any, schedule: Any, *, scores: bool
    ) -> list[Trained]:
        if shape.kind == "mmoe":
            return train_together(inputs, shape, trials, schedule, scores=scores)
        return [made_run(trial, 0.7) for trial in trials]

    # One compilation is enough.
    monkeypatch.setattr(cells, "train_together", real_or_made)
    out = tmp_path / "out"
    options = ["--quick", "--groups", "group2", "--models", "mmoe", "--quiet"]
    options += ["--data-dir", str(copy), "--out", str(out), "--min-count", "5"]
    options += ["--work", str(tmp_path / "work"), "--resamples", "50"]
    assert census_income.main(options) == 0
    stem = out / "census-income-group2-quick"
    record = json.loads(stem.with_suffix(".json").read_text())
    assert record["tasks"] == ["college", "never_married"]
    assert [model["model"] for model in record["models"]] == ["shared_bottom", "mmoe"]
    for model in record["models"]:
        assert [len(row["values"]) for row in model["auc"]] == [2, 2]
        assert model["auc"][1]["mean"] == pytest.approx(
            np.mean(model["auc"][1]["values"])
        )
    assert [(d["model"], d["task"]) for d in record["differences"]] == [
        ("mmoe", "college"),
        ("mmoe", "never_married"),
    ]
    (gates,) = record["gates"]
    np.testing.assert_allclose(
        np.sum(gates["best_run"]["mean_weights"], axis=1), 1, atol=1e-4
    )
    assert 0 < gates["over_runs"]["overlap"]["mean"] <= 1
    text = stem.with_suffix(".md").read_text()
    assert "| MMoE | 0." in text and "Does MMoE win?" in text and "0.8826" in text
    assert str(tmp_path) not in json.dumps(record["inputs"])
    assert stem.with_suffix(".png").stat().st_size > 5000

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(cells, "train_together", refuse)
    assert census_income.main(options) == 0
    again = json.loads(stem.with_suffix(".json").read_text())
    for name in ("models", "differences", "gates", "verdict"):
        assert again[name] == record[name]


@pytest.mark.parametrize(
    ("given_options", "said"),
    [
        (["--groups", "group3"], "must be one of group1, group2"),
        (["--models", "moe"], "--models must be some of single_task"),
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["--data-dir", "nowhere"], "must name a folder; nowhere is none"),
    ],
)
def test_a_wrong_argument_ends_in_one_line_and_code_two(
    given_options: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path
) -> None:
    work = ["--work", str(tmp_path / "work")]
    assert census_income.main([*given_options, *work]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
