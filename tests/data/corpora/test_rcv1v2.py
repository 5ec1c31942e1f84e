"""RCV1-v2: token files, topics and the topic hierarchy as published."""

import gzip

import pytest

from labelgraph_jax.data.corpora import load_corpus, rcv1v2
from labelgraph_jax.data.documents import DataError

HIERARCHY = """\
parent: None  child: Root         child-description: Root
parent: Root  child: CCAT         child-description: CORPORATE/INDUSTRIAL
parent: CCAT  child: C15          child-description: PERFORMANCE
"""


@pytest.fixture
def folder(tmp_path, change_source):
    change_source("rcv1v2", sizes={})
    folder = tmp_path / "rcv1v2"
    folder.mkdir()
    number = 2286
    topics = []
    for name in (rcv1v2.TRAIN, *rcv1v2.TEST):
        stories = ""
        for _ in range(2):
            stories += f".I {number}\n.W\nrecov recov excit \nbring mexic\n\n"
            topics += [f"C15 {number} 1\n", f"CCAT {number} 1\n"]
            number += 1
        with gzip.open(folder / f"{name}.gz", "wt") as stream:
            stream.write(stories)
    (folder / rcv1v2.TOPICS).write_text("".join(topics))
    return folder


def _load(folder, **options):
    cache = folder.parent / "cache"
    return load_corpus("rcv1v2", data_dir=folder.parent, cache_dir=cache, **options)


def test_tokens_and_topics_are_joined(folder):
    corpus = _load(folder)
    assert (len(corpus.train), len(corpus.test)) == (2, 8)
    assert corpus.train[0].text == "recov recov excit bring mexic"
    assert corpus.train[0].labels == ("C15", "CCAT")
    assert corpus.train[1].id == "2287"
    assert corpus.train[1].source == "lyrl2004_tokens_train.dat.gz:6"


def test_the_hierarchy_gives_descriptions_and_parents(folder):
    (folder / rcv1v2.HIERARCHY).write_text(HIERARCHY)
    corpus = _load(folder)
    assert corpus.label_descriptions["CCAT"] == "corporate/industrial"
    assert corpus.parents == {"C15": ("CCAT",)}


def test_magnets_cut_is_80_to_20_of_all(folder):
    corpus = _load(folder, protocol="random80")
    assert (len(corpus.train), len(corpus.test)) == (8, 2)


def test_bad_files_are_errors_that_name_file_and_line(folder):
    topics = (folder / rcv1v2.TOPICS).read_text()
    (folder / rcv1v2.TOPICS).write_text("C15 2286\n")
    with pytest.raises(DataError, match=r"qrels:1: must be a topic, a document and 1"):
        _load(folder)
    (folder / rcv1v2.TOPICS).write_text(topics.replace("2287", "9"))
    with pytest.raises(DataError, match=r"dat.gz:6: document 2287 has no topic"):
        _load(folder)
    (folder / rcv1v2.TOPICS).write_text(topics)
    (folder / rcv1v2.HIERARCHY).write_text("CCAT\n")
    with pytest.raises(DataError, match=r"hier.orig:1: must say parent, child"):
        _load(folder)
    (folder / f"{rcv1v2.TRAIN}.gz").write_bytes(gzip.compress(b"recov excit\n"))
    with pytest.raises(DataError, match=r"train.dat.gz:1: must start with .I"):
        _load(folder)


def test_the_sizes_are_those_of_the_papers():
    assert {sum(sizes) for sizes in rcv1v2.SOURCE.sizes.values()} == {804_414}
