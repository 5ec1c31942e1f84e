"""Several label sets per document, and annotations that are missing."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.config import DataConfig
from labelgraph_jax.data.documents import Corpus, DataError, Document, LabelSpace
from labelgraph_jax.data.labels.tasks import (
    learn_tasks,
    leave_out_unannotated,
    select_tasks,
)
from labelgraph_jax.data.problems import validate
from labelgraph_jax.data.readers.texts import read_documents
from labelgraph_jax.data.readers.writers import write_jsonl
from labelgraph_jax.data.splits import complete_splits
from labelgraph_jax.data.statistics import TaskStatistics, corpus_statistics
from labelgraph_jax.predictors.documents import fingerprint
from labelgraph_jax.runs.corpus import read_corpus


def tasked(id: str, **tasks: tuple[str, ...] | None) -> Document:
    return Document(id, f"text {id}", (), tasks)


CORPUS = Corpus(
    "news",
    train=(tasked("1", topics=("gold",), places=None), tasked("2", places=("uk",))),
    test=(tasked("3", topics=(), places=("uk", "usa")),),
    label_descriptions={"gold": "a metal", "uk": "an island"},
    parents={"gold": ("metal",), "usa": ("america",), "tin": ("metal",)},
    notes=("read from disk",),
)
BOTH = ("topics", "places")


def test_a_single_task_gives_its_labels_and_leaves_out_unannotated_documents() -> None:
    places = select_tasks(CORPUS, "places")
    assert (places.name, places.learned_tasks) == ("news/places", ("places",))
    assert [(d.id, d.labels) for d in places.train] == [("2", ("uk",))]
    assert [(d.id, d.labels) for d in places.test] == [("3", ("uk", "usa"))]
    assert places.notes == (
        "read from disk",
        "task places: 1 of 3 documents is not annotated for it, and left out",
    )
    topics = select_tasks(CORPUS, "topics")
    assert [d.labels for d in topics.train + topics.test] == [("gold",), ()]
    assert not any(d.unannotated for d in topics.train + topics.test)


def test_a_single_task_keeps_what_is_known_about_its_own_labels_alone() -> None:
    places = select_tasks(CORPUS, "places")
    assert places.label_descriptions == {"uk": "an island"}
    assert places.parents == {"usa": ("america",)}


@pytest.mark.parametrize("spec", ["topics,places", "topics, places", "all"])
def test_several_tasks_join_their_labels_and_say_what_is_missing(spec: str) -> None:
    both = select_tasks(CORPUS, spec)
    assert (both.name, both.learned_tasks) == ("news/topics,places", BOTH)
    assert [(d.labels, d.unannotated) for d in both.train + both.test] == [
        (("topics/gold",), ("places/",)),
        (("places/uk",), ("topics/",)),
        (("places/uk", "places/usa"), ()),
    ]
    assert both.label_descriptions == {
        "places/uk": "an island",
        "topics/gold": "a metal",
    }
    assert both.parents == {
        "places/usa": ("places/america",),
        "topics/gold": ("topics/metal",),
    }
    assert both.notes[1:] == (
        "task topics: 1 of 3 documents is not annotated for it, so its labels count "
        "nothing there",
        "task places: 1 of 3 documents is not annotated for it, so its labels count "
        "nothing there",
    )


def test_a_document_that_is_annotated_for_none_of_the_tasks_is_left_out() -> None:
    more = (*CORPUS.train, tasked("4", topics=None, people=("bush",)))
    both = select_tasks(dataclasses.replace(CORPUS, train=more), "topics,places")
    assert [d.id for d in both.train] == ["1", "2"]
    assert both.notes[1] == (
        "tasks topics, places: 1 of 4 documents is not annotated for any of them, and "
        "left out"
    )


def test_all_of_a_single_task_keeps_the_names() -> None:
    corpus = Corpus("one", (tasked("1", topics=("gold",)),))
    assert select_tasks(corpus, "all").train[0].labels == ("gold",)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("people", "corpus news: no task 'people'; the tasks are: topics, places"),
        ("topics,people", "no task 'people'; the tasks are: topics, places"),
        ("topics,topics", "a task counts once; 'topics' stands there twice"),
        ("topics,,places", "a task must not be empty; got 'topics,,places'"),
        ("topics,", "a task must not be empty; got 'topics,'"),
        (" ", "a task must not be empty; got ' '"),
    ],
)
def test_a_choice_of_tasks_that_makes_no_sense_is_told(spec: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        select_tasks(CORPUS, spec)


def test_a_corpus_without_tasks_has_none_to_choose() -> None:
    plain = Corpus("plain", (Document("1", "one", ("a",)),))
    for spec in ("topics", "all"):
        with pytest.raises(DataError, match=f"no task '{spec}'; the tasks are: none"):
            select_tasks(plain, spec)


def test_a_slash_in_the_name_of_one_of_several_tasks_is_told() -> None:
    corpus = Corpus("c", (Document("1", "one", (), {"a/b": ("x",), "c": ("y",)}),))
    assert select_tasks(corpus, "a/b").train[0].labels == ("x",)
    with pytest.raises(DataError, match="must have no slash in its name; got 'a/b'"):
        select_tasks(corpus, "all")


def test_a_given_split_that_is_wholly_unannotated_is_told_and_not_cut_anew() -> None:
    corpus = dataclasses.replace(CORPUS, test=(tasked("3", topics=("gold",)),))
    with pytest.raises(
        DataError, match="none of the 1 test documents is annotated for places"
    ):
        select_tasks(corpus, "places")


def test_a_model_s_tasks_may_be_missing_from_what_it_is_measured_on() -> None:
    file = Corpus("file", (tasked("1", topics=("gold",)),))
    joined = learn_tasks(file, BOTH)
    assert joined.train[0].labels == ("topics/gold",)
    assert joined.train[0].unannotated == ("places/",)


SPACE = LabelSpace(("places/uk", "places/usa", "topics/gold"), tasks=BOTH)


def test_the_mask_is_false_in_the_cells_of_a_missing_set_or_label() -> None:
    documents = [
        Document("1", "one", (), unannotated=("places/",)),
        Document("2", "two", ()),
        Document("3", "three", (), unannotated=("places/usa", "unheard of", "x/")),
    ]
    mask = SPACE.target_mask(documents)
    np.testing.assert_array_equal(mask, [[0, 0, 1], [1, 1, 1], [1, 0, 1]])
    for document, row in zip(documents, np.asarray(mask), strict=True):
        assert [document.is_annotated(n) for n in SPACE.names] == list(row)


def test_nothing_missing_needs_no_mask() -> None:
    assert SPACE.target_mask([Document("1", "one", ("topics/gold",))]) is None
    elsewhere = Document("1", "one", (), unannotated=("people/",))
    assert SPACE.target_mask([elsewhere]) is None
    assert SPACE.target_mask([]) is None


def test_a_label_space_knows_the_columns_of_several_tasks() -> None:
    columns = {task: list(found) for task, found in SPACE.task_columns.items()}
    assert columns == {"topics": [2], "places": [0, 1]}
    assert LabelSpace(("uk",), tasks=("places",)).task_columns == {}
    assert list(LabelSpace(("a/x",), tasks=("a", "b")).task_columns["b"]) == []


def test_missing_is_not_the_same_data_as_no_label() -> None:
    null = [Document("1", "one", ("topics/gold",), unannotated=("places/",))]
    none = [Document("1", "one", ("topics/gold",))]
    named = [Document("1", "one", ("places/", "topics/gold"))]
    assert len({fingerprint(d) for d in (null, none, named)}) == 3


def test_tasks_and_nulls_survive_a_jsonl_export(tmp_path: Path) -> None:
    both = select_tasks(CORPUS, "all")
    path = tmp_path / "d.jsonl"
    write_jsonl(both.train, path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["tasks"] == {"topics": ["gold"], "places": None}
    for task in (None, "all", "topics,places"):
        again = read_documents(path, task=task)
        assert [dataclasses.replace(d, source="") for d in again] == list(both.train)
        assert fingerprint(again) == fingerprint(both.train)


def test_labels_that_are_said_to_be_missing_are_told(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    for missing in ('"a/b"', '"a/"'):
        path.write_text(
            f'{{"text": "t", "labels": ["a/b"], "unannotated": [{missing}]}}\n'
        )
        with pytest.raises(DataError, match=r"jsonl:1: a label must not stand in .*'a"):
            read_documents(path)
    path.write_text('{"text": "t", "labels": [], "unannotated": null}\n')
    with pytest.raises(DataError, match=r'"unannotated" must be a list of strings'):
        read_documents(path)


SPARSE = "text,a,b,c\none,1,,0\ntwo,NA,1,-1\nthree,nan,-1.0, na\nfour,0,0,1\n"


def test_an_empty_field_na_or_minus_one_of_a_0_1_column_is_not_annotated(
    tmp_path: Path,
) -> None:
    path = tmp_path / "d.csv"
    path.write_text(SPARSE)
    assert [(d.labels, d.unannotated) for d in read_documents(path)] == [
        (("a",), ("b",)),
        (("b",), ("a", "c")),
        ((), ("a", "b", "c")),
        (("c",), ()),
    ]


@pytest.mark.parametrize("field", ["-2", "x", "?", "none", "2", "0.5"])
def test_anything_else_in_a_0_1_column_is_still_told(
    tmp_path: Path, field: str
) -> None:
    path = tmp_path / "d.csv"
    path.write_text(f"text,a\none,1\ntwo,{field}\n")
    with pytest.raises(
        DataError, match=r"csv:3: column 'a' must hold 0 or 1; got .*NA or -1 where"
    ):
        read_documents(path)


def test_missing_values_of_parquet_are_not_annotated(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "d.parquet"
    columns = {"text": ["one", "two"], "a": [1, None], "b": [float("nan"), 1.0]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert [(d.labels, d.unannotated) for d in read_documents(path)] == [
        (("a",), ("b",)),
        (("b",), ("a",)),
    ]


def test_a_row_that_is_annotated_for_nothing_is_left_out_with_a_note(
    tmp_path: Path,
) -> None:
    path = tmp_path / "d.csv"
    path.write_text(SPARSE)
    corpus = read_corpus(DataConfig(data=str(path)), split=False)
    assert [d.text for d in corpus.train] == ["one", "two", "four"]
    assert corpus.notes == ("1 of 4 documents is annotated for no label, and left out",)
    unscored = Corpus("c", corpus.train, test=(read_documents(path)[2],))
    with pytest.raises(
        DataError, match="none of the 1 test documents is annotated for any label"
    ):
        leave_out_unannotated(unscored)


def test_own_files_join_their_tasks_over_all_splits(tmp_path: Path) -> None:
    train, validation = tmp_path / "t.jsonl", tmp_path / "v.jsonl"
    write_jsonl(CORPUS.train, train)
    write_jsonl([tasked("9", places=("uk",))], validation)
    config = DataConfig(data=str(train), validation=str(validation), task="all")
    corpus = read_corpus(config, split=False)
    assert corpus.learned_tasks == BOTH
    # Nobody annotated topics in validation: no error, but missing.
    assert corpus.validation[0].unannotated == ("topics/",)
    with pytest.raises(DataError, match=r"t\.jsonl: no task 'people'; the tasks are:"):
        read_corpus(dataclasses.replace(config, task="people"))


def test_each_split_gets_its_share_of_the_annotations() -> None:
    train = tuple(
        Document(
            str(i),
            f"text {i}",
            ("a/x",) if i < 20 else (),
            {"a": (), "b": None if i % 2 else ()},
            unannotated=("b/",) if i % 2 else (),
        )
        for i in range(200)
    )
    corpus = Corpus("c", train, learned_tasks=("a", "b"))
    cut = complete_splits(corpus, validation_fraction=0.1, test_fraction=0.2, seed=0)
    sizes = [len(documents) for documents in cut.splits.values()]
    missing = [sum(bool(d.unannotated) for d in s) for s in cut.splits.values()]
    assert (sizes, missing) == ([140, 20, 40], [70, 10, 20])
    counts = [sum(bool(d.labels) for d in s) for s in cut.splits.values()]
    assert counts == [14, 2, 4]


def test_statistics_count_the_annotated_documents_of_each_task() -> None:
    statistics = corpus_statistics(select_tasks(CORPUS, "all"))
    assert statistics.tasks == {
        "topics": {"train": TaskStatistics(1, 1, 1.0), "test": TaskStatistics(1, 0, 0)},
        "places": {
            "train": TaskStatistics(1, 1, 1.0),
            "test": TaskStatistics(1, 2, 2.0),
        },
    }
    # Two places and one topic: 1 + 2 of the 3 cells of each training document.
    assert statistics.splits["train"].annotated_share == pytest.approx(3 / 6)
    assert statistics.splits["test"].annotated_share == 1.0
    fields = statistics.to_json()
    assert json.loads(json.dumps(fields)) == fields
    assert corpus_statistics(select_tasks(CORPUS, "places")).tasks == {}


def test_validation_says_what_is_not_annotated() -> None:
    train = (
        Document("1", "one", ("a",), unannotated=("b",)),
        Document("2", "two", ("a", "b")),
        Document("3", "three", (), unannotated=("a",)),
    )
    validation = (Document("1", "vier", ("a",), unannotated=("b", "c/")),)
    messages = {
        (p.severity, p.message) for p in validate(Corpus("c", train, validation))
    }
    assert ("warning", "validation: no document is annotated for 'b', 'c/'") in messages
    assert (
        "note",
        "train: 2 of 3 documents are not annotated for every label: b (1), a (1)",
    ) in messages
    # a is on both documents that are annotated for it.
    assert (
        "note",
        "train: 1 label on every document, which teaches nothing: 'a'",
    ) in messages


@pytest.mark.parametrize(
    ("missing", "differing"), [((), "1 text"), (("b",), "0 texts"), (("a",), "1 text")]
)
def test_what_is_missing_contradicts_nothing(
    missing: tuple[str, ...], differing: str
) -> None:
    train = (
        Document("1", "same", ("b",)),
        Document("2", "same", (), None, "", missing),
    )
    problems = [problem.message for problem in validate(Corpus("c", train))]
    assert (
        "train: 1 document with an earlier one's text "
        f"({differing} under differing labels): '2'" in problems
    )
