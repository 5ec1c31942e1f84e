"""The layout of files: settled from the whole training file, told, kept, or refused."""

import random
from pathlib import Path

import pytest

from labelgraph_jax.config import DataConfig, ReadingConfig
from labelgraph_jax.data.documents import Corpus, DataError
from labelgraph_jax.data.layout import OLD, Layout
from labelgraph_jax.data.readers.cells import written_list
from labelgraph_jax.data.readers.row_documents import read_frame
from labelgraph_jax.data.readers.texts import read_documents, read_texts
from labelgraph_jax.runs.corpus import layout_lines, read_corpus

WORDS = ["maize", "silo", "barrel", "crude", "port", "cargo", "flour", "bread", "today"]
LABELS = ("corn", "grain", "oil", "ship")


def rows(*columns: str, labels: tuple[str, ...] = LABELS, mark: str = "|") -> list[str]:
    """Forty lines: t stands for a text, l for labels, i for an id, 0 for a flag."""
    draw = random.Random(0)
    made = {
        "t": lambda i: " ".join(draw.choices(WORDS, k=8)),
        "l": lambda i: mark.join(draw.sample(labels, draw.randint(1, 2))),
        "1": lambda i: labels[i % len(labels)],
        "i": lambda i: f"id{i}",
        "0": lambda i: str(i % 2),
    }
    return ["\t".join(made[column](i) for column in columns) for i in range(40)]


def tsv(folder: Path, *lines: str, name: str = "d.tsv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def csv(folder: Path, cells: list[str], name: str = "d.csv") -> Path:
    quoted = [cell.replace('"', '""') for cell in cells]
    lines = [f'text {i} words here,"{cell}"' for i, cell in enumerate(quoted)]
    return tsv(folder, "text,labels", *lines, name=name)


def corpus(path: Path, **options: object) -> Corpus:
    return read_corpus(DataConfig(data=str(path), **options), split=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("header", "columns", "labels", "said"),
    [
        ("text\tgrain\twheat", "t00", ("grain", "wheat"), "'grain', 'wheat' (0 or 1)"),
        ("index\ttext\tlabels", "itl", LABELS, "not read: index"),
        ("text\tlabels\tsource", "tli", LABELS, "not read: source"),
        ("Labels\tText", "lt", LABELS, "text from 'Text'"),
    ],
)
def test_a_tsv_with_a_header_of_further_columns_is_read_by_its_names(
    tmp_path: Path, header: str, columns: str, labels: tuple[str, ...], said: str
) -> None:
    read = corpus(tsv(tmp_path, header, *rows(*columns)))
    assert len(read.train) == 40
    assert all(len(d.text.split()) == 8 for d in read.train)
    assert {name for d in read.train for name in d.labels} == set(labels)
    assert said in layout_lines(read)[0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (rows("t", "l", "i"), r":1: of a TSV without .* column 1 looks like it"),
        (rows("t", "l"), r"say text_column 1 and label_columns 2, or text_column 2"),
        (["label\ttweet", *rows("l", "t")], r":1: looks like a header \(label, tweet"),
        (["topics\tbody", *rows("l", "t")], r"none of it names the text"),
        (["a\tutterance", *rows("l", "t")], r"looks like a header"),
    ],
)
def test_a_tsv_that_is_not_what_it_must_be_is_refused_with_what_to_say(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_documents(tsv(tmp_path, *lines))


def test_columns_of_a_tsv_without_a_header_are_chosen_by_number(tmp_path: Path) -> None:
    path = tsv(tmp_path, *rows("t", "l", "i", mark=","))
    documents = read_documents(path, text_column="1", label_columns=["2"])
    assert {name for d in documents for name in d.labels} == set(LABELS)
    layout = corpus(path, text_column="1", label_columns=("2",)).layout
    assert [d.text for d in read_texts(path, layout=layout)] == [
        d.text for d in documents
    ]
    path = tsv(tmp_path, *rows("i", "i", "l", "t", "i"))
    documents = read_documents(path, text_column="4", label_columns=["3"])
    assert all(len(d.text.split()) == 8 for d in documents)


@pytest.mark.parametrize("mark", ["|", ";", ",", " ", ", "])
def test_labels_of_tsv_and_csv_are_divided_alike(tmp_path: Path, mark: str) -> None:
    lines = rows("l", "t", mark=mark)
    bare = read_documents(tsv(tmp_path, *lines))
    headed = read_documents(tsv(tmp_path, "labels\ttext", *lines, name="h.tsv"))
    assert [d.labels for d in bare] == [d.labels for d in headed]
    assert {name for d in bare for name in d.labels} == set(LABELS)


@pytest.mark.parametrize(
    ("names", "pieces"),
    [
        (("machine learning", "deep learning", "computer vision"), "'machine', 'lea"),
        (("Paris, France", "Lyon, France", "Bonn, Germany"), "'Bonn', 'Germany'"),
        (("credit card", "loan", "bank account"), "'bank', 'account'"),
        (("not spam", "spam"), "'not', 'spam'"),
    ],
)
def test_names_that_a_guess_would_cut_apart_are_asked_about(
    tmp_path: Path, names: tuple[str, ...], pieces: str
) -> None:
    path = csv(tmp_path, [names[i % len(names)] for i in range(30)])
    with pytest.raises(DataError, match=r"may be one label, or labels between") as told:
        read_documents(path)
    assert "say which with label_delimiter: 'none' or" in str(told.value)
    assert pieces in str(told.value) or len(names) == 3
    documents = read_documents(path, label_delimiter="none")
    assert {name for d in documents for name in d.labels} == set(names)


def test_a_delimiter_around_names_that_hold_another_is_found(tmp_path: Path) -> None:
    names = ("Paris, France", "Lyon, France", "Bonn, Germany", "Kiel, Germany")
    cells = [line.partition("\t")[0] for line in rows("l", labels=names)]
    documents = read_documents(csv(tmp_path, cells))
    assert {name for d in documents for name in d.labels} == set(names)


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["('a', 'b')", "('a',)", "()"], [("a", "b"), ("a",), ()]),
        (["{'a'}", "{'b', 'a'}", "set()"], [("a",), ("b", "a"), ()]),
        (["['a b', \"it's\"]", "[]"], [("a b", "it's"), ()]),
        (['["a", "\\u00e9"]', '["b"]'], [("a", "é"), ("b",)]),
        (["['a' 'b']", "['c']"], [("a", "b"), ("c",)]),
        (["[a, b c]", "[d]"], [("a", "b c"), ("d",)]),
        (["(0, 3)", "(1,)"], [("0", "3"), ("1",)]),
        (["<python><pandas>", "<c++>", ""], [("python", "pandas"), ("c++",), ()]),
        (["|python|pandas|", "|r|"], [("python", "pandas"), ("r",)]),
        (["(unknown)", "grain"], [("(unknown)",), ("grain",)]),
    ],
)
def test_lists_and_markup_in_a_field_are_read_as_such(
    tmp_path: Path, cells: list[str], labels: list[tuple[str, ...]]
) -> None:
    assert [d.labels for d in read_documents(csv(tmp_path, cells))] == labels


