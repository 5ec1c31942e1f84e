"""Prepared copies: written once, whole, and never stale."""

import gzip
import json
import sys

import pytest

from labelgraph_jax.data.corpora import load_corpus
from labelgraph_jax.data.documents import DataError


@pytest.fixture
def made(tmp_path, change_source):
    """A small goemotions of 3 / 1 / 1 comments and a cache."""
    change_source("goemotions", sizes={"published": (3, 1, 1)})
    folder = tmp_path / "data" / "goemotions"
    folder.mkdir(parents=True)
    for split, count in (("train", 3), ("dev", 1), ("test", 1)):
        _write(folder, split, [_comment(split, n) for n in range(count)])
    return tmp_path


def _comment(split, number):
    labels = ["joy", "love"][: number % 3]
    return {"id": f"{split}{number}", "text": f"é {split}\n{number}", "labels": labels}


def _write(folder, split, rows):
    with gzip.open(folder / f"{split}.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)


def _load(made):
    return load_corpus("goemotions", data_dir=made / "data", cache_dir=made / "cache")


def test_documents_come_back_as_they_were_in_their_order(made):
    corpus = _load(made)
    assert [d.id for d in corpus.train] == ["train0", "train1", "train2"]
    assert corpus.train[2].text == "é train\n2"
    assert [d.labels for d in corpus.train] == [(), ("joy",), ("joy", "love")]
    assert corpus.train[1].source == "train.jsonl.gz:2"
    assert corpus.train[0].tasks is None
    assert (len(corpus.validation), len(corpus.test)) == (1, 1)
    assert "tensorflow" not in sys.modules


def test_the_second_load_reads_what_the_first_prepared(made, monkeypatch):
    first = _load(made)

    def never(*args, **kwargs):
        raise AssertionError("the corpus was read again")

    monkeypatch.setattr("labelgraph_jax.data.corpora.goemotions.read", never)
    assert _load(made) == first


def test_a_changed_source_is_prepared_anew(made):
    _load(made)
    changed = {"id": "new", "text": "changed", "labels": ["anger"]}
    _write(made / "data" / "goemotions", "dev", [changed])
    assert _load(made).validation[0].text == "changed"


def test_a_failed_preparation_leaves_nothing_to_be_read_later(made):
    _write(made / "data" / "goemotions", "test", [{"id": "a", "text": 1, "labels": []}])
    for _ in range(2):
        with pytest.raises(DataError, match=r"test.jsonl.gz:1: \"text\" must be"):
            _load(made)
    assert not list((made / "cache").rglob("*.array_record*"))


def test_wrong_counts_are_an_error_that_names_both(made, change_source):
    change_source("goemotions", sizes={"published": (43_410, 5_426, 5_427)})
    with pytest.raises(
        DataError, match=r"must have 43,410 / 5,426 / 5,427 .*; got 3 / 1 / 1"
    ):
        _load(made)


def test_a_damaged_copy_is_an_error_that_says_what_to_delete(made):
    _load(made)
    for path in (made / "cache").rglob("*train.array_record*"):
        path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"prepared copy is damaged .*; delete .*1\.0"):
        _load(made)


def test_a_cache_that_cannot_be_written_is_an_error(made):
    (made / "cache").write_text("a file, not a folder")
    with pytest.raises(DataError, match="cannot write its prepared copy"):
        _load(made)


def test_nothing_is_printed(made, capfd):
    _load(made)
    _load(made)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
