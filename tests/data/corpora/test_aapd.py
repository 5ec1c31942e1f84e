"""AAPD: the text and label files of SGM."""

import pytest

from labelgraph_jax.data.corpora import aapd, load_corpus
from labelgraph_jax.data.documents import DataError


@pytest.fixture
def folder(tmp_path, change_source):
    change_source("aapd", sizes={})
    folder = tmp_path / "aapd"
    folder.mkdir()
    for split, count in (("train", 7), ("val", 2), ("test", 1)):
        texts = [f"we propose {split} {n} .\n" for n in range(count)]
        labels = ["cs.it math.it\n" if n % 2 == 0 else "cs.lg\n" for n in range(count)]
        (folder / f"text_{split}").write_text("".join(texts))
        (folder / f"label_{split}").write_text("".join(labels))
    return folder


def _load(folder, **options):
    cache = folder.parent / "cache"
    return load_corpus("aapd", data_dir=folder.parent, cache_dir=cache, **options)


def test_texts_and_labels_are_joined_line_by_line(folder):
    corpus = _load(folder)
    assert [len(split) for split in corpus.splits.values()] == [7, 2, 1]
    assert corpus.train[0].labels == ("cs.it", "math.it")
    assert corpus.validation[1].text == "we propose val 1 ."
    assert corpus.validation[1].id == "val-2"


def test_magnets_cut_is_80_to_20_of_all(folder):
    corpus = _load(folder, protocol="random80")
    assert [len(split) for split in corpus.splits.values()] == [8, 0, 2]


def test_files_of_different_length_are_an_error(folder):
    (folder / "label_val").write_text("cs.lg\n")
    with pytest.raises(DataError, match=r"text_val and label_val .*; got 2 and 1"):
        _load(folder)


def test_the_sizes_are_those_of_the_papers():
    assert sum(aapd.SOURCE.sizes["published"]) == 55_840
    assert sum(aapd.SOURCE.sizes["random80"]) == 55_840
