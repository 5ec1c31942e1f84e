"""One vector per label out of published word vectors: the mean of its words."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labelgraph_jax.data.tokenizers.word_vectors import (
    WordVectorError,
    read_word_vectors,
)

WORD = re.compile(r"[^\W_]+")
SHOWN = 5
"""Labels without a word in the file that the warning names."""


def label_word_vectors(
    path: str | Path, names: Sequence[str], texts: Sequence[str]
) -> np.ndarray:
    """The mean vector of every label's words, scaled to length one.

    A word is looked up as it is written and, failing that, in lower case; words that
    the file lacks count nothing. A label with none of its words in the file gets
    zeros and is named in a warning.

    Args:
        path: GloVe or word2vec file, text or binary, plain or .gz.
        names: of the labels, for warnings.
        texts: what each label is called or described as.

    Returns:
        float32 `[N, D]`, D the width of the file's vectors.

    Raises:
        WordVectorError: the file is missing or malformed, or has no word of any label.
    """
    # Look up the words of all labels at once, in every form.
    words = [WORD.findall(text) for text in texts]
    forms = {form: None for label in words for word in label for form in _forms(word)}
    if not forms:
        raise WordVectorError(
            f"{path}: no label has a word to look up, the first is {names[0]!r}"
        )
    try:
        vectors = read_word_vectors(path, list(forms))
    except WordVectorError as error:
        raise WordVectorError(f"words of the labels: {error}") from error
    found = {
        form: vectors.table[row] for row, form in enumerate(forms) if vectors.found[row]
    }
    # The mean of the words that are known; a label without any keeps zeros.
    means = np.zeros((len(texts), vectors.table.shape[1]), np.float32)
    unknown = []
    for row, label in enumerate(words):
        known = [next((f for f in _forms(w) if f in found), None) for w in label]
        of_label = [found[form] for form in known if form is not None]
        if of_label:
            means[row] = np.mean(of_label, axis=0)
        else:
            unknown.append(names[row])
    if unknown:
        shown = ", ".join(unknown[:SHOWN]) + (", ..." if len(unknown) > SHOWN else "")
        warnings.warn(
            f"{path} has no word of {len(unknown)} of {len(names)} labels ({shown}); "
            "their features start as zeros",
            stacklevel=2,
        )
    # Scale to length one.
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    return (means / np.maximum(norms, 1e-6)).astype(np.float32)


def _forms(word: str) -> tuple[str, str]:
    return word, word.lower()
