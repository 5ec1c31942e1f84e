"""Slashdot: articles as bags of words, with the site's sections as labels."""

from __future__ import annotations

from labelgraph_jax.data.corpora.protocols import random80
from labelgraph_jax.data.corpora.slashdot.arff import read_arff
from labelgraph_jax.data.corpora.sources import Download, Files, Layout, Source
from labelgraph_jax.data.documents import Corpus, Document

FILE = "SLASHDOT-F.arff"

SOURCE = Source(
    name="slashdot",
    home="https://waikato.github.io/meka/datasets/",
    protocols=("random80",),
    layouts=(Layout((FILE,)),),
    downloads=(
        Download(
            FILE, f"https://downloads.sourceforge.net/project/meka/Datasets/{FILE}"
        ),
    ),
    sizes={"random80": (3_026, 0, 756)},
)


def read(files: Files, protocol: str) -> Corpus:
    """All 3,782 articles cut 80 to 20: MEKA's file comes without a split.

    The text is the article's words in the order of the file's vocabulary, for the
    file is a bag of words. MAGNET counts 291 labels and 24,072 articles; that
    Slashdot was never published, this one has 22 labels.
    """
    path = files[FILE]
    table = read_arff(path)
    documents = []
    for line, values in table.rows:
        words = [table.attributes[i] for i in values if i >= table.labels]
        labels = [table.attributes[i] for i in values if i < table.labels]
        documents.append(
            Document(
                id=f"line-{line}",
                text=" ".join(words),
                labels=tuple(labels),
                source=f"{path.name}:{line}",
            )
        )
    train, test = random80(documents)
    notes = (
        "MEKA's Slashdot with 22 labels, cut 80 to 20 at random with a fixed seed",
        "text is a bag of words: their order is the vocabulary's",
    )
    return Corpus(SOURCE.name, train, test=test, notes=notes)
