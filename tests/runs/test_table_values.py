"""Runs over tables whose columns hold lists, vectors, texts, times and odd values."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.files import table_of
from labelgraph_jax.data.tables.learn_targets import learn_target
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.predictors.tables.data import encode_rows
from labelgraph_jax.predictors.tables.model import TableModel
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.tables.problem import TableProblem
from labelgraph_jax.runs.tables.report import suspicions
from tests.tiny_table import tiny_table_config

WORDS = ("slow", "quick", "loud", "quiet", "long", "short", "sad", "funny")


def made_frame(count: int, seed: int) -> pd.DataFrame:
    """Rows whose targets follow from a watched id, a vector, a word and a date."""
    draw = np.random.default_rng(seed)
    watched = [draw.choice(20, size=draw.integers(1, 6)).tolist() for _ in range(count)]
    words = [draw.choice(WORDS, size=7).tolist() for _ in range(count)]
    vectors = draw.normal(size=(count, 3)).round(3)
    return pd.DataFrame(
        {
            "watched": watched,
            "review": [" ".join(chosen) for chosen in words],
            "vector": vectors.tolist(),
            "day": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(draw.integers(0, 300, count), "D"),
            "member": draw.random(count) < 0.5,
            "secret": [{"a": 1}] * count,
            "saw": [int(3 in ids or 4 in ids) for ids in watched],
            "funny": ["funny" in chosen for chosen in words],
            "paid": np.exp(vectors[:, 0]).round(3),
        }
    )


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over lists, trained from parquet."""
    folder = tmp_path_factory.mktemp("listed")
    made_frame(400, 0).to_parquet(folder / "rows.parquet")
    tasks = ("saw=binary", "funny=binary", "paid=squared")
    config = tiny_table_config(folder / "rows.parquet", tasks=tasks)
    training = dataclasses.replace(config.training, epochs=12)
    config = dataclasses.replace(config, training=training)
    said: list[str] = []
    fit(config, folder / "run", progress=False, say=said.append)
    (folder / "said.txt").write_text("\n".join(said), encoding="utf-8")
    return folder / "run"


def test_lists_and_texts_are_learned_from(listed: Path) -> None:
    tasks = evaluate_workdir(listed)["test"]["tasks"]
    assert tasks["saw"]["metrics"]["auc"] > 0.8
    assert tasks["funny"]["metrics"]["auc"] > 0.8
    assert tasks["paid"]["skill"] > 0.2
    said = (listed.parent / "said.txt").read_text("utf-8")
    assert "watched  ids          20 values in lists: " in said
    assert "review   text         8 words: " in said
    assert "vector   vector       lists of 3 numbers" in said
    assert "day      numeric      times; mean 2024-" in said
    assert "secret   left out     holds no numbers, texts or lists of texts" in said


def test_every_format_and_row_predicts_the_same(listed: Path, tmp_path: Path) -> None:
    model = lg.load(listed)
    assert isinstance(model, TableModel)
    frame = made_frame(30, 1)
    rows: list[dict[str, Any]] = frame.to_dict("records")
    frame.to_parquet(tmp_path / "x.parquet")
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_csv(tmp_path / "x.tsv", index=False, sep="\t")
    lines = [json.dumps(row, default=str) for row in rows]
    (tmp_path / "x.jsonl").write_text("\n".join(lines), encoding="utf-8")
    epochs = frame.assign(day=frame["day"].astype("datetime64[ms]").astype("int64"))
    files = [tmp_path / f"x.{form}" for form in ("csv", "tsv", "jsonl", "parquet")]
    expected = model.predict_proba(frame)
    for given in (*files, rows, epochs):
        for task, scores in model.predict_proba(given).items():
            np.testing.assert_allclose(scores, expected[task], atol=1e-6)
    for number in (0, 7):
        for task, scores in model.predict_proba([rows[number]]).items():
            np.testing.assert_allclose(scores[0], expected[task][number], atol=1e-6)
    first = evaluate_workdir(listed, data=str(tmp_path / "x.csv"))["test"]
    second = evaluate_workdir(listed, data=str(tmp_path / "x.parquet"))["test"]
    assert first["tasks"] == second["tasks"]