@pytest.mark.parametrize(
    "cells", [["['a']", "b"], ["{'a': 1}", "{'b': 0}"], ["('a', 'b')", "a;b"]]
)
def test_a_column_of_lists_and_other_things_is_refused(
    tmp_path: Path, cells: list[str]
) -> None:
    with pytest.raises(DataError, match=r"d\.csv:2: labels in a column must stand"):
        read_documents(csv(tmp_path, cells))


def test_nothing_in_a_field_is_evaluated() -> None:
    for text in ("__import__('os')", "['a', open('x')]", "[" * 100_000, "('a'"):
        assert written_list(text) is None


@pytest.mark.parametrize(
    ("trained", "later", "expected"),
    [
        # Single labels, which the training file's delimiter leaves whole.
        (["a b|c d", "a b", "c d", "e f|a b"], ["a b", "c d"], [("a b",), ("c d",)]),
        # The training file has one label a field, the later one several.
        (["corn", "oil", "ship"], ["corn;oil", "ship"], [("corn", "oil"), ("ship",)]),
        (["deep", "sea", "port"], ["sea port", "deep"], [("sea", "port"), ("deep",)]),
        # Names that hold what could be a delimiter.
        (
            ["x|Paris, France", "x", "y|Paris, France"] * 2,
            ["Paris, France"],
            [("Paris, France",)],
        ),
    ],
)
def test_a_later_file_is_read_as_the_training_file(
    tmp_path: Path,
    trained: list[str],
    later: list[str],
    expected: list[tuple[str, ...]],
) -> None:
    test = csv(tmp_path, later, "test.csv")
    assert [d.labels for d in corpus(csv(tmp_path, trained), test=str(test)).test] == (
        expected
    )


