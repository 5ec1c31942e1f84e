"""Frequent, few and zero-shot labels; head, middle and tail."""

import json
import lzma
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labelgraph_jax.data.documents import DataError, Document, LabelSpace
from labelgraph_jax.data.labels.groups import head_middle_tail, label_groups

COUNTS = arrays.arrays(np.int64, st.integers(0, 30), elements=st.integers(0, 90))


def test_labels_are_divided_where_the_paper_divides_them() -> None:
    groups = label_groups([50, 49, 1, 0, 120])
    assert {n: ids.tolist() for n, ids in groups.items()} == {
        "frequent": [0, 4],
        "few": [1, 2],
        "zero": [3],
    }


@given(COUNTS)
def test_every_label_stands_in_one_group(counts: np.ndarray) -> None:
    for groups in (label_groups(counts), head_middle_tail(counts)):
        every = np.concatenate(list(groups.values()))
        assert sorted(every.tolist()) == list(range(len(counts)))


@given(COUNTS)
def test_no_label_of_the_tail_is_more_frequent_than_one_of_the_head(counts) -> None:
    groups = head_middle_tail(counts)
    for above, below in (("head", "middle"), ("middle", "tail")):
        if len(groups[above]) and len(groups[below]):
            assert counts[groups[above]].min() >= counts[groups[below]].max()


def test_head_middle_and_tail_hold_a_third_of_the_pairs_each() -> None:
    groups = head_middle_tail([10, 1, 1, 1, 1, 1, 1, 1, 1, 2, 10, 0])
    assert groups["head"].tolist() == [0]
    assert groups["middle"].tolist() == [10]
    assert len(groups["tail"]) == 10


@pytest.mark.parametrize(
    ("counts", "least", "message"),
    [
        ([1], {}, "must begin at differing numbers"),
        ([1], {"a": 1, "b": 1}, "must begin at differing numbers"),
        ([0, 3], {"a": 1}, "must begin at 0 documents or less"),
        ([[1]], {"a": 0}, r"got shape \(1, 1\)"),
        ([-1], {"a": 0}, "one number from 0 on"),
    ],
)
def test_groups_that_are_none_are_refused(counts, least, message) -> None:
    with pytest.raises(DataError, match=message):
        label_groups(counts, least)


def test_a_label_space_takes_labels_that_training_lacks() -> None:
    space = LabelSpace.from_documents([Document("a", "x", ("b",))], also=("a", "b"))
    assert space.names == ("a", "b")


def test_eurlex57k_has_the_published_groups(data_root) -> None:
    folder = data_root / "eurlex57k"
    if not (folder / "train.jsonl.xz").is_file():
        pytest.skip("no local copy of eurlex57k")
    with lzma.open(folder / "train.jsonl.xz", "rt", encoding="utf-8") as file:
        # The text is most of a line; the labels stand before it.
        labels = [json.loads(_head(line))["labels"] for line in file]
    counts = Counter(name for row in labels for name in row)
    names = (folder / "labels.txt").read_text().split()
    groups = label_groups([counts[name] for name in names])
    assert {name: len(ids) for name, ids in groups.items()} == {
        "frequent": 746,
        "few": 3_362,
        "zero": 163,
    }


def _head(line: str) -> str:
    return line[: line.index('"title"')].rstrip(" ,") + "}"