def test_numbers_far_away_are_told_and_predictions_keep_their_range(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = made_frame(6, 2).assign(member=[0, 1, 1e9, 0, 1, -1e9])
    frame["vector"] = [[1e9, -1e9, 0.0]] * 6
    frame["unread"] = [b"x"] * 6
    frame.to_parquet(tmp_path / "far.parquet")
    assert run(["predict", str(listed), str(tmp_path / "far.parquet")]) == 0
    said = capsys.readouterr()
    assert "column member: 2 of 6 rows hold a number far from those of" in said.err
    train = made_frame(400, 0)["paid"]
    for line in said.out.splitlines():
        row = json.loads(line)
        assert 0.0 <= row["paid"]["value"] <= 1.1 * train.max()
    near = frame.assign(member=[0, 1, 1.1, 0, 1, 0])
    expected = lg.load(listed).predict(near)
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [row["saw"] for row in rows] == [row["saw"] for row in expected]
    assert run(["evaluate", str(listed), "--data", str(tmp_path / "far.parquet")]) == 0
    assert "column member: 2 of 6 rows" in " ".join(capsys.readouterr().out.split())


def test_no_column_is_accused_by_chance_and_odd_texts_are_told() -> None:
    draw = np.random.default_rng(0)
    for positives, accused in ((2, 0), (19, 0), (30, 1)):
        hit = np.zeros(400, int)
        hit[:positives] = 1
        noise = {f"x{i}": draw.normal(size=400) for i in range(40)}
        columns = noise | {"leak": hit + 0.1 * draw.random(400), "hit": hit}
        columns["x0"] = [*map(str, noise["x0"][:-1]), "unknown"]
        table = table_of("rows.csv", columns)
        target = learn_target(table, "hit")
        schema = TableSchema.infer(table.drop(["hit"]))
        encoded = encode_rows(table, schema, [target], labelled=True)
        lines = [*suspicions(table, schema, [target], encoded.examples)]
        assert sum("nearly by itself" in line for line in lines) == accused, positives
        assert lines[0] == (
            "warning: rows.csv:400: column x0 holds 'unknown' among numbers: read as "
            "missing (1 of 400 rows)"
        )


def test_a_stray_in_any_split_and_in_a_target_stops_no_run(tmp_path: Path) -> None:
    frame = made_frame(120, 3)[["member", "paid"]].assign(age=range(120))
    frame = frame.astype(object)
    frame.loc[[5, 60], "age"] = ["unknown", None]
    frame.loc[17, "paid"] = "n/k"
    frame.to_csv(tmp_path / "rows.csv", index=False)
    for seed in range(3):
        config = tiny_table_config(tmp_path / "rows.csv", tasks=("paid=auto",))
        data = dataclasses.replace(config.data, split_seed=seed)
        problem = TableProblem(dataclasses.replace(config, data=data).resolved())
        said: list[str] = []
        prepared = problem.prepare(problem.read(), said.append)
        assert prepared.targets[0].kind == "squared"
        (age,) = (c for c in prepared.schema.columns if c.name == "age")
        assert age.kind == "numeric"
        test = prepared.splits.tables["test"]
        assert test is not None
        encoded = encode_rows(test, prepared.schema, prepared.targets, labelled=True)
        told = "\n".join([*said, *encoded.remarks])
        assert "rows.csv:7: column age holds 'unknown' among numbers" in told
        assert "rows.csv:19: column paid holds 'n/k' among numbers" in told


def test_a_text_among_numbers_is_refused_alone_and_in_a_file_alike(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = lg.load(listed)
    assert isinstance(model, TableModel)
    frame = made_frame(30, 4)
    frame["member"] = frame["member"].astype(int).astype(object)
    frame.loc[6, "member"] = "oops"
    frame.to_csv(tmp_path / "x.csv", index=False)
    rows: list[dict[str, Any]] = frame.to_dict("records")
    told = "column 'member' must hold numbers; got 'oops'"
    for given, place in (
        (frame, "rows:7"),
        (rows, "rows:7"),
        (rows[5:12], "rows:2"),
        ([rows[6]], "rows:1"),
        (tmp_path / "x.csv", "x.csv:8"),
    ):
        with pytest.raises(DataError, match=rf"{place}: {told}"):
            model.predict(given)
    assert run(["predict", str(listed), str(tmp_path / "x.csv")]) == 2
    assert f"x.csv:8: {told}" in capsys.readouterr().err
    # Where a split is measured, or its gates are looked at, one field ends nothing.
    remarks = model.evaluate(tmp_path / "x.csv")["remarks"]
    assert any("column member holds 'oops' among numbers" in line for line in remarks)
    assert model.gate_weights(frame) is not None


def test_a_text_that_training_has_among_numbers_is_missing_everywhere() -> None:
    numbers = [*map(str, range(399)), "n/k"]
    schema = TableSchema.infer(table_of("train", {"x": numbers}))
    for values in (["n/k"], ["n/k", "1"], [*numbers[:9], "n/k"]):
        found = schema.encode(table_of("new", {"x": values}), strict=True)
        place = values.index("n/k")
        assert found.numbers[place].tolist() == [0.0, 1.0]
        for other in ("oops", "n/a?"):
            values = [value if value != "n/k" else other for value in values]
            with pytest.raises(DataError, match=rf"new:{place + 1}: column 'x' must"):
                schema.encode(table_of("new", {"x": values}), strict=True)
            values[place] = "n/k"
