"""Slashdot: MEKA's ARFF, sparse and dense."""

import pytest

from labelgraph_jax.data.corpora import load_corpus
from labelgraph_jax.data.corpora.slashdot.arff import read_arff
from labelgraph_jax.data.documents import DataError

HEADER = """\
% made
@relation 'Slashdot: -C {count}'

@attribute Games {{0,1}}
@attribute 'Your Rights' {{0,1}}
@attribute linux {{0,1}}
@attribute 'don\\'t' numeric
@attribute patent numeric

@data
"""


def _write(path, rows, count=2):
    path.write_text(HEADER.format(count=count) + rows)
    return path


def test_sparse_and_dense_rows_give_the_same(tmp_path):
    sparse = _write(tmp_path / "s.arff", "{0 1,2 1,4 2.5}\n{1 1}\n% note\n{}\n")
    dense = _write(tmp_path / "d.arff", "1,0,1,0,2.5\n0,1,0,0,0\n\n0,0,0,0,0\n")
    for path in (sparse, dense):
        table = read_arff(path)
        assert table.labels == 2
        assert table.attributes == ("Games", "Your Rights", "linux", "don't", "patent")
        assert [values for _, values in table.rows] == [(0, 2, 4), (1,), ()]


def test_labels_at_the_end_are_put_first(tmp_path):
    table = read_arff(_write(tmp_path / "s.arff", "{0 1,4 1}\n", count=-2))
    assert table.attributes[:2] == ("don't", "patent")
    assert table.rows == ((11, (1, 2)),)


def test_the_corpus_has_words_as_text_and_sections_as_labels(tmp_path, change_source):
    change_source("slashdot", sizes={})
    (tmp_path / "slashdot").mkdir()
    _write(tmp_path / "slashdot" / "SLASHDOT-F.arff", "{0 1,1 1,2 1,4 1}\n" * 5)
    corpus = load_corpus("slashdot", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert (len(corpus.train), len(corpus.test)) == (4, 1)
    assert corpus.train[0].text == "linux patent"
    assert corpus.train[0].labels == ("Games", "Your Rights")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@relation Slashdot\n@data\n", ":1: the relation must say -C"),
        ("@attribute a {0,1}\n@data\n", "must have a @relation with -C before"),
        ("@relation 'S: -C 1'\n", "must have an @data line"),
        ("@relation 'S: -C 1'\n@attribute a\n", ":2: an attribute must have a name"),
        (HEADER.format(count=5) + "{0 1}\n", "-C must be between 1 and the 5"),
        (HEADER.format(count=2), "must hold rows after @data"),
        (HEADER.format(count=2) + "{7 1}\n", ":11: attributes must be 0 to 4; got 7"),
        (HEADER.format(count=2) + "{0 yes}\n", ":11: must be numbers"),
        (HEADER.format(count=2) + "1,0\n", ":11: must have 5 values; got 2"),
    ],
)
def test_a_bad_file_is_an_error_that_names_the_place(tmp_path, text, message):
    path = tmp_path / "bad.arff"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_arff(path)
