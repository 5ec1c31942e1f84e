"""Folders of the Extreme Classification Repository and of PECOS."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.xmc_folder import read_folder, unique_names
from tests.data.xmc_files import (
    NAMES,
    SETS,
    TEXTS,
    matrix,
    write_features,
    write_json,
    write_pecos,
    write_repository,
)


@pytest.mark.parametrize("write", [write_repository, write_pecos, write_json])
def test_every_layout_gives_the_same_texts_and_labels(tmp_path, write) -> None:
    corpus = read_folder(write(tmp_path))
    for split, documents in (("trn", corpus.train), ("tst", corpus.test)):
        assert [d.text for d in documents] == TEXTS[split]
        expected = [tuple(NAMES[i] for i in labels) for labels in SETS[split]]
        assert [d.labels for d in documents] == expected
    assert corpus.candidate_labels == tuple(NAMES)
    assert corpus.train[0].source.endswith(":1")


@pytest.mark.parametrize("npz", [True, False])
def test_features_stand_in_for_texts_that_are_not_there(tmp_path, npz) -> None:
    corpus = read_folder(write_features(tmp_path, npz=npz))
    assert corpus.train[1].text == ""
    features = corpus.train[1].features
    assert features is not None
    assert features.ids.tolist() == [1] and features.values.tolist() == [0.5]
    assert corpus.train[2].labels == ("1", "2")
    assert "numbers in their place" in corpus.notes[0]


def test_texts_come_before_features_and_the_notes_say_so(tmp_path) -> None:
    write_features(write_pecos(tmp_path), npz=True)
    corpus = read_folder(tmp_path)
    assert corpus.train[0].text == TEXTS["trn"][0]
    assert "X.trn.txt.gz was read, the features of X.trn.npz not" in corpus.notes


def test_a_folder_of_bag_of_words_files_is_read(tmp_path) -> None:
    (tmp_path / "train.txt").write_text("2 3 2\n0,1 0:1 2:0.5\n 1:2\n")
    (tmp_path / "test.txt").write_text("1 3 2\n1 1:1\n")
    corpus = read_folder(tmp_path)
    assert [d.labels for d in corpus.train] == [("0", "1"), ()]
    assert corpus.test[0].features is not None


def test_a_label_that_is_the_same_item_is_neither_hit_nor_miss(tmp_path) -> None:
    write_repository(tmp_path)
    (tmp_path / "filter_labels_test.txt").write_text("0 2\n1 0\n")
    corpus = read_folder(tmp_path)
    assert corpus.test[0].labels == () and corpus.test[0].unannotated == ("car",)
    assert corpus.test[1].unannotated == ("wine",)
    assert not any(d.unannotated for d in corpus.train)
    assert any("2 pairs of a test document" in note for note in corpus.notes)


def test_names_that_stand_there_twice_get_their_number() -> None:
    assert unique_names(["a", "b", "a", ""]) == [
        "a (label 0)",
        "b",
        "a (label 2)",
        "(label 3)",
    ]
    odd = unique_names(["a", "a", "a (label 0)"])
    assert len(set(odd)) == 3


def _pickled(folder: Path) -> None:
    path = folder / "Y.trn.npz"
    fields = np.array([{"a": 1}], object)
    np.savez(path, indptr=fields, indices=fields, data=fields, shape=(1, 1))


def _array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ones(2))
    return stream.getvalue()


def _save(folder: Path, **changes: np.ndarray) -> None:
    found = matrix("trn")
    held = {"indptr": found.indptr, "indices": found.indices, "data": found.data}
    held |= {"shape": np.array(found.shape), "format": np.array(b"csr")}
    np.savez(folder / "Y.trn.npz", **(held | changes))


BAD_TEXT = {
    "no header": ("trn_X_Y.txt", "0:1\n", "txt:1: must begin with a header `rows col"),
    "no column": ("trn_X_Y.txt", "3 0\n\n\n\n", "txt:1: the columns .* from 1 to"),
    "columns past all": ("trn_X_Y.txt", f"3 {10**20}\n\n\n\n", "txt:1: the columns"),
    "header lies": ("trn_X_Y.txt", "4 4\n0:1\n0:1\n0:1\n", "says 4 rows; .* has 3"),
    "longer": ("trn_X_Y.txt", "4 4\n0:1\n1:1\n\n\n", "has 4 rows for 3 documents"),
    "columns": ("trn_X_Y.txt", "3 5\n0:1\n\n\n", "5 columns, .*Y.txt has 4 labels"),
    "id": (
        "trn_X_Y.txt",
        "3 4\n0:1\n4:1\n\n",
        "txt:3: a label must be below 4; got '4",
    ),
    "twice": ("trn_X_Y.txt", "3 4\n2:1 0:1 2:1\n\n\n", "txt:2: .* once; got 2 twice"),
    "pair": ("trn_X_Y.txt", "3 4\n0:1 x\n\n\n", "txt:2: must be pairs .*; got 'x'"),
    "nan": ("trn_X_Y.txt", "3 4\n0:nan\n\n\n", "finite number; got '0:nan'"),
    "value": ("trn_X_Y.txt", "3 4\n0:one\n\n\n", "must be a number; got '0:one'"),
    "zero": ("trn_X_Y.txt", "3 4\n\n0:0\n\n", "row 2: .* must be above 0; got 0"),
    "fewer names": ("Y.txt", "a\nb\nc\n", "has 4 columns, .*Y.txt has 3 labels"),
    "fewer texts": ("trn_X.txt", "one\n", "has 3 rows for 1 documents"),
    "blank text": ("trn_X.txt", "a\n\nb\n", "trn_X.txt:2: .* must not be empty"),
    "filter": ("filter_labels_train.txt", "0 9\n", "txt:1: must name one of 3 docum"),
    "filter word": ("filter_labels_train.txt", "0\n", "must be two whole numbers"),
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_a_bad_file_of_text_is_told_in_one_line(tmp_path, case: str) -> None:
    write_repository(tmp_path)
    name, text, message = BAD_TEXT[case]
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_folder(tmp_path)
    assert "\n" not in str(caught.value)


BAD_NPZ = {
    "pickle": (_pickled, "holds pickled objects, which are never loaded"),
    "text": (lambda f: (f / "Y.trn.npz").write_text("x"), "pickled objects|must be a"),
    "array": (lambda f: (f / "Y.trn.npz").write_bytes(_array()), "it is one array"),
    "csc": (lambda f: sparse.save_npz(f / "Y.trn.npz", matrix("trn").tocsc()), "csc"),
    "lacks": (lambda f: np.savez(f / "Y.trn.npz", data=1), "lacks indptr, indices,"),
    "fit": (lambda f: _save(f, shape=np.array([9, 4])), "do not fit"),
    "words": (lambda f: _save(f, data=np.full(5, "a")), "data must be numbers; it is"),
    "halves": (
        lambda f: _save(f, indices=np.full(5, 0.5)),
        "indices must be whole numbers; it is float64",
    ),
    "range": (lambda f: _save(f, shape=np.array([3, 2])), "row 3: .* below 2; got 2"),
    "nan": (lambda f: _save(f, data=np.full(5, np.nan)), "row 1: .* finite"),
    "twice": (
        lambda f: _save(f, indices=np.zeros(5, int)),
        "row 1: .* once; got 0 twice",
    ),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_a_bad_npz_is_told_in_one_line(tmp_path, case: str) -> None:
    write_pecos(tmp_path)
    damage, message = BAD_NPZ[case]
    damage(tmp_path)
    with pytest.raises(DataError, match=message):
        read_folder(tmp_path)


def test_a_folder_of_something_else_says_what_it_must_hold(tmp_path) -> None:
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(DataError, match=r"must hold train.txt, .* it holds notes.md"):
        read_folder(tmp_path)
    (tmp_path / "trn_X_Y.txt").write_text("1 1\n0:1\n")
    with pytest.raises(DataError, match=r"must hold the documents of .*trn_X_Y.txt"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([9], "a label must be from 0 to 3, .* got 9"),
        ([1, 1], "once; got 1 twice"),
        ("1", '"target_ind" must be a list of whole numbers'),
    ],
)
def test_bad_targets_of_a_json_line_name_the_line(tmp_path, targets, message) -> None:
    write_json(tmp_path)
    (tmp_path / "trn.json.gz").unlink()
    row = {"uid": "a", "title": "t", "content": "", "target_ind": targets}
    (tmp_path / "trn.json").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=rf"trn.json:1: .*{message}"):
        read_folder(tmp_path)
