"""Files that look like something else: read as meant, or refused by name."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.readers.texts import read_documents

FLAG_LABELS = ("corn", "oil")


def flagged(path: Path, yes: str, no: str, **options: Any) -> list[Document]:
    """Two documents and two columns; the first has the first label alone."""
    lines = ["text," + ",".join(FLAG_LABELS), f"a maize,{yes},{no}", f"b,{no},{yes}"]
    path.write_text("\n".join(lines) + "\n")
    return read_documents(path, **options)


@pytest.mark.parametrize(("yes", "no"), [("Yes", "No"), ("y", "N"), ("1", "0")])
@pytest.mark.parametrize("columns", [None, FLAG_LABELS])
def test_columns_of_yes_and_no_are_flags(
    yes: str, no: str, columns: tuple[str, ...] | None, tmp_path: Path
) -> None:
    documents = flagged(tmp_path / "d.csv", yes, no, label_columns=columns)
    assert [d.labels for d in documents] == [("corn",), ("oil",)]
    path = tmp_path / "names.csv"
    path.write_text("text,label_1,label_2\na,yes,maybe\nb,no,\n")
    assert [d.labels for d in read_documents(path)] == [("yes", "maybe"), ("no",)]


@pytest.mark.parametrize(
    ("yes", "no", "said"),
    [
        ("0.93", "0.04", "got '0.93': decide above which probability"),
        ("100%", "0%", "got '100%': decide above which probability"),
        (
            "1",
            "-1",
            "must say 0 where a document does not have the label; got 1 and -1",
        ),
        ("1", "", "got 1 and an empty field alone, which stands for not annotated"),
    ],
)
def test_shares_and_flags_without_a_zero_are_refused(
    yes: str, no: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        flagged(tmp_path / "d.csv", yes, no, label_columns=FLAG_LABELS)


def test_numbers_of_classes_in_several_columns_are_names(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("text,label_1,label_2\na,12,7.0\nb,3,\n")
    assert [d.labels for d in read_documents(path)] == [("12", "7.0"), ("3",)]


def test_labels_of_fasttext_may_stand_between_commas(tmp_path: Path) -> None:
    path = tmp_path / "d.txt"
    path.write_text("__label__a,__label__b maize cob\n__label__b oil, crude\n")
    found = read_documents(path)
    assert [d.labels for d in found] == [("a", "b"), ("b",)]
    assert found[1].text == "oil, crude"


@pytest.mark.parametrize("mark", ["|", ",", " "])
def test_a_0_and_1_for_each_label_is_refused_with_a_delimiter_too(
    mark: str, tmp_path: Path
) -> None:
    path = tmp_path / "d.csv"
    cells = [mark.join(bits) for bits in ("110", "001")]
    path.write_text(f'text,labels\na,"{cells[0]}"\nb,"{cells[1]}"\n')
    with pytest.raises(DataError, match="a 0 or 1 for each of 3 labels"):
        read_documents(path, label_delimiter=mark)
    whole = read_documents(path, label_delimiter="none")
    assert [d.labels for d in whole] == [(cell,) for cell in cells]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["corn, grain", "grain", "oil"], ("corn", "grain")),
        (["corn, grain", "grain, wheat", "wheat"], ("corn", "grain")),
        (["corn,grain", "oil"], ("corn", "grain")),
        (["Paris, France", "Lyon, France", "France"], None),
        (["shoes, men", "shoes, women", "shoes"], None),
        (["corn, grain", "oil", "oil"], ("corn", "grain")),
        (["Paris, France", "Gold"], None),
        (["Paris, France, Rome, Italy", "Lyon, France", "Rome, Italy"], None),
        (["Rome, Italy, Paris, France", "Paris, France, Rome, Italy"], None),
        (["shoes, men, hats, women", "hats, women, shoes, men"], None),
        (["Corn, Grain", "Grain, Wheat", "Wheat", "Grain"], ("Corn", "Grain")),
    ],
)
def test_few_documents_divide_commas_where_labels_change_places(
    cells: list[str], labels: tuple[str, ...] | None, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"d.{suffix}"
    if suffix == "csv":
        rows = [f'"text {i}","{cell}"' for i, cell in enumerate(cells)]
        path.write_text("\n".join(["text,labels", *rows]) + "\n")
    else:
        rows = [json.dumps({"text": f"t{i}", "labels": c}) for i, c in enumerate(cells)]
        path.write_text("\n".join(rows) + "\n")
    if labels is None:
        with pytest.raises(DataError, match="may be one label, or labels between ','"):
            read_documents(path)
    else:
        assert read_documents(path)[0].labels == labels


@pytest.mark.parametrize("cell", ["R&amp;D;Sales", "caf&#233;s;bar", "a&#xE9;b"])
def test_html_s_semicolons_are_asked_about(cell: str, tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(f"text,labels\nfirst,{cell}\nsecond,Sales\n")
    with pytest.raises(DataError, match="holds a character as HTML writes it"):
        read_documents(path)
    read = read_documents(path, label_delimiter=";")
    assert len(read[0].labels) >= 2


def test_text_of_two_bytes_a_letter_and_old_line_ends_are_named(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    content = "text,labels\na maize,corn\nb,oil\n"
    path.write_bytes(content.encode("utf-16-le"))
    with pytest.raises(DataError, match=r"got a zero byte .* --encoding utf-16-le"):
        read_documents(path)
    assert len(read_documents(path, encoding="utf-16-le")) == 2
    path.write_bytes(content.replace("\n", "\r").encode())
    with pytest.raises(DataError, match="lines end in a carriage return alone"):
        read_documents(path)
    path.write_text('text,labels\n"a \\"maize\\"",corn\n')
    with pytest.raises(DataError, match="a quote in a quoted field is doubled"):
        read_documents(path)
    path = tmp_path / "d.tsv"
    path.write_text(content)
    with pytest.raises(DataError, match="a CSV is read with --format csv"):
        read_documents(path)


@pytest.mark.parametrize("columns", ["title,labels", "labels", "labels,title"])
def test_the_column_of_the_labels_is_no_part_of_the_text(
    columns: str, tmp_path: Path
) -> None:
    path = tmp_path / "d.csv"
    path.write_text("title,labels\nwheat is up,grain\ncopper is down,metal\n")
    with pytest.raises(DataError, match="'labels' holds the labels and must be no pa"):
        read_documents(path, text_column=columns)
