"""Document vectors from words alone: TF-IDF and its principal directions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.tokenizers.units import words_of

WORDS, LENGTH = 20_000, 4_000
"""Words that are told apart, and characters of a text that are read."""


def lsa_vectors(
    texts: Sequence[str],
    others: Sequence[str] = (),
    *,
    dimensions: int,
    seed: int = 0,
) -> Float[np.ndarray, "M D"]:
    """Return LSA vectors of texts, float32 of length 1.

    Args:
        texts: that words and directions are learned from.
        others: texts in the same space, whose vectors stand behind those of the first.
        dimensions: the most numbers of a vector.
        seed: of the decomposition.

    Raises:
        DataError: no word stands in two texts.

    Reference: Deerwester et al., Indexing by latent semantic analysis, JASIS 1990.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        analyzer=lambda text: words_of(text[:LENGTH].lower()),
        min_df=2,
        max_features=WORDS,
        sublinear_tf=True,
    )
    try:
        rows = vectorizer.fit_transform(texts)
    except ValueError:
        raise DataError("at least one word must stand in two of the texts") from None
    also = vectorizer.transform(others) if len(others) else None
    return lsa_of_rows(rows, also, dimensions=dimensions, seed=seed)


def lsa_of_rows(
    rows: csr_matrix,
    others: csr_matrix | None = None,
    *,
    dimensions: int,
    seed: int = 0,
) -> Float[np.ndarray, "M D"]:
    """Return sparse rows along their principal directions, float32 of length 1.

    Args:
        rows: that the directions are learned from; one of zeros stays so.
        others: rows that stand behind them.
        dimensions: the most directions.
        seed: of the decomposition.
    """
    from sklearn.decomposition import TruncatedSVD

    size = min(dimensions, *(n - 1 for n in rows.shape))
    if size < 1:
        parts = [x.toarray() for x in (rows, others) if x is not None]
    else:
        directions = TruncatedSVD(size, random_state=seed)
        parts = [directions.fit_transform(rows)]
        parts += [] if others is None else [directions.transform(others)]
    vectors = np.concatenate(parts)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
