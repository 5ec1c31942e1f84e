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
    texts: Sequence[str], *, dimensions: int, seed: int = 0
) -> Float[np.ndarray, "M D"]:
    """Return LSA vectors of texts, float32 of length 1.

    Args:
        texts: M of them.
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
    return lsa_of_rows(rows, dimensions=dimensions, seed=seed)


def lsa_of_rows(
    rows: csr_matrix, *, dimensions: int, seed: int = 0
) -> Float[np.ndarray, "M D"]:
    """Return sparse rows along their principal directions, float32 of length 1.

    Args:
        rows: M of them; one of zeros stays so.
        dimensions: the most directions.
        seed: of the decomposition.
    """
    from sklearn.decomposition import TruncatedSVD

    size = min(dimensions, *(n - 1 for n in rows.shape))
    if size < 1:
        vectors = rows.toarray()
    else:
        vectors = TruncatedSVD(size, random_state=seed).fit_transform(rows)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
