"""Rows of a table that weigh differently, and rows that belong to groups."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run
from labelgraph_jax.predictors.tables.model import TableModel
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.tables.problem import TableProblem
from tests.tiny_table import made_rows, tiny_table_config, write_rows

TASKS = ("click=binary", "rating=squared")


def rows_of_users(count: int = 120, seed: int = 3) -> list[dict[str, Any]]:
    """Rows with a user and a weight; bakers weigh nothing."""
    generator = np.random.default_rng(seed)
    return [
        row
        | {
            "user": f"u{generator.integers(8)}" if number % 9 else "",
            "weight": 0 if row["job"] == "baker" else 2.5,
        }
        for number, row in enumerate(made_rows(count, seed))
    ]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.csv", rows_of_users())


@pytest.fixture(scope="module")
def finished(file: Path) -> Path:
    """A run with weights and groups; tests leave it as it is."""
    config = tiny_table_config(file, tasks=TASKS, drop=("genre", "tags", "never"))
    table = dataclasses.replace(config.table, weight="weight", group="user")
    config = dataclasses.replace(config, table=table)
    fit(config, file.parent / "run", baseline=True, progress=False)
    return file.parent / "run"


def test_a_weight_is_no_input_and_counts_in_loss_and_metrics(
    file: Path, finished: Path
) -> None:
    model = lg.load(finished)
    assert isinstance(model, TableModel)
    assert "weight" not in [column.name for column in model.schema.columns]
    assert "user" in [column.name for column in model.schema.columns]
    rows = rows_of_users(60, 9)
    kept = [row for row in rows if row["weight"]]
    whole, part = (model.evaluate(write_rows_of(each)) for each in (rows, kept))
    for metric, value in whole["tasks"]["click"]["metrics"].items():
        assert value == pytest.approx(part["tasks"]["click"]["metrics"][metric])
    # The shares of training are those of the rows that count.
    problem = TableProblem(model.config)
    prepared = problem.prepare(problem.read(), lambda line: None)
    click = prepared.train.targets[:, 0]
    assert prepared.train.weights is not None
    known = prepared.train.target_mask[:, 0] & (prepared.train.weights > 0)
    assert model.targets[0].prior[0] == pytest.approx(click[known].mean())


def write_rows_of(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_rows_are_ranked_within_their_groups(finished: Path, capsys: Any) -> None:
    results = json.loads((finished / "results.json").read_text("utf-8"))
    click = results["test"]["tasks"]["click"]
    assert click["groups"]["groups"] <= 8
    assert click["groups"]["GAUC"] > 0.6
    assert click["constant_groups"]["GAUC"] == 0.5
    assert "groups" not in results["test"]["tasks"]["rating"]
    assert run(["evaluate", str(finished)]) == 0
    shown = capsys.readouterr().out
    assert "within groups" in shown and "GAUC" in shown and "boosting" in shown
    lines = (finished / "metrics.jsonl").read_text("utf-8").splitlines()
    assert "validation/click/within GAUC" in json.loads(lines[-1])
    assert run(["report", str(finished)]) == 0
    page = (finished / "report.html").read_text("utf-8")
    assert "GAUC within groups" in page


def test_a_file_without_weights_and_groups_is_measured_and_that_is_told(
    finished: Path, tmp_path: Path, capsys: Any
) -> None:
    rows = [{k: v for k, v in r.items() if k != "weight"} for r in rows_of_users(40)]
    path = write_rows(tmp_path / "bare.csv", rows)
    found = evaluate_workdir(finished, data=str(path))
    assert found["test"]["absent"] == ["weight"]
    assert run(["evaluate", str(finished), "--data", str(path)]) == 0
    assert "There is no column weight: rows count the same" in capsys.readouterr().out
    assert run(["predict", str(finished), str(path)]) == 0


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("-1", "rows.csv:5: column 'weight' must hold weights of rows, numbers of at"),
        ("", "rows.csv:5: column 'weight' must hold weights of rows"),
        ("heavy", "rows.csv:5: column 'weight' must hold weights of rows"),
        ("inf", "rows.csv:5: column 'weight' must hold "),
        ("1e300", "numbers of at least 0 and at most 1e+18; got '1e300'"),
        ("3e38", "rows.csv:5: column 'weight' must hold "),
    ],
)
def test_what_is_no_weight_is_refused_with_its_line(
    weight: str, message: str, tmp_path: Path, capsys: Any
) -> None:
    rows = rows_of_users(40)
    rows[3]["weight"] = weight
    path = write_rows(tmp_path / "rows.csv", rows)
    command = ["train", "--data", str(path), "--workdir", str(tmp_path / "run")]
    command += ["--task", "click=binary", "--table.weight", "weight"]
    assert run(command) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--table.weight", "wait"], "no column 'wait'; the nearest is 'weight'"),
        (["--table.group", "usr"], "no column 'usr'; the nearest is 'user'"),
        (["--table.weight", "click"], "column 'click' is a task: --table.weight must"),
        (["--table.group", "click"], "column 'click' is a task: --table.group must"),
        (
            ["--table.weight", "age", "--table.numeric", "age"],
            "column 'age' is in --table.weight, so it is no input and no group",
        ),
        (["--table.weight", "age", "--table.group", "age"], "no input and no group"),
    ],
)
def test_columns_that_cannot_weigh_or_group_are_refused(
    options: list[str], message: str, file: Path, tmp_path: Path, capsys: Any
) -> None:
    command = ["train", "--data", str(file), "--workdir", str(tmp_path / "run")]
    assert run([*command, "--task", "click=binary", *options]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_weights_that_are_all_zero_are_refused(tmp_path: Path, capsys: Any) -> None:
    rows = [row | {"weight": 0} for row in rows_of_users(40)]
    path = write_rows(tmp_path / "rows.csv", rows)
    command = ["data", "stats", str(path), "--task", "click=binary"]
    assert run([*command, "--table.weight", "weight"]) == 2
    assert "must hold a weight above 0; all are 0" in capsys.readouterr().err


def test_a_row_that_outweighs_all_others_is_told(tmp_path: Path, capsys: Any) -> None:
    rows = [row | {"weight": 1} for row in rows_of_users(40)]
    rows[6]["weight"] = 1e17
    path = write_rows(tmp_path / "rows.csv", rows)
    command = ["data", "validate", str(path), "--task", "click=binary"]
    command += ["--table.weight", "weight", "--table.split", "order"]
    assert run(command) == 0
    told = "rows.csv:8: column weight holds 1e+17, 100.0% of the weight of all "
    assert told in " ".join(capsys.readouterr().out.split())
    rows[6]["weight"] = 20
    write_rows(path, rows)
    assert run(command) == 0
    assert "of the weight of all" not in " ".join(capsys.readouterr().out.split())


def test_weights_too_small_to_be_told_from_zero_are_refused(
    tmp_path: Path, capsys: Any
) -> None:
    rows = [row | {"weight": 1e-300} for row in rows_of_users(40)]
    path = write_rows(tmp_path / "rows.csv", rows)
    command = ["data", "validate", str(path), "--task", "click=binary"]
    assert run([*command, "--table.weight", "weight"]) == 2
    said = capsys.readouterr()
    assert "must hold a weight above 0" in " ".join((said.out + said.err).split())
