"""A task that is known only where another one is positive, from file to prediction."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run
from labelgraph_jax.config import Config, DataConfig, TableConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.targets import Target, joint_targets
from labelgraph_jax.predictors.tables.data import encode_rows, learn_targets, read_own
from labelgraph_jax.predictors.tables.model import TableModel

BUY = Target("buy", "binary", ("0", "1"), given="click")
CLICK = Target("click", "binary", ("0", "1"), given="view")
VIEW = Target("view", "binary", ("0", "1"))


def written(path: Path, count: int = 240) -> Path:
    """Clicks that follow from `a`, purchases of clicked rows from `b`; else empty."""
    rng = np.random.default_rng(0)
    lines = ["a,b,click,buy"]
    for a, b in rng.normal(size=(count, 2)):
        click, buy = int(a + 0.3 * rng.normal() > 0), int(b > 0.2)
        lines.append(f"{a:.3f},{b:.3f},{click},{buy if click else ''}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_target_is_negative_wherever_its_parent_is_whatever_the_order() -> None:
    values = np.array([[1, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1]], float)
    mask = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 1], [0, 0, 1], [0, 0, 0]], bool)
    found, known, against = joint_targets((BUY, CLICK, VIEW), values, mask)
    np.testing.assert_array_equal(found[:4, 0], [1, 0, 0, 0])
    np.testing.assert_array_equal(found[:4, 1], [1, 0, 0, 0])
    np.testing.assert_array_equal(known[:, 0], [1, 1, 1, 1, 0])
    assert against == {"click": 1, "buy": 1}
    # A file without the column says nothing about it.
    _, known, against = joint_targets((BUY, CLICK, VIEW), values, mask, ["buy"])
    np.testing.assert_array_equal(known[:, 0], mask[:, 0])
    assert against == {"click": 1}


def test_shares_are_those_of_both_and_contradictions_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = ["a,click,buy", *("1,0,", "2,1,1", "3,1,0", "4,0,1"), *["5,0,"] * 4]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    tasks = ("buy=binary@click", "click=binary")
    config = Config(data=DataConfig(data=str(path)), table=TableConfig(tasks=tasks))
    table = read_own(str(path), config.data)
    buy, click = learn_targets(config, table)
    assert buy.prior == (1 / 8,) and buy.rows == 8 and click.prior == (1 / 4,)
    assert Target.from_json(json.loads(json.dumps(buy.to_json()))) == buy
    schema = lg.data.tables.schema.TableSchema.infer(table.drop(["click", "buy"]))
    encoded = encode_rows(table, schema, (buy, click), labelled=True)
    assert encoded.remarks[-1] == (
        "task buy: 1 row positive although click is not, read as negative"
    )
    np.testing.assert_array_equal(encoded.examples.targets[:4, 0], [0, 1, 0, 0])


def test_a_parent_whose_column_is_not_binary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("click,buy\n1.5,1\n2.5,0\n3.5,1\n", encoding="utf-8")
    tasks = ("click=auto", "buy=binary@click")
    config = Config(data=DataConfig(data=str(path)), table=TableConfig(tasks=tasks))
    with pytest.raises(DataError, match="must be binary; its column makes it squared"):
        learn_targets(config, read_own(str(path), config.data))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("buy=binary@clik", "conditional on 'clik', which must be a task too: add"),
        ("buy=squared@click", "write COLUMN=binary@TASK, got 'buy=squared@click'"),
        ("buy=binary@buy", "in a circle, got buy on buy"),
    ],
)
def test_a_wrong_condition_is_one_line(
    task: str, message: str, tmp_path: Path, capsys: Any
) -> None:
    data = written(tmp_path / "t.csv", 12)
    given = ["train", "--data", str(data), "--task", "click=binary", "--task", task]
    assert run([*given, "--workdir", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_both_probabilities_come_out_of_a_run_and_of_its_export(
    tmp_path: Path, capsys: Any
) -> None:
    data, folder = written(tmp_path / "t.csv"), tmp_path / "run"
    train = (
        "--task click=binary --task buy=binary@click --mixture.kind ple --quiet "
        "--mixture.experts 2 --mixture.hidden 8 --mixture.expert-norm --no-report "
        "--mixture.weighting gradnorm --training.epochs 3 --training.batch-size 32"
    )
    given = ["train", "--data", str(data), "--workdir", str(folder)]
    assert run([*given, *train.split()]) == 0
    model = lg.load(folder)
    assert isinstance(model, TableModel)
    assert sum(model.learned_weights.values()) == pytest.approx(2)
    (row,) = model.predict({"a": [2.0], "b": [1.0]})
    click, buy = row["click"], row["buy"]
    assert 0 < buy["conditional_probability"] <= 1
    expected = buy["probability"] / click["probability"]
    assert buy["conditional_probability"] == pytest.approx(min(expected, 1), rel=1e-4)
    tasks = model.workdir.results()["test"]["tasks"]
    given = tasks["buy"]["given"]
    assert given["task"] == "click"
    # Clicked rows alone: as many as are positive of all.
    assert given["metrics"]["rows"] == round(
        tasks["click"]["metrics"]["positives"] * tasks["click"]["metrics"]["rows"]
    )
    assert "given click" in capsys.readouterr().out
    assert run(["export", str(folder), str(tmp_path / "out")]) == 0
    assert '"given": "click"' in (tmp_path / "out" / "table.json").read_text("utf-8")
    # Thresholds that would say "bought" where nothing was clicked on.
    rows = [{"a": a / 4, "b": 1.0} for a in range(-8, 9)]
    cut = float(np.median([row["click"]["probability"] for row in model.predict(rows)]))
    for place in (folder, tmp_path / "out"):
        path = place / "thresholds.json"
        stored = json.loads(path.read_text("utf-8"))
        stored["tasks"]["click"]["thresholds"] = {"1": cut}
        stored["tasks"]["buy"]["thresholds"] = {"1": 0.0}
        path.write_text(json.dumps(stored), encoding="utf-8")
    script = runpy.run_path(str(tmp_path / "out" / "load_example.py"))
    assert run(["doctor", str(folder), "--accept"]) == 0
    for predicted in (lg.load(folder).predict(rows), script["predict"](rows)):
        clicks = [row["click"]["value"] for row in predicted]
        assert set(clicks) == {0, 1}
        assert clicks == [row["buy"]["value"] for row in predicted]
    assert run(["gates", str(folder)]) == 0
