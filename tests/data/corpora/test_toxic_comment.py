"""Jigsaw toxic comments: Kaggle's files and the local first 20,000 rows."""

import json

import pytest

from labelgraph_jax.data.corpora import load_corpus, toxic_comment
from labelgraph_jax.data.corpora.sources import files_in
from labelgraph_jax.data.documents import DataError

LABELS = ",".join(toxic_comment.LABELS)


@pytest.fixture
def kaggle(tmp_path):
    (tmp_path / "train.csv").write_text(
        f"id,comment_text,{LABELS}\n"
        'a,"Two\nlines, ""quoted""",0,0,0,0,0,0\n'
        "b,Rude,1,0,1,0,0,0\n"
        "c,Third,0,0,0,0,0,1\n"
    )
    (tmp_path / "test.csv").write_text(
        "id,comment_text\nx,Not scored\ny,Scored\nz,Rude too\n"
    )
    (tmp_path / "test_labels.csv").write_text(
        f"id,{LABELS}\nx,-1,-1,-1,-1,-1,-1\ny,0,0,0,0,0,0\nz,1,1,0,0,0,0\n"
    )
    return tmp_path


def _read(folder, protocol):
    files = files_in(toxic_comment.SOURCE, protocol, folder)
    return toxic_comment.read(files, protocol)


def test_kaggles_test_is_what_was_scored(kaggle):
    corpus = _read(kaggle, "kaggle")
    assert [d.id for d in corpus.test] == ["y", "z"]
    assert corpus.test[1].labels == ("toxic", "severe_toxic")
    assert corpus.train[0].text == 'Two\nlines, "quoted"'
    assert corpus.train[0].labels == ()
    assert corpus.train[1].source == "train.csv:4"


def test_the_first_rows_come_alike_from_either_layout(kaggle, monkeypatch, tmp_path):
    monkeypatch.setattr(toxic_comment, "FIRST_ROWS", 2)
    monkeypatch.setattr(toxic_comment, "FIRST_TRAIN_ROWS", 1)
    from_csv = _read(kaggle, "first20k")
    rows = [
        {"row": row, "text": d.text, "labels": list(d.labels)}
        for row, d in enumerate(from_csv.train + from_csv.test)
    ]
    folder = tmp_path / "local"
    folder.mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "first20k.jsonl").write_text(lines)
    from_jsonl = _read(folder, "first20k")
    assert [d.text for d in from_jsonl.train] == [from_csv.train[0].text]
    assert [d.labels for d in from_jsonl.test] == [("toxic", "obscene")]
    assert from_jsonl.test[0].id == "1"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("id,text\n", "train.csv:1: must have a column 'comment_text'"),
        (f"id,comment_text,{LABELS}\na,b,0\n", "train.csv:2: a row must have 8"),
        (f"id,comment_text,{LABELS}\na,b,0,0,2,0,0,0\n", "obscene must be 0 or 1"),
    ],
)
def test_a_bad_table_is_an_error_that_names_file_and_line(tmp_path, rows, message):
    (tmp_path / "train.csv").write_text(rows)
    with pytest.raises(DataError, match=message):
        _read(tmp_path, "first20k")


def test_the_local_copy_is_cut_16000_to_4000(data_root, tmp_path):
    corpus = load_corpus("toxic_comment", data_dir=data_root, cache_dir=tmp_path)
    assert [len(split) for split in corpus.splits.values()] == [16_000, 0, 4_000]
    documents = corpus.train + corpus.test
    counts = [sum(n in d.labels for d in documents) for n in toxic_comment.LABELS]
    assert counts == [1947, 222, 1077, 67, 1021, 181]
    with pytest.raises(DataError, match=r"must hold train.csv, test.csv, test_labels"):
        load_corpus(
            "toxic_comment", protocol="kaggle", data_dir=data_root, cache_dir=tmp_path
        )
