"""Word vectors made from the training text alone: PPMI and SVD.

A stand-in where no published vectors are at hand; named what it is in every table. It
sees fewer words than GloVe by a factor of ten thousand.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from experiments.pod import whole

WORD = re.compile(r"\w+")


def ppmi_vectors(
    texts: Sequence[str],
    *,
    features: int = 128,
    window: int = 5,
    min_count: int = 5,
    seed: int = 0,
) -> tuple[list[str], np.ndarray]:
    """Words, the most frequent first, and their vectors, float32 `[V, D]`.

    PPMI_wc = max(0, log(p(w, c) / (p(w) p(c)))) of words at most `window` apart,
    factored by a truncated SVD; a word's vector is U sqrt(S).

    Raises:
        ValueError: too few words occur often enough.

    Reference: Levy and Goldberg, Neural Word Embedding as Implicit Matrix
    Factorization, 2014.
    """
    tokens = [WORD.findall(text.lower()) for text in texts]
    counted = Counter(word for words in tokens for word in words)
    words = [word for word, count in counted.most_common() if count >= min_count]
    if len(words) <= features:
        raise ValueError(
            f"vectors of {features} features need more than {features} words that "
            f"occur {min_count} times, got {len(words)}"
        )
    rows = {word: row for row, word in enumerate(words)}
    ids = [np.array([rows.get(w, -1) for w in text], np.int64) for text in tokens]
    pairs = sparse.csr_matrix((len(words), len(words)), dtype=np.float64)
    for distance in range(1, window + 1):
        left = np.concatenate([text[:-distance] for text in ids])
        right = np.concatenate([text[distance:] for text in ids])
        kept = (left >= 0) & (right >= 0)
        ones = np.ones(int(kept.sum()))
        near = sparse.coo_matrix((ones, (left[kept], right[kept])), pairs.shape)
        pairs = pairs + near.tocsr()
    pairs = (pairs + pairs.T).tocoo()
    of_word = np.asarray(pairs.sum(axis=1)).ravel()
    total = of_word.sum()
    information = np.log(pairs.data * total / (of_word[pairs.row] * of_word[pairs.col]))
    positive = sparse.csr_matrix(
        (np.maximum(information, 0), (pairs.row, pairs.col)), pairs.shape
    )
    positive.eliminate_zeros()
    svd = TruncatedSVD(features, random_state=seed)
    scores = svd.fit_transform(positive)  # U S
    vectors = scores / np.sqrt(np.maximum(svd.singular_values_, 1e-12))
    return words, (vectors / np.abs(vectors).std()).astype(np.float32)


def made_vectors(texts: Sequence[str], folder: Path) -> Path:
    """A file of `ppmi_vectors` in GloVe's form, made once for the same texts."""
    digest = hashlib.sha256("\x1e".join(texts).encode("utf-8", "surrogatepass"))
    path = folder / f"ppmi-svd-{digest.hexdigest()[:16]}.txt"
    if path.is_file():
        return path
    words, vectors = ppmi_vectors(texts)
    folder.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial, partial.open("w", encoding="utf-8") as file:
        for word, vector in zip(words, vectors, strict=True):
            file.write(" ".join([word, *(f"{x:.5f}" for x in vector)]) + "\n")
    return path
