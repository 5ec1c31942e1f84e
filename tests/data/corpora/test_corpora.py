"""Corpora by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from labelgraph_jax.data.corpora import corpus_names, load_corpus
from labelgraph_jax.data.documents import DataError

ROOT = Path(__file__).parents[3]


def test_the_embedded_corpus_comes_first():
    assert corpus_names()[0] == "stdlib_docs"
    assert {"reuters21578", "goemotions", "eurlex57k"} < set(corpus_names())


def test_an_unknown_name_is_an_error_with_the_list_and_the_nearest_name():
    with pytest.raises(DataError, match=r"aapd.*got 'reuters'.*mean reuters21578\?"):
        load_corpus("reuters")


def test_an_unknown_protocol_is_an_error_with_the_list():
    with pytest.raises(DataError, match=r"modapte, random80; got 'modapt'"):
        load_corpus("reuters21578", protocol="modapt")
    with pytest.raises(DataError, match="protocol of stdlib_docs"):
        load_corpus("stdlib_docs", protocol="modapte")


@pytest.mark.process
def test_importing_the_corpora_imports_no_tfds():
    code = (
        "import sys, labelgraph_jax.data.corpora as c\n"
        "assert c.corpus_names()\n"
        "assert 'tensorflow_datasets' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
