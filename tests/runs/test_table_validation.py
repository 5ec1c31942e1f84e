"""What is wrong with a table, told before a run learns from it."""

import json
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.cli.app import run
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.ensemble import make_ensemble
from tests.tiny_table import made_rows, write_rows
from tests.zoo import Zoo

TASKS = ("--task", "click=binary", "--task", "rating=squared")


def validate(path: Path, capsys: Any, *options: str) -> tuple[int, list[str]]:
    code = run(["data", "validate", str(path), *TASKS, *options])
    said = capsys.readouterr()
    return code, [line for line in (said.out + said.err).splitlines() if line]


def test_a_table_without_a_fault_is_said_to_have_none_or_what_training_warns_of(
    tmp_path: Path, capsys: Any
) -> None:
    rows = [{k: r[k] for k in ("age", "click", "rating")} for r in made_rows(60, 0)]
    path = write_rows(tmp_path / "rows.csv", rows)
    code, lines = validate(path, capsys)
    assert code == 0
    assert not any(line.startswith("error: ") for line in lines)
    assert any(line.startswith("note: ") and "cut off for it" in line for line in lines)


def test_every_bad_field_is_counted_and_the_first_twenty_are_told(
    tmp_path: Path, capsys: Any
) -> None:
    rows = made_rows(200, 0)
    for number in range(0, 120, 2):
        rows[number]["weight"] = -1 if number % 4 else "much"
    rows = [{"weight": 1} | row for row in rows]
    path = write_rows(tmp_path / "rows.csv", rows)
    code, lines = validate(path, capsys, "--table.weight", "weight")
    text = " ".join(lines)
    assert code == 2
    assert "60 fields cannot be read; the first 20:" in text
    assert "rows.csv:2: column 'weight' must hold weights of rows" in text
    assert "rows.csv:4: column 'weight' must hold weights of rows" in text
    code = run(
        ["data", "validate", str(path), *TASKS, "--table.weight", "weight", "--json"]
    )
    found = json.loads(capsys.readouterr().out)
    assert code == 2 and len(found) == 21
    assert all(problem["severity"] == "error" for problem in found)


def test_a_validation_file_is_read_as_training_is(tmp_path: Path, capsys: Any) -> None:
    path = write_rows(tmp_path / "rows.csv", made_rows(80, 0))
    held = made_rows(20, 1)
    held[6]["click"] = "maybe"
    other = write_rows(tmp_path / "held.csv", held)
    code, lines = validate(path, capsys, "--validation", str(other))
    assert code == 2
    assert "held.csv:8: column 'click' must hold 0 or 1; got 'maybe'" in " ".join(lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--task", "genre=binary"), "holds 3 different values, so a binary task must"),
        (("--task", "clock=binary"), "no column 'clock'; the nearest is 'click'"),
        (("--table.drop", "jobs"), "no column 'jobs'; the nearest is 'job'"),
    ],
)
def test_what_is_wrong_with_the_whole_is_one_line(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: Any
) -> None:
    path = write_rows(tmp_path / "rows.csv", made_rows(60, 0))
    code, lines = validate(path, capsys, *options)
    assert code == 2
    assert message in " ".join(lines)


def test_a_target_that_does_not_vary_is_a_warning(tmp_path: Path, capsys: Any) -> None:
    path = write_rows(tmp_path / "rows.csv", made_rows(60, 0))
    code, lines = validate(path, capsys, "--task", "never=binary")
    assert code == 0
    assert any(line.startswith("warning: task never: every training") for line in lines)


def test_runs_over_tables_are_no_ensemble_and_that_is_said(
    zoo: Zoo, tmp_path: Path
) -> None:
    with pytest.raises(
        WorkdirError, match="has learned tasks of a table; an ensemble joins"
    ):
        make_ensemble([zoo("table"), zoo("table")], tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def folder_of_splits(folder: Path) -> Path:
    """Train, validation and test, and a file that belongs to none."""
    folder.mkdir()
    for number, name in enumerate(("train", "valid", "test")):
        rows = [
            {k: r[k] for k in ("age", "job", "click", "rating")}
            for r in made_rows(60 - 15 * number, number)
        ]
        write_rows(folder / f"{name}.csv", rows)
    write_rows(folder / "notes.csv", [{"note": "not rows"}])
    return folder


def test_a_folder_is_validated_split_by_split_and_names_what_is_not_read(
    tmp_path: Path, capsys: Any
) -> None:
    folder = folder_of_splits(tmp_path / "rows")
    note = "1 file not read, whose names say neither train, validation nor test: notes"
    code, lines = validate(folder, capsys)
    assert code == 0
    assert note in " ".join(lines)
    assert run(["data", "stats", str(folder), *TASKS]) == 0
    said = capsys.readouterr()
    assert note in " ".join((said.out + said.err).split())
    # Of every split the fields that training would refuse, by its own lines.
    for name, count in (("valid", 45), ("test", 30)):
        rows = made_rows(count, 5)
        rows[3]["click"], rows[4]["rating"] = "maybe", "1,2,3"
        rows = [{k: r[k] for k in ("age", "job", "click", "rating")} for r in rows]
        kept = (folder / f"{name}.csv").read_text("utf-8")
        write_rows(folder / f"{name}.csv", rows)
        code, lines = validate(folder, capsys)
        (folder / f"{name}.csv").write_text(kept, "utf-8")
        assert code == 2, name
        assert f"{name}.csv:5: column 'click' must hold 0 or 1" in " ".join(lines)


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_wrong_with_test_rows_is_told_before_training(
    whole: bool, tmp_path: Path, capsys: Any
) -> None:
    train = write_rows(tmp_path / "train.csv", made_rows(60, 0))
    rows = made_rows(20, 1)
    for row in rows:
        row["click"], row["rating"] = ("", "") if whole else (row["click"], 1)
    if not whole:
        rows[4]["click"] = "maybe"
    test = write_rows(tmp_path / "other.csv", rows)
    command = ["train", "--data", str(train), "--test", str(test), *TASKS, "--quiet"]
    command += ["--workdir", str(tmp_path / "run"), "--epochs", "1"]
    command += ["--table.drop", "tags"]
    assert run(command) == 2
    told = "other.csv: no row holds a target of any task"
    if not whole:
        told = "other.csv:6: column 'click' must hold 0 or 1; got 'maybe'"
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    write_rows(test, made_rows(20, 1))
    assert run(command) == 0
    assert (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize("name", ["it's", 'say "so"', 'it\'s "so"', "back\\slash", "é"])
def test_columns_of_any_name_are_counted_field_by_field(
    name: str, tmp_path: Path, capsys: Any
) -> None:
    held = [row | {name: 1} for row in made_rows(30, 1)]
    train = [row | {name: i} for i, row in enumerate(made_rows(60, 0))]
    path = write_rows(tmp_path / "rows.csv", train)
    for number in range(0, 30, 5):
        held[number][name] = "bad"
    other = write_rows(tmp_path / "held.csv", held)
    code, lines = validate(path, capsys, "--validation", str(other))
    assert code == 2
    assert "6 fields cannot be read" in " ".join(lines)
