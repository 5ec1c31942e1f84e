"""Census-Income: both forms of its files, its task groups, and what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from experiments.census import corpus
from experiments.census.corpus import (
    COLUMNS,
    GROUPS,
    NUMERIC_COLUMNS,
    input_columns,
    inputs_of,
    load_census_income,
    targets_of,
)
from labelgraph_jax.data.documents import DataError
from tests.experiments import tiny_census


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = dataclasses.replace(
        corpus.SOURCE, downloads=(), sizes={"mmoe": tiny_census.SIZES}
    )
    monkeypatch.setattr(corpus, "SOURCE", changed)


def test_the_published_files_and_those_with_a_header_are_the_same_tables(
    tmp_path: Path,
) -> None:
    named = load_census_income(tiny_census.make_copy(tmp_path / "named"))
    raw = load_census_income(tiny_census.make_copy(tmp_path / "raw", raw=True))
    for part in ("train", "validation", "test"):
        ours, theirs = getattr(named, part), getattr(raw, part)
        assert tuple(ours.columns) == tuple(theirs.columns) == COLUMNS
        for name in COLUMNS:
            np.testing.assert_array_equal(ours.column(name), theirs.column(name), name)


def test_the_test_rows_are_halved_by_a_draw_that_a_seed_names(tmp_path: Path) -> None:
    parent = tiny_census.make_copy(tmp_path)
    data, other = load_census_income(parent), load_census_income(parent, split_seed=1)
    lines = [set(part.lines.tolist()) for part in (data.validation, data.test)]
    assert [len(part) for part in lines] == [60, 60]
    assert lines[0] | lines[1] == set(range(2, 122)) and not lines[0] & lines[1]
    assert set(other.test.lines.tolist()) != lines[1]
    again = load_census_income(parent)
    np.testing.assert_array_equal(again.test.lines, data.test.lines)


def test_inputs_hold_neither_education_nor_marriage_nor_a_target() -> None:
    assert len(COLUMNS) == 40 and set(NUMERIC_COLUMNS) <= set(COLUMNS)
    assert len(input_columns("group1")) == 37
    assert len(input_columns("group2")) == 38
    assert set(input_columns("group2")) - set(input_columns("group1")) == {"income_50k"}
    for group, tasks in GROUPS.items():
        assert not {task.column for task in tasks} & set(input_columns(group))
        assert not {"education", "marital_stat"} & set(input_columns(group))


def test_targets_are_the_answers_of_the_columns(tmp_path: Path) -> None:
    table = load_census_income(tiny_census.make_copy(tmp_path)).train
    education, income = table.column("education"), table.column("income_50k")
    married = table.column("marital_stat")
    for row in range(len(table)):
        never = float(married[row] == "Never married")
        assert targets_of(table, "group1")[row].tolist() == [
            float(income[row] == "50000+."),
            never,
        ]
        assert targets_of(table, "group2")[row].tolist() == [
            float(education[row] != "Children"),
            never,
        ]
        assert targets_of(table, "group2-bachelors")[row].tolist() == [
            float(education[row].startswith("Bachelors")),
            never,
        ]
    inputs = inputs_of(table, "group1")
    assert tuple(inputs.columns) == input_columns("group1") and len(inputs) == 240
    assert None in set(inputs.column("hisp_origin"))
    assert "?" in set(inputs.column("country_self"))


def _without_a_row(folder: Path) -> None:
    path = folder / "test.csv"
    path.write_text(path.read_text().rsplit("\n", 2)[0] + "\n")


def _with_another_income(folder: Path) -> None:
    path = folder / "train.csv"
    path.write_text(path.read_text().replace("- 50000.", "poor", 1))


def _with_a_negative_age(folder: Path) -> None:
    path = folder / "train.csv"
    header, _, *rest = path.read_text().split("\n", 2)
    fields = ["-1", *["0"] * 38, "50000+."]
    path.write_text("\n".join([header, ",".join(fields), *rest]))


def _without_a_column(folder: Path) -> None:
    path = folder / "train.csv"
    path.write_text(path.read_text().replace("vet_question", "veteran", 1))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without_a_row, "test.csv: must hold 120 rows; got 119"),
        (_with_another_income, r"train.csv:\d+: income_50k must be one of .* got"),
        (_with_a_negative_age, "train.csv: age must hold numbers from 0 on"),
        (_without_a_column, "train.csv: no column 'vet_question'"),
    ],
)
def test_files_that_are_not_those_of_the_data_set_are_refused(
    tmp_path: Path, damage, said: str
) -> None:
    parent = tiny_census.make_copy(tmp_path)
    damage(parent / "census_income_kdd")
    with pytest.raises(DataError, match=said):
        load_census_income(parent)


def test_a_line_with_too_few_fields_is_named(tmp_path: Path) -> None:
    parent = tiny_census.make_copy(tmp_path, raw=True)
    folder = parent / "census_income_kdd"
    (folder / "census-income.data.gz").unlink()
    (folder / "census-income.data").write_text("1, 2, 3\n")
    with pytest.raises(DataError, match=r"income.data:1: must hold 42 fields.* got 3"):
        load_census_income(parent)
    (folder / "census-income.data").write_text("")
    with pytest.raises(DataError, match="must hold at least one row"):
        load_census_income(parent)


def test_without_a_copy_the_home_and_the_files_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LABELGRAPH_DATA", raising=False)
    with pytest.raises(DataError, match=r"census-income.data.*archive.ics.uci.edu"):
        load_census_income()


def test_a_group_that_does_not_exist_is_told() -> None:
    with pytest.raises(
        DataError, match=r"must be one of group1, group2.* got 'group3'"
    ):
        input_columns("group3")


def test_the_real_test_half_has_the_published_counts(data_root: Path) -> None:
    path = data_root / "census_income_kdd" / "test.csv.gz"
    if not path.is_file():
        pytest.skip(f"no local copy at {path}")
    table = corpus._in_order(corpus.read_table(path))
    corpus._check(table, 99_762)
    assert targets_of(table, "group1").sum(axis=0).tolist() == [6186, 43143]
    assert targets_of(table, "group2-bachelors").sum(axis=0).tolist() == [14687, 43143]
    correlation = np.corrcoef(targets_of(table, "group2").T)[0, 1]
    assert abs(correlation + 0.2376) < 5e-5
