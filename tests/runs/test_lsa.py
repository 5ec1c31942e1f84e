"""Vectors of texts from their words alone."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.runs.lsa import lsa_of_rows, lsa_vectors

TEXTS = ["a b c", "b c d", "c d e", "a e b", "z"]


def test_vectors_have_length_1_but_for_a_text_without_a_known_word() -> None:
    vectors = lsa_vectors(TEXTS, dimensions=3)
    assert vectors.dtype == np.float32 and vectors.shape == (5, 3)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 1, 0], 1e-5)
    np.testing.assert_array_equal(vectors, lsa_vectors(TEXTS, dimensions=3))


def test_texts_of_the_same_words_point_the_same_way() -> None:
    corn, oil = "corn maize crop field", "oil barrel crude port"
    vectors = lsa_vectors([corn, corn + " crop", oil, oil + " port"], dimensions=2)
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > 0.9 and likeness[2, 3] > 0.9
    assert abs(likeness[0, 2]) < 0.1


def test_rows_of_one_column_are_their_own_vectors() -> None:
    found = lsa_of_rows(csr_matrix([[2.0], [0.0], [3.0]]), dimensions=5)
    np.testing.assert_array_equal(found, [[1], [0], [1]])


def test_a_word_must_stand_in_two_texts() -> None:
    with pytest.raises(DataError, match="one word must stand in two of the texts"):
        lsa_vectors(["one", "two"], dimensions=2)