def test_a_csv_beside_json_lists_is_read_by_the_labels_that_were_trained(
    tmp_path: Path,
) -> None:
    lines = [f'{{"text": "x", "labels": ["{n}"]}}' for n in ("a b", "c, d", "e")]
    test = csv(tmp_path, ["a b", "c, d", "e"], "test.csv")
    read = corpus(tsv(tmp_path, *lines, name="d.jsonl"), test=str(test))
    assert [d.labels for d in read.test] == [("a b",), ("c, d",), ("e",)]


def test_unions_of_trained_labels_between_something_else_are_refused(
    tmp_path: Path,
) -> None:
    train = csv(tmp_path, ["corn|oil", "corn", "oil"])
    test = csv(tmp_path, ["corn", "corn;oil"], "test.csv")
    with pytest.raises(DataError, match=r"test\.csv:3: the training file has '\|'"):
        corpus(train, test=str(test))


def test_a_layout_is_told_and_kept_as_json(tmp_path: Path) -> None:
    read = corpus(
        tsv(tmp_path, "id;text;labels;year", "1;one, two;a|b;3", name="d.csv")
    )
    assert layout_lines(read) == [
        "d.csv: CSV, columns between ';'; text from 'text'; labels from 'labels' "
        "(between '|'); not read: year",
        "d.csv: the first document: 'one, two' -> 'a', 'b'",
    ]
    assert read.layout is not None
    assert Layout.from_json(read.layout.to_json() | {"label_columns": ["labels"]}) == (
        read.layout
    )


def test_runs_of_version_0_6_0_keep_their_reading(tmp_path: Path) -> None:
    path = csv(tmp_path, ["machine learning", "databases"] * 10)
    read = read_corpus(DataConfig(data=str(path)), split=False, layout=OLD)
    assert read.train[0].labels == ("machine", "learning")
    path = tsv(tmp_path, *rows("l", "t", mark=","))
    read = read_corpus(DataConfig(data=str(path)), split=False, layout=OLD)
    assert any("," in d.labels[0] for d in read.train)


def test_texts_to_predict_are_found_as_in_training(tmp_path: Path) -> None:
    train = tsv(tmp_path, "body;labels", "one;a", name="d.csv")
    layout = corpus(train, text_column="body").layout
    new = tsv(tmp_path, "body", "one, two, three", name="new.csv")
    assert read_texts(new, layout=layout)[0].text == "one, two, three"
    new = tsv(tmp_path, '{"text": "one"}', name="new.jsonl")
    assert read_texts(new, layout=layout)[0].text == "one"
    with pytest.raises(DataError, match="no text column 'x'"):
        read_texts(train, options=ReadingConfig(text_column="x"), layout=layout)


def test_an_option_is_advised_only_where_it_may_be_given(tmp_path: Path) -> None:
    other = tsv(tmp_path, "body,kind", "one,a", name="other.csv")
    with pytest.raises(DataError, match="COLUMN=KIND"):
        read_documents(other)
    layout = corpus(csv(tmp_path, ["a", "b"])).layout
    for read in (
        lambda: read_texts(other, layout=layout),
        lambda: read_frame({"body": ["x"], "kind": ["a"]}, ReadingConfig()),
    ):
        with pytest.raises(DataError, match=r"called text \(or name it with") as told:
            read()
        assert "COLUMN=KIND" not in str(told.value)


@pytest.mark.parametrize("index", [",Unnamed: 0", "Unnamed: 0.1,Unnamed: 0"])
def test_an_index_that_was_saved_twice_is_passed_over(
    tmp_path: Path, index: str
) -> None:
    read = corpus(tsv(tmp_path, f"{index},text,labels", "0,0,x,a", name="d.csv"))
    assert (read.train[0].text, read.train[0].labels) == ("x", ("a",))
    flags = corpus(tsv(tmp_path, f"{index},text,a,b", "0,0,x,1,0", name="f.csv"))
    assert flags.train[0].labels == ("a",)


def test_a_header_of_several_columns_is_named_by_an_option(tmp_path: Path) -> None:
    path = tsv(tmp_path, "ID\tTweet\tanger\tjoy", "1\thow nice\t0\t1")
    with pytest.raises(DataError, match="a header is named with text_column"):
        read_documents(path)
    assert read_documents(path, text_column="Tweet")[0].labels == ("joy",)
