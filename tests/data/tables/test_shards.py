"""Tables in several files: shards, folders, and blank lines before a header."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from labelgraph_jax.config import Config, DataConfig, TableConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tables.files import read_table
from labelgraph_jax.predictors.tables.data import read_splits

COLUMNS = {"age": [1.0, 2.0], "job": ["baker", "clerk"]}


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = zip(*COLUMNS.values(), strict=True)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in cells]
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pa.table(COLUMNS), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        lines = [mark.join(COLUMNS), *(mark.join(map(str, r.values())) for r in rows)]
        path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_shards_are_one_table(suffix: str, tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"rows-{number}.{suffix}")
    for source in (str(tmp_path / f"rows-*.{suffix}"), tmp_path):
        table = read_table(source)
        assert table.columns["age"].tolist() == [1.0, 2.0] * 3
        assert table.columns["job"].tolist() == ["baker", "clerk"] * 3
        assert table.where(4) == f"{source}:5"


def test_shards_of_other_columns_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("job,age\npilot,3\n")
    assert read_table(tmp_path).columns["age"].tolist() == [1.0, 2.0, 3.0]
    (tmp_path / "c.csv").write_text("job,years\npilot,3\n")
    with pytest.raises(DataError, match=r"c\.csv: must have the columns of .*a\.csv"):
        read_table(tmp_path)
    (tmp_path / "c.csv").unlink()
    write(tmp_path / "d.jsonl")
    with pytest.raises(DataError, match="they differ in their format"):
        read_table(tmp_path)


def test_a_pattern_or_a_folder_without_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file has such a name"):
        read_table(str(tmp_path / "*.csv"))
    with pytest.raises(DataError, match=r"must hold files such as \.jsonl"):
        read_table(tmp_path)


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_blank_lines_before_a_header_are_passed_over(
    suffix: str, tmp_path: Path
) -> None:
    path = write(tmp_path / f"d.{suffix}")
    path.write_text("\n  \n" + path.read_text())
    table = read_table(path)
    assert table.columns["age"].tolist() == [1.0, 2.0]
    assert table.where(0) == f"{path}:4"


def test_a_folder_holds_the_splits_of_a_table(tmp_path: Path) -> None:
    for name in ("train/1.csv", "train/2.csv", "test.csv", "valid.csv"):
        write(tmp_path / name)
    config = Config(
        data=DataConfig(data=str(tmp_path)), table=TableConfig(tasks=("age=squared",))
    )
    tables = read_splits(config).tables
    assert {n: len(t) for n, t in tables.items() if t is not None} == {
        "train": 4,
        "validation": 2,
        "test": 2,
    }
    given = DataConfig(data=str(tmp_path), test=str(tmp_path / "test.csv"))
    with pytest.raises(DataError, match=r"says what is where: leave data\.test"):
        read_splits(Config(data=given, table=config.table))
