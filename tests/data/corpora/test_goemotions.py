"""GoEmotions: the published TSV, the local JSONL, and the counts."""

import gzip

import pytest

from labelgraph_jax.data.corpora import goemotions
from labelgraph_jax.data.corpora.builder import check_sizes
from labelgraph_jax.data.corpora.sources import files_in
from labelgraph_jax.data.documents import DataError


def _write(folder, rows):
    for split in ("train", "dev", "test"):
        (folder / f"{split}.tsv").write_text(rows, encoding="utf-8")
    return files_in(goemotions.SOURCE, "published", folder)


def test_the_published_tsv_gives_text_labels_and_id(tmp_path):
    files = _write(tmp_path, 'A "quoted text\t27\tid1\nHappy\t17,18\tid2\n')
    corpus = goemotions.read(files, "published")
    assert corpus.train[0].text == 'A "quoted text'
    assert [d.labels for d in corpus.test] == [("neutral",), ("joy", "love")]
    assert corpus.validation[1].id == "id2"
    assert corpus.validation[1].source == "dev.tsv:2"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("text\t1\n", r"train.tsv:1: .* got 2 fields"),
        ("text\t1,28\tid\n", r"train.tsv:1: .* 0 to 27, .*; got '1,28'"),
        ("text\tjoy\tid\n", r"train.tsv:1: .*; got 'joy'"),
    ],
)
def test_a_bad_row_is_an_error_that_names_file_and_line(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        goemotions.read(_write(tmp_path, row), "published")


def test_a_file_cut_off_is_an_error(tmp_path):
    _write(tmp_path, "text\t1\tid\n" * 1000)
    whole = gzip.compress((tmp_path / "train.tsv").read_bytes())
    (tmp_path / "train.tsv").unlink()
    (tmp_path / "train.tsv.gz").write_bytes(whole[:-20])
    files = files_in(goemotions.SOURCE, "published", tmp_path)
    with pytest.raises(DataError, match=r"train.tsv.gz:\d+: .*ends too early"):
        goemotions.read(files, "published")


def test_the_real_corpus_has_the_published_counts(data_root):
    files = files_in(goemotions.SOURCE, "published", data_root / "goemotions")
    corpus = goemotions.read(files, "published")
    check_sizes(goemotions.SOURCE, "published", corpus)
    assert {n for d in corpus.train for n in d.labels} == set(goemotions.EMOTIONS)
    per_document = sum(len(d.labels) for d in corpus.train) / len(corpus.train)
    assert per_document == pytest.approx(1.177, abs=5e-4)
