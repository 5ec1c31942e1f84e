"""Random tables: a file of any format, a frame and rows predict the same."""

import csv
import datetime
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from labelgraph_jax.config import Config
from labelgraph_jax.predictors.tables.data import learn_schema, learn_targets
from labelgraph_jax.predictors.tables.inputs import Rows, as_table
from labelgraph_jax.predictors.tables.model import TableModel
from labelgraph_jax.predictors.tables.network import build_table_classifier
from labelgraph_jax.predictors.workdir import Workdir
from tests.tiny_table import tiny_table_config

EPOCH = datetime.datetime(2020, 1, 1)
TRIED = 300


def random_column(draw: np.random.Generator, rows: int) -> list[Any]:
    """A column of some kind, perhaps with gaps."""

    def words(count: int) -> str:
        return " ".join(draw.choice(["a", "bad", "good", "long", "film"], count))

    day = datetime.timedelta(days=1)
    zone = datetime.timezone(datetime.timedelta(hours=int(draw.integers(-9, 9))))
    makers = [
        lambda: float(draw.normal() * 10.0 ** draw.integers(-3, 6)),
        lambda: int(draw.integers(-1_000, 1_000)),
        lambda: bool(draw.random() < 0.5),
        lambda: str(draw.choice(["x", "y", "z, w", "True", "-", "7", "1.10"])),
        lambda: str(draw.choice(["1.1", "1.10", "1.2"])),
        lambda: str(draw.choice(["007", "7", "07", "12"])),
        lambda: f"{draw.random() * 1e4:,.2f}",
        lambda: f"{draw.random() * 100:.2f}".replace(".", ","),
        lambda: (EPOCH + day * int(draw.integers(0, 900))).date(),
        lambda: EPOCH + day * round(float(draw.random() * 900), 3),
        lambda: (EPOCH + day * int(draw.integers(0, 900))).replace(tzinfo=zone),
        lambda: draw.integers(0, 9, draw.integers(1, 5)).tolist(),
        lambda: draw.normal(size=3).tolist(),
        lambda: words(int(draw.integers(7, 12))),
    ]
    make = makers[draw.integers(len(makers))]
    gaps = draw.choice([0.0, 0.0, 0.2])
    return [None if draw.random() < gaps else make() for _ in range(rows)]


def random_table(seed: int) -> dict[str, list[Any]]:
    draw = np.random.default_rng(seed)
    rows = int(draw.integers(40, 80))
    columns = {f"c{i}": random_column(draw, rows) for i in range(draw.integers(2, 7))}
    return columns | {
        "n": [*range(rows)],
        "hit": [bool(draw.random() < 0.5) for _ in range(rows)],
        "size": [float(draw.random()) for _ in range(rows)],
    }


def written(columns: dict[str, list[Any]], folder: Path) -> dict[str, Rows]:
    """The table as files, as a frame and as rows."""
    rows = [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]

    def text(value: Any) -> Any:
        return json.dumps(value) if isinstance(value, list) else value

    for suffix, mark in (("csv", ","), ("tsv", "\t")):
        with (folder / f"x.{suffix}").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=mark)
            writer.writerow(columns)
            writer.writerows([map(text, row.values()) for row in rows])
    lines = "\n".join(json.dumps(row, default=str) for row in rows)
    (folder / "x.jsonl").write_text(lines, encoding="utf-8")
    pa.parquet.write_table(pa.table(columns), folder / "x.parquet")
    forms = ("csv", "tsv", "jsonl", "parquet")
    files: dict[str, Rows] = {form: folder / f"x.{form}" for form in forms}
    return files | {"frame": pd.DataFrame(columns), "rows": rows}


def fresh_model(config: Config, rows: Rows) -> TableModel:
    """A model of first parameters, which tells inputs apart as a trained one does."""
    table = as_table(rows)
    config = config.resolved()
    targets, schema = learn_targets(config, table), learn_schema(config, table)
    classifier = build_table_classifier(config, schema, targets)
    params = classifier.init(jax.random.key(0))
    place = Workdir("unused")
    return TableModel(place, config, schema, targets, classifier, params)


def check(seed: int, folder: Path, *, predict: bool) -> None:
    forms = written(random_table(seed), folder)
    config = tiny_table_config(folder / "x.csv", tasks=("hit=binary", "size=squared"))
    trained = [*forms][seed % len(forms)]
    table = as_table(forms[trained])
    schema = learn_schema(config, table)
    expected = schema.encode(table)
    for form, rows in forms.items():
        other = as_table(rows)
        assert learn_schema(config, other) == schema, (seed, form)
        found = schema.encode(other)
        for one, same in zip(found[:2], expected[:2], strict=True):
            np.testing.assert_array_equal(one, same, f"table {seed}, {form}")
        assert learn_targets(config, other) == learn_targets(config, table)
    rows = forms["rows"]
    assert isinstance(rows, list)
    for number in range(0, len(rows), 7):
        alone = schema.encode(as_table([rows[number]]))
        for one, same in zip(alone[:2], expected[:2], strict=True):
            np.testing.assert_array_equal(one[0], same[number], f"table {seed}, a row")
    if predict:
        model = fresh_model(config, forms[trained])
        scores = model.predict_proba(forms[trained])
        for form, rows in forms.items():
            for task, same in model.predict_proba(rows).items():
                np.testing.assert_allclose(same, scores[task], atol=1e-6, err_msg=form)


def test_random_tables_predict_the_same_as_files_frames_and_rows(
    tmp_path: Path,
) -> None:
    for seed in range(8):
        check(seed, tmp_path, predict=seed == 0)


@pytest.mark.slow
def test_many_random_tables_predict_the_same(tmp_path: Path) -> None:
    """Equal inputs give equal predictions; a few are predicted all the same."""
    for seed in range(8, TRIED):
        check(seed, tmp_path, predict=seed % 60 == 0)
