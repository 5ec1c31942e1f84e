"""A run settles one layout, tells it, keeps it, and reads every later file by it."""

import ast
import csv
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import labelgraph_jax as lg
from labelgraph_jax.cli.app import run
from labelgraph_jax.cli.output import in_options
from labelgraph_jax.config import DataConfig, ReadingConfig
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.evaluate import evaluate_workdir
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.runs.predict import write_predictions
from tests.tiny import made_documents, tiny_config, write_jsonl


def write_csv(path: Path, documents: list[dict[str, Any]], most: int = 9) -> Path:
    """Labels of two words each, between |, under other names of columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["body", "kinds", "year"])
        for document in documents:
            labels = [f"made {name}" for name in document["labels"]][:most]
            writer.writerow([document["text"], "|".join(labels), 1999])
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layout")
    made = {"data": (48, 1), "validation": (16, 2), "test": (24, 3)}
    files = {
        name: str(write_csv(folder / f"{name}.csv", made_documents(*of)))
        for name, of in made.items()
    }
    names = {"text_column": "body", "label_columns": ("kinds",)}
    said: list[str] = []
    config = tiny_config(DataConfig(**files, **names))  # type: ignore[arg-type]
    fit(config, folder / "run", progress=False, say=said.append)
    assert said[0] == (
        "data.csv: CSV, columns between ';'; text from 'body'; labels from 'kinds' "
        "(between '|'); not read: year"
    )
    assert said[1].startswith("data.csv: the first document: ")
    return folder


def test_the_layout_is_kept_as_readable_json(place: Path) -> None:
    kept = json.loads((place / "run" / "layout.json").read_text())
    assert (kept["text_column"], kept["label_delimiter"]) == ("body", "|")
    assert Workdir(place / "run").layout().to_json() == {
        **kept,
        "label_columns": ("kinds",),
        "passed_over": ("year",),
    }


def test_a_file_of_single_labels_is_evaluated_with_the_layout(place: Path) -> None:
    path = write_csv(place / "single.csv", made_documents(24, 3), most=1)
    results = evaluate_workdir(place / "run", data=str(path))["test"]
    assert not results["unseen_labels"]
    rows = [
        {"text": d["text"], "labels": [f"made {d['labels'][0]}"]}
        for d in made_documents(24, 3)
    ]
    path = write_jsonl(place / "single.jsonl", rows)
    again = evaluate_workdir(place / "run", data=str(path))["test"]
    assert again["metrics"] == results["metrics"]


def test_predict_reads_the_training_file_s_columns(place: Path) -> None:
    out = place / "out.jsonl"
    model = lg.load(place / "run")
    assert write_predictions(model, str(place / "test.csv"), str(out)) == 24
    path = place / "other.csv"
    path.write_text("words\nmaize cob\n")
    with pytest.raises(DataError, match="must have a column called text"):
        write_predictions(model, str(path), str(out))
    reading = ReadingConfig(text_column="words")
    assert write_predictions(model, str(path), str(out), reading=reading) == 1


def test_evaluate_and_predict_say_how_a_file_was_read(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(place / "later.csv", made_documents(24, 3))
    said = "labelgraph: later.csv: CSV, columns between ';'; text from 'body'; "
    assert run(["evaluate", str(place / "run"), "--data", str(path)]) == 0
    labels = "labels from 'kinds' (between '|'); not read: year\n"
    assert capsys.readouterr().err == said + labels
    assert run(["predict", str(place / "run"), str(path)]) == 0
    assert capsys.readouterr().err == f"{said}not read: kinds, year\n"
    rows = write_jsonl(place / "later.jsonl", [{"body": "maize cob", "kinds": []}])
    assert run(["predict", str(place / "run"), str(rows)]) == 0
    said = "labelgraph: later.jsonl: JSONL; text from 'body'; not read: kinds\n"
    assert capsys.readouterr().err == said
    assert run(["predict", "--quiet", str(place / "run"), str(rows)]) == 0
    assert not capsys.readouterr().err


def test_a_missing_text_column_is_told_the_nearest_or_what_looks_like_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "test.csv"
    for arguments, said in (
        (["--text-column", "bdy"], "no text column 'bdy'; the nearest is 'body'; the"),
        (["--text-column", "body", "--label-columns", "kind"], "is 'kinds'; the col"),
        ([], "(or name it with --text-column, as 'body', which looks like it; or"),
    ):
        assert run(["data", "validate", str(path), *arguments]) == 2
        assert said in capsys.readouterr().err


def test_every_option_that_reading_names_is_one_of_every_verb_that_reads() -> None:
    own = {field.name for field in dataclasses.fields(ReadingConfig)}
    for path in Path(lg.__path__[0], "data", "readers").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                continue
            for name in re.findall(r"--([a-z-]+)", in_options(node.value)):
                known = name.replace("-", "_") in {*own, "task"}  # of train alone
                assert known or " " not in node.value, f"{path.name}: --{name}"


def test_a_work_directory_without_a_layout_reads_as_before(place: Path) -> None:
    layout = Workdir(place / "absent").layout()
    assert not layout.ask
    assert dataclasses.replace(layout, ask=True) == type(layout)()


def test_messages_name_options_as_they_are_typed() -> None:
    for said, typed in (
        (
            "say which with label_delimiter: 'none'",
            "say which with --label-delimiter: ",
        ),
        ("give data.data too", "give --data too"),
        ("leave data.validation out", "leave --validation out"),
        ("text.max_length must be", "--text.max-length must be"),
        ("unknown setting 'text.dimm'", "unknown setting 'text.dimm'"),
        ("in x/data.test:3: text.dim", "in x/data.test:3: --text.dim"),
        ("data.csv:3: must", "data.csv:3: must"),
    ):
        assert typed in in_options(said)


def test_validate_names_the_first_twenty_lines_and_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["text,labels", *(f"text {i},a" for i in range(30))]
    wrong = [f'"",b{i}' if i % 2 else f"x,y,z{i}" for i in range(34)]
    path = tmp_path / "d.csv"
    path.write_text("\n".join([*lines, *wrong]) + "\n")
    assert run(["data", "validate", str(path), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    errors = [p["message"] for p in found if p["severity"] == "error"]
    assert errors[0] == "34 documents cannot be read; the first 20:"
    assert len(errors) == 21
    assert errors[1].startswith(f"{path}:32: must have 2 fields")
    assert errors[20].startswith(f'{path}:51: "text" must not be empty')


def test_training_tells_of_texts_that_stand_in_two_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = made_documents(40, 1)
    data = write_jsonl(tmp_path / "d.jsonl", documents)
    test = write_jsonl(tmp_path / "t.jsonl", documents[:3])
    said: list[str] = []
    config = tiny_config(DataConfig(data=str(data), test=str(test)))
    fit(config, tmp_path / "run", progress=False, say=said.append)
    assert any("of 3 also in train, which flatters" in line for line in said)


def test_very_few_texts_are_counted_and_the_option_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": t, "labels": ["a"]} for t in ("qq", "ww", "ee", "rr", "tt", "yy")]
    data = write_jsonl(tmp_path / "d.jsonl", rows)
    assert run(["train", "--data", str(data), "--workdir", str(tmp_path / "w")]) == 2
    said = capsys.readouterr().err
    assert "training texts what stands in fewer than --text.min-count=2 is" in said


def test_fit_takes_texts_and_data_frames() -> None:
    documents = made_documents(40, 1)
    texts = [document["text"] for document in documents]
    labels = [document["labels"] for document in documents]
    options: dict[str, Any] = {"epochs": 2, "config": {"text": {"ngrams": False}}}
    one = lg.fit(texts, labels, **options)
    frame = pd.DataFrame({"text": texts, "labels": labels})
    two = lg.fit(frame, **options)
    assert one.labels == two.labels
    assert one.predict(texts[:5]) == two.predict(texts[:5])
    flags = frame[["text"]].assign(
        **{name: [int(name in own) for own in labels] for name in one.labels}
    )
    assert lg.fit(flags, **options).labels == one.labels
    with pytest.raises(ValueError, match="labels must be given, unless texts is a"):
        lg.fit(texts)
    with pytest.raises(ValueError, match="must have a column called text"):
        lg.fit(frame.rename(columns={"text": "words"}))
