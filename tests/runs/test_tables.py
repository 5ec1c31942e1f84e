"""A run over a table, whole: train, resume, evaluate, predict, look at the gates."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run
from labelgraph_jax.cli.results import _task_notes
from labelgraph_jax.config import Config, DataConfig, TableConfig, to_dict
from labelgraph_jax.config.presets import preset
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.files import table_of
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.predictors.manifest import seal
from labelgraph_jax.predictors.tables.data import read_splits
from labelgraph_jax.predictors.tables.metrics import mean_skill, skills
from labelgraph_jax.predictors.tables.model import TableModel, prediction
from labelgraph_jax.predictors.workdir import RunDataChangedError, Workdir, WorkdirError
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.restore import load_model as load_texts
from labelgraph_jax.runs.tables import problem as table_problem
from labelgraph_jax.runs.tables.baseline import table_baselines
from labelgraph_jax.runs.tables.problem import PreparedTable, TableProblem
from tests.tiny_table import (
    JOBS,
    TASKS,
    made_rows,
    rare_rows,
    tiny_table_config,
    write_rows,
)
from tests.zoo import Zoo


def prepare_table(config: Config) -> PreparedTable:
    """What a run over a table with resolved settings would train on."""
    problem = TableProblem(config)
    return problem.prepare(problem.read(), lambda line: None)


@pytest.fixture(scope="module")
def table_file(zoo: Zoo) -> Path:
    return zoo.table


@pytest.fixture(scope="module")
def table_run(zoo: Zoo) -> Path:
    """The work directory of a run from the command line; tests leave it as it is."""
    return zoo("table")


@pytest.fixture(scope="module")
def command_output(table_run: Path) -> dict[str, str]:
    """What the run printed."""
    files = {name: table_run.parent / f"{name}.txt" for name in ("out", "error")}
    return {name: path.read_text(encoding="utf-8") for name, path in files.items()}


@pytest.fixture(scope="module")
def results(table_run: Path) -> dict[str, Any]:
    return Workdir(table_run).results()


def test_every_kind_of_task_is_learned(results: dict[str, Any]) -> None:
    tasks = results["test"]["tasks"]
    assert list(tasks) == ["click", "rating", "genre", "tags", "never"]
    assert tasks["click"]["metrics"]["auc"] > 0.95
    assert tasks["genre"]["metrics"]["accuracy"] > 0.9
    assert tasks["rating"]["metrics"]["r2"] > 0.8
    assert tasks["tags"]["metrics"]["micro_f1"] > 0.8
    assert results["rows"] == {"train": 168, "validation": 24, "test": 48}
    assert results["test"]["skill"] > 0.5


def test_squared_errors_are_in_the_units_of_the_column(
    results: dict[str, Any],
) -> None:
    rating = results["test"]["tasks"]["rating"]
    assert 8.0 < rating["constant"]["rmse"] < 18.0
    assert rating["metrics"]["rmse"] < rating["constant"]["rmse"]


def test_missing_targets_are_left_out_of_the_numbers(results: dict[str, Any]) -> None:
    tasks = results["test"]["tasks"]
    assert 0.6 * 48 < tasks["click"]["metrics"]["rows"] < 48
    assert tasks["genre"]["metrics"]["rows"] == 48


def test_a_constant_target_has_no_auc_and_is_said_to(
    results: dict[str, Any],
    command_output: dict[str, str],
    table_run: Path,
    capsys: Any,
) -> None:
    never = results["test"]["tasks"]["never"]
    assert never["metrics"]["auc"] is None
    assert never["skill"] is None
    said = command_output["error"]
    assert "task never: every training row holds the same target" in said
    assert run(["evaluate", str(table_run)]) == 0
    shown = capsys.readouterr().out
    assert "undefined" in shown
    assert "Task never: every target is negative, so its AUC is undefined" in shown


def test_what_was_inferred_is_shown(
    table_run: Path, command_output: dict[str, str]
) -> None:
    assert table_run.is_dir()
    text = command_output["error"]
    assert "few rows: batches of 16 and not of 512" in text
    assert "rows.csv: 48 test rows, 5 tasks, mmoe" in command_output["out"]
    assert (
        "rows.csv: 168 rows to train on; 5 tasks; 1 categorical and 1 numeric" in text
    )
    assert "job      categorical  3 values: " in text
    assert "country  left out     always 'de'" in text
    assert "id       left out     a value of its own in nearly every row" in text
    assert "click   binary       1 against 0: " in text
    assert "warning: column job tells task click nearly by itself (AUC 1.000)" in text


def test_the_work_directory_is_readable_without_our_code(table_run: Path) -> None:
    table = json.loads((table_run / "table.json").read_text("utf-8"))
    assert [task["name"] for task in table["tasks"]][:2] == ["click", "rating"]
    assert table["dropped"]["country"] == "always 'de'"
    config = json.loads((table_run / "config.json").read_text("utf-8"))
    assert config["table"]["tasks"] == list(TASKS)
    assert config["mixture"]["kind"] == "mmoe"
    lines = (table_run / "metrics.jsonl").read_text("utf-8").splitlines()
    row = [json.loads(line) for line in lines][-1]
    assert {"validation/skill", "validation/click/auc", "loss"} <= row.keys()
    assert "validation/never/auc" not in row


def test_the_baselines_stand_beside_the_model(
    table_file: Path, table_run: Path, results: dict[str, Any]
) -> None:
    prepared = prepare_table(Workdir(table_run).config())
    assert prepared.validation is not None
    found = table_baselines(
        prepared.train,
        prepared.validation,
        prepared.targets,
        prepared.schema.cardinalities,
        (1.0,) * 5,
    )
    assert list(found["models"]) == ["linear", "boosting"]
    for model in found["models"].values():
        assert model["tasks"]["click"]["metrics"]["auc"] > 0.95
        assert model["tasks"]["genre"]["metrics"]["accuracy"] > 0.9
        assert model["tasks"]["rating"]["metrics"]["r2"] > 0.5
        assert model["tasks"]["never"]["metrics"]["auc"] is None
    shown = results | {"baseline": found | {"models": {"linear": results["test"]}}}
    assert any("+0.0000 against linear" in line for line in _task_notes(shown))


def test_evaluation_gives_the_numbers_of_training(
    table_run: Path, results: dict[str, Any]
) -> None:
    again = evaluate_workdir(table_run, batch_size=7)
    assert again["baseline"] == results["baseline"]
    for name, task in again["test"]["tasks"].items():
        for metric, value in task["metrics"].items():
            expected = results["test"]["tasks"][name]["metrics"][metric]
            close = expected is None or pytest.approx(expected, rel=1e-4, abs=1e-6)
            assert value == (None if expected is None else close), (name, metric)


def test_a_file_may_lack_the_column_of_a_task_but_not_of_all(
    table_run: Path, tmp_path: Path
) -> None:
    rows = made_rows(30, 5)
    for row in rows:
        del row["genre"]
        row["job"] = "sailor" if row["id"] == "r3" else row["job"]
    found = evaluate_workdir(table_run, data=str(write_rows(tmp_path / "x.csv", rows)))
    assert found["test"]["tasks"]["genre"]["metrics"]["rows"] == 0
    assert found["test"]["unseen"]["job"]["most_frequent"] == {"sailor": 1}
    bare = [{"job": "clerk", "age": 30}]
    with pytest.raises(DataError, match="must have the column of a task"):
        evaluate_workdir(table_run, data=str(write_rows(tmp_path / "y.csv", bare)))


def test_a_loaded_model_predicts_rows_in_any_form(table_run: Path) -> None:
    model = lg.load(table_run)
    assert isinstance(model, TableModel)
    assert model.task_names == ("click", "rating", "genre", "tags", "never")
    rows = [{"job": "clerk", "age": 50}, {"job": "pilot"}, {"job": "sailor", "age": 30}]
    columns = {"job": [r["job"] for r in rows], "age": [50, None, 30]}
    one, other = model.predict(rows), model.predict(columns)
    assert one == other
    assert one[0]["click"]["value"] == 1
    assert one[0]["click"]["probability"] > 0.5
    assert one[1]["genre"]["value"] == "art"
    assert "clerk" in one[0]["tags"]["value"]
    assert 100 < one[0]["rating"]["value"] < 200
    scores = model.predict_proba(columns)
    assert scores["genre"].shape == (3, 3)
    np.testing.assert_allclose(scores["genre"].sum(axis=1), 1.0, rtol=1e-5)
    assert scores["click"].shape == scores["rating"].shape == (3,)
    everything = model.predict(rows, all_scores=True)[0]
    assert set(everything["genre"]["probabilities"]) == {"news", "sport", "art"}
    with pytest.raises(DataError, match="rows: no column 'age'"):
        model.predict({"job": ["clerk"]})
    with pytest.raises(DataError, match="rows:1: column 'age' must hold numbers"):
        model.predict([{"job": "clerk", "age": "old"}])
    with pytest.raises(WorkdirError, match="a run over a table reads rows"):
        load_texts(table_run)


def test_gate_weights_sum_to_one_for_every_row_and_task(table_run: Path) -> None:
    model = lg.load(table_run)
    assert isinstance(model, TableModel)
    rows = {"job": [*JOBS], "age": [30, 40, 50]}
    weights = model.gate_weights(rows)
    assert weights is not None and weights.shape == (3, 5, 2)
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-5)
    statistics = model.gate_statistics(rows)
    assert statistics is not None
    np.testing.assert_allclose(statistics.mean_weights, weights.mean(axis=0), rtol=1e-4)


def test_the_gates_of_a_run_can_be_printed(table_run: Path, capsys: Any) -> None:
    assert run(["gates", str(table_run), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == 48
    assert report["tasks"] == ["click", "rating", "genre", "tags", "never"]


def test_thresholds_are_chosen_on_validation_kept_and_used(
    table_run: Path, results: dict[str, Any], tmp_path: Path, zoo: Zoo
) -> None:
    stored = json.loads((table_run / "thresholds.json").read_text("utf-8"))["tasks"]
    assert list(stored) == ["click", "tags", "never"]
    decision = results["test"]["tasks"]["click"]["decision"]
    assert decision["asked"] == "auto"
    assert decision["threshold"] == pytest.approx(stored["click"]["thresholds"]["1"])
    # Another threshold decides otherwise, wherever the run is loaded from.
    place = zoo.copy("table", tmp_path / "run")
    rows = {"job": [*JOBS], "age": [30, 40, 50]}
    before = lg.load(place)
    assert isinstance(before, TableModel)
    probability = before.predict_proba(rows)["click"]
    stored["click"]["thresholds"]["1"] = float(probability.max()) + 1e-6
    path = place / "thresholds.json"
    path.write_text(json.dumps({"tasks": stored}), encoding="utf-8")
    seal(Workdir(place))
    after = lg.load(place)
    assert isinstance(after, TableModel)
    assert [row["click"]["value"] for row in after.predict(rows)] == [0, 0, 0]
    found = evaluate_workdir(place)["test"]["tasks"]["click"]
    assert found["metrics"]["f1"] < found["metrics_at_half"]["f1"]
    # A run of 0.6.0 has no such file, nor checksums, and decides at 0.5.
    path.unlink()
    (place / "manifest.json").unlink()
    old = lg.load(place)
    assert isinstance(old, TableModel) and old.rules == {}
    assert old.predict(rows)[0]["click"]["value"] == 1


@pytest.mark.slow
def test_rare_positives_that_no_probability_of_half_reaches_are_predicted(
    tmp_path: Path,
) -> None:
    write_rows(tmp_path / "rare.csv", rare_rows(12_000, 3))
    config = dataclasses.replace(
        preset("table"),
        data=DataConfig(data=str(tmp_path / "rare.csv")),
        table=TableConfig(tasks=("fraud=binary", "returned=binary")),
    )
    results = fit(config, tmp_path / "run", baseline=True, progress=False)
    fraud = results["test"]["tasks"]["fraud"]
    assert fraud["metrics"]["auc"] > 0.97
    assert fraud["metrics"]["f1"] > fraud["metrics_at_half"]["f1"]
    assert fraud["metrics"]["f1"] > 0.2
    assert any("Task fraud: decided at 0." in line for line in _task_notes(results))
    # The rivals decide by thresholds of their own.
    linear = results["baseline"]["models"]["linear"]["tasks"]["fraud"]
    assert linear["decision"]["threshold"] < 0.5


def test_a_finished_run_is_not_trained_again(
    table_run: Path, results: dict[str, Any]
) -> None:
    said: list[str] = []
    config = Workdir(table_run).config()
    again = fit(config, table_run, say=said.append)
    assert again == results
    assert "training has finished" in said[0]
    other = dataclasses.replace(config, table=TableConfig(tasks=("click=binary",)))
    with pytest.raises(WorkdirError, match="another configuration"):
        fit(other, table_run)


def test_a_table_that_changed_after_its_run_is_told(zoo: Zoo, tmp_path: Path) -> None:
    run, file = zoo.copy("table", tmp_path / "run"), tmp_path / "rows.csv"
    data = Workdir(run).config().data
    file.write_text(Path(data.data).read_text("utf-8") + "\n", encoding="utf-8")
    config = dataclasses.replace(
        Workdir(run).config(), data=dataclasses.replace(data, data=str(file))
    )
    (run / "config.json").write_text(json.dumps(to_dict(config)), encoding="utf-8")
    again = fit(config, run)
    lines = file.read_text("utf-8").strip().splitlines()
    file.write_text("\n".join([*lines, lines[-1]]), encoding="utf-8")
    message = "rows are not those of the training run .* choose another --workdir"
    with pytest.raises(RunDataChangedError, match=message):
        fit(config, run)
    assert Workdir(run).results() == again


@pytest.mark.slow
def test_a_run_that_broke_off_goes_on_without_gates_and_with_learned_weights(
    table_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_table_config(
        table_file,
        tasks=("click=binary", "rating=squared"),
        drop=("genre", "tags"),
        kind="l2_constrained",
        weighting="uncertainty",
    )
    seen: list[int] = []
    whole = table_problem.summarise

    def stop_in_the_second(*arguments: Any) -> Any:
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(table_problem, "summarise", stop_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path / "run", progress=False)
    with pytest.warns(UserWarning, match="training has not finished"):
        model = lg.load(tmp_path / "run")
    assert isinstance(model, TableModel)
    assert model.gate_weights({"job": ["clerk"], "age": [30]}) is None
    results = fit(config, tmp_path / "run", progress=False)
    assert results["training"]["steps"] == 3 * 11
    assert results["learned_weights"].keys() == {"click", "rating"}
    assert any("losses, learned: click" in line for line in _task_notes(results))
    assert results["test"]["tasks"]["click"]["skill"] > 0.1
    assert np.isfinite(results["test"]["tasks"]["rating"]["metrics"]["rmse"])
    assert run(["gates", str(tmp_path / "run")]) == 2


def test_rows_split_in_order_keep_the_last_ones_for_the_test(table_file: Path) -> None:
    config = tiny_table_config(table_file)
    table = TableConfig(tasks=TASKS, split="order")
    config = type(config)(data=config.data, table=table)
    splits = read_splits(config).tables
    ids = {name: list(t.columns["id"]) for name, t in splits.items() if t is not None}
    assert ids["train"] == [f"r{i}" for i in range(168)]
    assert ids["test"] == [f"r{i}" for i in range(192, 240)]


def test_targets_are_in_every_split_in_proportion(table_file: Path) -> None:
    splits = read_splits(tiny_table_config(table_file)).tables
    train, test = splits["train"], splits["test"]
    assert train is not None and test is not None
    shares = [np.nanmean(part.columns["click"]) for part in (train, test)]
    assert shares[0] == pytest.approx(shares[1], abs=0.03)
    assert not set(train.columns["id"]) & set(test.columns["id"])


def test_own_files_are_the_splits(table_file: Path, tmp_path: Path) -> None:
    config = tiny_table_config(table_file)
    paths = {
        name: str(write_rows(tmp_path / f"{name}.csv", made_rows(size, size)))
        for name, size in (("validation", 20), ("test", 25))
    }
    data = type(config.data)(data=str(table_file), **paths)
    prepared = prepare_table(type(config)(data=data, table=config.table).resolved())
    sizes = {n: len(t) for n, t in prepared.splits.tables.items() if t is not None}
    assert sizes == {"train": 240, "validation": 20, "test": 25}
    assert prepared.splits.notes == ()


def test_skill_is_the_part_of_the_loss_that_is_saved(table_file: Path) -> None:
    targets = prepare_table(tiny_table_config(table_file).resolved()).targets
    metrics: Any = {
        target.name: {"log_loss": 0.25, "rmse": 1.0, "rows": 1.0} for target in targets
    }
    constant: Any = {
        target.name: {"log_loss": 0.5, "rmse": 2.0, "rows": 1.0} for target in targets
    }
    found = skills(metrics, constant, targets)
    assert found == {
        "click": 0.5,
        "rating": 0.75,
        "genre": 0.5,
        "tags": 0.5,
        "never": None,
    }
    assert mean_skill(found, (1, 0.5, 1, 1, 1)) == pytest.approx(1.875 / 3.5)
    assert mean_skill({"x": None}, (1.0,)) == 0.0


def test_a_binary_prediction_names_the_value_of_the_column() -> None:
    table = table_of("made", {"x": ["sold", "kept", "kept", "lost"]})
    from labelgraph_jax.data.tables.learn_targets import learn_target

    target = learn_target(table, "x", "binary", positive="sold")
    found = prediction(target, np.float32(0.25), decided=np.array([False]))
    assert found == {"value": "not sold", "probability": 0.25}
    assert TableSchema.infer(table).cardinalities == (5,)


def test_rows_are_predicted_line_by_line(
    table_run: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    new = write_rows(tmp_path / "new.csv", made_rows(5, 9))
    assert run(["predict", str(table_run), str(new), "--output", str(out)]) == 0
    lines = out.read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["id"] for row in rows] == [f"r{i}" for i in range(5)]
    assert rows[0]["row"] == 1
    assert rows[0].keys() == {
        "row",
        "id",
        "click",
        "rating",
        "genre",
        "tags",
        "never",
    }
    stream = io.TextIOWrapper(io.BytesIO(new.read_bytes()))
    monkeypatch.setattr("sys.stdin", stream)
    assert run(["predict", str(table_run)]) == 0
    assert capsys.readouterr().out.splitlines() == lines
    made = [row | {"job": "sailor"} for row in made_rows(5, 9)]
    other = write_rows(tmp_path / "other.csv", made)
    assert run(["predict", str(table_run), str(other)]) == 0
    assert "column job: 5 of 5 rows hold a value that" in capsys.readouterr().err
    assert run(["predict", str(table_run), str(new), "--top-k", "2"]) == 2
    assert "--scores writes every class" in capsys.readouterr().err


def test_columns_can_be_looked_at_without_training(
    table_file: Path, capsys: Any
) -> None:
    arguments = ["data", "stats", str(table_file), "--task", "rating=auto:2"]
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert "rating  squared" in shown and "; weight 2" in shown
    assert "job      categorical  3 values" in shown
    assert run([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tasks"][0]["name"] == "rating"
    assert found["dropped"]["country"] == "always 'de'"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "clik=binary"], "no column 'clik'; the nearest is 'click'"),
        (["--task", "job=squared"], "rows.csv:2: column 'job' must hold numbers"),
        (["--task", "job=binary"], "holds 3 different values, so a binary task must"),
        (["--task", "click=often"], "a task of a table must read COLUMN=KIND"),
        (["--task", "click=binary", "--task", "topics"], "--task is of labelled"),
        (
            ["--task", "click=binary", "--table.numeric", "job"],
            "rows.csv:2: column 'job' must hold numbers",
        ),
        (
            ["--task", "click=binary", "--table.drop", "jobs"],
            "no column 'jobs'; the nearest is 'job'",
        ),
        (
            ["--task", "click=binary", "--task", "click=squared"],
            "task 'click' is named twice",
        ),
        (
            ["--task", "click=binary", "--graph.layers", "0"],
            "a run over a table reads no graph.*",
        ),
        (
            ["--task", "click=binary", "--threshold.consistent"],
            "reads no threshold.* but --threshold.kind and --threshold.metric and "
            "--threshold.shrinkage: leave it at its defaults, got ",
        ),
        (
            ["--task", "click=binary", "--threshold.kind", "top_k"],
            "decides by thresholds: --threshold.kind must not be 'top_k'",
        ),
        (
            ["--task", "click=binary", "--loss.kind", "focal"],
            "a run over a table reads no loss.* but --loss.positive-weight: leave",
        ),
    ],
)
def test_a_wrong_command_is_one_clear_line(
    arguments: list[str], message: str, table_file: Path, tmp_path: Path, capsys: Any
) -> None:
    workdir = tmp_path / "run"
    command = ["train", "--data", str(table_file), "--workdir", str(workdir)]
    assert run([*command, *arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("labelgraph: error: ")
    assert message in error
    assert not workdir.exists()
