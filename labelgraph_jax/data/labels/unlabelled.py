"""Documents without labels in a corpus."""

import dataclasses

from labelgraph_jax.config import DataConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import Corpus, DataError
from labelgraph_jax.data.readers.texts import read_texts


def set_unlabelled_apart(corpus: Corpus) -> Corpus:
    """Return the corpus whose documents with null for labels stand in no split.

    Raises:
        DataError: a split has no other document.
    """
    # Documents whose labels are null, of every split.
    apart = {
        name: tuple(d for d in documents if not d.labelled)
        for name, documents in corpus.splits.items()
    }
    if not any(apart.values()):
        return corpus
    # A split that has documents must keep some.
    labelled = {
        name: tuple(d for d in documents if d.labelled)
        for name, documents in corpus.splits.items()
    }
    for name, documents in corpus.splits.items():
        if documents and not labelled[name]:
            raise DataError(
                f"{corpus.name}: a {name} document must have labels; all of the "
                f"{len(documents):,} have null"
            )
    # Only those of the training split are learned from.
    notes = corpus.notes
    if left_out := len(apart["validation"]) + len(apart["test"]):
        words = counted(
            left_out,
            "validation or test document has null for labels and is",
            "validation or test documents have null for labels and are",
        )
        notes = (*notes, f"{words} left out")
    return dataclasses.replace(
        corpus,
        train=labelled["train"],
        validation=labelled["validation"],
        test=labelled["test"],
        notes=notes,
        unlabelled=apart["train"],
    )


def with_unlabelled(corpus: Corpus, config: DataConfig) -> Corpus:
    """Return the corpus with the texts of the file `config.unlabelled`.

    Labels, where it has any, are not read.

    Raises:
        DataError: the file cannot be read, or holds features.
    """
    found = read_texts(config.unlabelled, options=config)
    if any(d.features is not None for d in found):
        raise DataError(f"{config.unlabelled}: must hold texts, got features")
    return dataclasses.replace(corpus, unlabelled=(*corpus.unlabelled, *found))
