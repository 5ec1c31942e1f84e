"""Documents, corpora and label spaces."""

import dataclasses

import numpy as np
import pytest

from labelgraph_jax.data.documents import (
    Corpus,
    DataError,
    Document,
    LabelSpace,
    select_task,
    task_names,
)


def document(id: str, *labels: str) -> Document:
    return Document(id, f"text {id}", labels)


def test_the_label_space_holds_the_training_labels_sorted() -> None:
    space = LabelSpace.from_documents(
        [document("1", "b", "a"), document("2"), document("3", "c", "a")],
        descriptions={"a": "the first", "z": "no label"},
        parents={"a": ("root",), "c": ("a", "b"), "z": ("a",)},
    )
    assert space.names == ("a", "b", "c")
    assert space.index == {"a": 0, "b": 1, "c": 2}
    assert len(space) == 3
    assert space.descriptions == {"a": "the first"}
    assert space.parents == {"a": ("root",), "c": ("a", "b")}
    np.testing.assert_array_equal(space.parent_pairs(), [[2, 0], [2, 1]])


def test_targets_count_unseen_labels_instead_of_dropping_them() -> None:
    space = LabelSpace(("a", "b"))
    targets, unseen = space.targets(
        [document("1", "b", "x"), document("2"), document("3", "x", "y", "a")]
    )
    np.testing.assert_array_equal(targets, [[0, 1], [0, 0], [1, 0]])
    assert targets.dtype == np.float32
    assert unseen == {"x": 2, "y": 1}


def test_targets_of_no_document_keep_their_width() -> None:
    targets, unseen = LabelSpace(("a", "b")).targets([])
    assert targets.shape == (0, 2) and not unseen


def test_a_label_space_survives_json() -> None:
    space = LabelSpace(("ä", "b c"), {"ä": "ein Wort"}, {"b c": ("ä",)})
    assert LabelSpace.from_json(space.to_json()) == space
    assert LabelSpace.from_json('{"names": ["a"]}') == LabelSpace(("a",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "labels must be a JSON object; Expecting"),
        ("[]", 'labels must be a JSON object with a list "names"'),
        ('{"names": "a"}', 'labels must be a JSON object with a list "names"'),
        ('{"names": []}', "must have at least one label; got none"),
        ('{"names": ["a", 3]}', "a label must be a non-empty string; got 3"),
        ('{"names": ["a", ""]}', "a label must be a non-empty string; got ''"),
        ('{"names": ["a", "b", "a"]}', "must be distinct; 'a' stands there more than"),
        ('{"names": ["a"], "parents": []}', 'and "parents" of labels must be objects'),
    ],
)
def test_a_bad_label_space_is_told(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        LabelSpace.from_json(text)


def test_training_without_labels_is_told() -> None:
    with pytest.raises(DataError, match="none of the 2 training documents carries one"):
        LabelSpace.from_documents([document("1"), document("2")])


def tasked(id: str, **tasks: tuple[str, ...] | None) -> Document:
    return Document(id, f"text {id}", (), tasks)


CORPUS = Corpus(
    "news",
    train=(tasked("1", topics=("gold",), places=None), tasked("2", places=("uk",))),
    test=(tasked("3", topics=(), places=("uk", "usa")),),
    notes=("read from disk",),
)


def test_a_selected_task_gives_its_labels_and_leaves_out_unannotated_documents() -> (
    None
):
    assert CORPUS.tasks == ("topics", "places")
    places = select_task(CORPUS, "places")
    assert places.name == "news/places"
    assert [(d.id, d.labels) for d in places.train] == [("2", ("uk",))]
    assert [(d.id, d.labels) for d in places.test] == [("3", ("uk", "usa"))]
    assert places.notes == (
        "read from disk",
        "task places: 1 of 3 documents are not annotated for it and were left out",
    )
    topics = select_task(CORPUS, "topics")
    assert [d.labels for d in topics.train + topics.test] == [("gold",), ()]


def test_a_selected_task_keeps_what_is_known_about_its_own_labels_alone() -> None:
    known = dataclasses.replace(
        CORPUS,
        label_descriptions={"gold": "a metal", "uk": "an island"},
        parents={"gold": ("metal",), "usa": ("america",)},
    )
    places = select_task(known, "places")
    assert places.label_descriptions == {"uk": "an island"}
    assert places.parents == {"usa": ("america",)}


def test_an_unknown_task_lists_the_known_ones() -> None:
    with pytest.raises(
        DataError, match="corpus news: no task 'people'; the tasks are: topics, places"
    ):
        select_task(CORPUS, "people")
    with pytest.raises(DataError, match="the tasks are: none"):
        select_task(Corpus("plain", (document("1", "a"),)), "topics")


def test_task_names_keep_their_order() -> None:
    assert task_names(CORPUS.test + CORPUS.train) == ("topics", "places")


def test_the_splits_of_a_corpus_go_by_name() -> None:
    assert list(CORPUS.splits) == ["train", "validation", "test"]
    assert CORPUS.splits["validation"] == ()
