"""LIBSVM and bag-of-words files: features in place of a text."""

import lzma

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.features.values import Features
from labelgraph_jax.data.problems import validate
from labelgraph_jax.data.readers.sparse_rows import labelled_rows
from labelgraph_jax.data.readers.texts import read_documents, read_texts
from labelgraph_jax.data.splits import complete_splits
from labelgraph_jax.data.statistics import corpus_statistics

BAG = "3 5 4\n0,2 0:1 3:0.5\n 1:2\n3 2:1 4:1e-3\n"
LIBSVM = "2,10 1:0.5 7:-2 # a remark\n1:3\nsport 2:1\n"


def test_a_bag_of_words_file_has_a_header_and_rows_without_labels(tmp_path) -> None:
    path = tmp_path / "train.txt"
    path.write_text(BAG)
    documents = read_documents(path)
    assert [d.labels for d in documents] == [("0", "2"), (), ("3",)]
    assert documents[0].features == Features(np.array([0, 3]), np.array([1, 0.5]))
    assert documents[2].source == f"{path}:4" and documents[2].text == ""


@pytest.mark.parametrize("suffix", ["svm", "libsvm"])
def test_a_libsvm_file_has_labels_of_any_name(tmp_path, suffix) -> None:
    path = tmp_path / f"a.{suffix}.xz"
    path.write_bytes(lzma.compress(LIBSVM.encode()))
    documents = read_documents(path)
    assert [d.labels for d in documents] == [("2", "10"), (), ("sport",)]
    assert documents[0].features == Features(np.array([1, 7]), np.array([0.5, -2]))
    unlabelled = read_texts(path)
    assert [d.features for d in unlabelled] == [d.features for d in documents]
    assert not any(d.labels for d in unlabelled)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sets(st.integers(0, 9)),
            st.dictionaries(st.integers(0, 99), st.floats(-9, 9, width=32)),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_what_is_written_is_read(rows) -> None:
    lines = [f"{len(rows)} 100 10"]
    for labels, features in rows:
        pairs = " ".join(f"{i}:{features[i]!r}" for i in sorted(features))
        lines.append(f"{','.join(map(str, labels))} {pairs}")
    got = labelled_rows(iter(enumerate(lines, 1)), "f", need_header=True)
    for document, (labels, features) in zip(got, rows, strict=True):
        assert document.labels == tuple(map(str, labels))
        assert document.features is not None
        ids = sorted(features)
        assert document.features.ids.tolist() == ids
        assert document.features.values.tolist() == [features[i] for i in ids]


BAD = {
    "no header": ("a.txt", "0 1:1\n", r"a.txt:1: a .txt of documents must begin with"),
    "header lies": (
        "a.txt",
        "3 5 4\n0 1:1\n",
        r"header says 3 rows; the file has 1",
    ),
    "too long": ("a.txt", "1 5 4\n0 1:1\n1 1:1\n", r"says 1 rows; the file has 2"),
    "feature": (
        "a.txt",
        "1 5 4\n0 5:1\n",
        r"a.txt:2: a feature must be below 5",
    ),
    "label": ("a.txt", "1 5 4\n4 1:1\n", r"a.txt:2: a label .* below 4, .* got '4'"),
    "label name": ("a.txt", "1 5 4\nx 1:1\n", r"a whole number below 4"),
    "label twice": (
        "a.svm",
        "1,2,1 1:1\n",
        r"a.svm:1: .* once; got '1' twice",
    ),
    "comma": ("a.svm", "1, 1:1\n", r"must stand on either side of each ','; got '1,'"),
    "pair": ("a.svm", "1 1:1 2\n", r"a.svm:1: must be pairs .*; got '2'"),
    "negative id": ("a.svm", "1 -1:1\n", r"a whole number from 0; got '-1:1'"),
    "order": ("a.svm", "1 3:1 2:1\n", r"features must increase; 2 stands after 3"),
    "id twice": ("a.svm", "1 3:1 3:1\n", r"must stand there once; got 3 twice"),
    "nan": ("a.svm", "1 3:nan\n", r"must be a finite number; got '3:nan'"),
    "huge": ("a.svm", "1 3:1e39\n", r"must be a finite number; got '3:1e39'"),
    "word": ("a.svm", "1 3:one\n", r"a value must be a number; got '3:one'"),
    "huge id": ("a.svm", f"1 {10**30}:1\n", r"a feature must be a 32-bit number"),
    "hole": ("a.svm", "1 1:1\n\n1 1:1\n", r"a.svm:3: .* not follow a blank line"),
    "empty": ("a.svm", "\n", r"must hold at least one document; got none"),
    "packed": ("a.svm.bz2", "", r"the compressed file ends too early"),
    "matrix": ("a.npz", "", r"a matrix alone has no labels: give the folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_told_in_one_line(tmp_path, case: str) -> None:
    name, text, message = BAD[case]
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_documents(tmp_path / name)
    assert "\n" not in str(caught.value)


def _documents(count: int) -> tuple[Document, ...]:
    return tuple(
        Document(
            f"d{i}",
            "",
            (str(i % 2),),
            source=f"f:{i}",
            features=Features(np.array([i // 2]), np.array([1.0])),
        )
        for i in range(count)
    )


def test_features_are_counted_compared_and_cut_like_texts() -> None:
    twins = Corpus("made", train=_documents(20))
    statistics = corpus_statistics(twins)
    assert statistics.splits["train"].words_max == 1
    assert statistics.splits["train"].repeated_texts == 10
    messages = [problem.message for problem in validate(twins)]
    assert any("with an earlier one's text" in message for message in messages)
    cut = complete_splits(twins, validation_fraction=0.2, test_fraction=0.2, seed=0)
    seen = [{d.features for d in documents} for documents in cut.splits.values()]
    assert len(cut.test) == 4 and not (seen[0] & seen[2] or seen[0] & seen[1])


def test_a_row_without_features_is_a_note_and_no_error() -> None:
    empty = Document("e", "", ("0",), features=Features(np.zeros(0), np.zeros(0)))
    problems = validate(Corpus("made", train=(*_documents(4), empty)))
    assert not [p for p in problems if p.severity == "error"]
    assert any("1 featureless row: 'e'" in p.message for p in problems)


@pytest.mark.parametrize(
    ("ids", "values", "message"),
    [
        ([1, 1], [1.0, 1.0], "must increase"),
        ([-1], [1.0], "must increase, from 0 on"),
        ([1], [np.inf], "must be finite"),
        ([1, 2], [1.0], "an id and a value each"),
        ([0.5], [1.0], "must be integers; got float64"),
    ],
)
def test_features_that_are_none_are_refused(ids, values, message) -> None:
    with pytest.raises(ValueError, match=message):
        Features(np.array(ids), np.array(values))
