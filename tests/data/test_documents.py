"""Documents, corpora and label spaces."""

import numpy as np
import pytest

from labelgraph_jax.data.documents import (
    Corpus,
    DataError,
    Document,
    LabelSpace,
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
    space = LabelSpace(("ä", "b c"), {"ä": "ein Wort"}, {"b c": ("ä",)}, ("t", "u"))
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
        ('{"names": ["a"], "tasks": "t"}', '"tasks" of labels must be a list'),
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


def test_task_names_keep_their_order() -> None:
    assert task_names(CORPUS.test + CORPUS.train) == ("topics", "places")


def test_the_splits_of_a_corpus_go_by_name() -> None:
    assert list(CORPUS.splits) == ["train", "validation", "test"]
    assert CORPUS.splits["validation"] == ()


def test_missing_annotations_as_sparse_rows_are_those_of_the_mask() -> None:
    space = LabelSpace(("a/x", "a/y", "b"))
    documents = [
        Document("1", "t", ("b",), unannotated=("a/", "a/x")),
        Document("2", "t", ()),
        Document("3", "t", (), unannotated=("b", "unknown")),
    ]
    missing, mask = space.missing_sets(documents), space.target_mask(documents)
    assert missing is not None and mask is not None
    np.testing.assert_array_equal(missing.toarray(), ~mask)
    assert space.missing_sets(documents[1:2]) is None
