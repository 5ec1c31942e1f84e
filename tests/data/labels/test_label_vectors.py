"""Label features out of word vectors."""

from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.data.labels.vectors import label_word_vectors
from labelgraph_jax.data.tokenizers.word_vectors import WordVectorError


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_text("crude 1 0 0\noil 0 1 0\nOil 0 0 2\ntin 3 0 4\n")
    return path


def test_a_label_is_the_mean_of_its_words_scaled_to_length_one(vectors: Path) -> None:
    texts = ["crude oil", "Tin (the metal)", "CRUDE, crude; oil"]
    found = label_word_vectors(vectors, ["a", "b", "c"], texts)
    expected = np.array([[1, 1, 0], [3, 0, 4], [2, 1, 0]], float)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_word_as_it_is_written_goes_before_its_lower_case(vectors: Path) -> None:
    found = label_word_vectors(vectors, ["a", "b"], ["Oil", "OIL"])
    np.testing.assert_array_equal(found, [[0, 0, 1], [0, 1, 0]])


def test_a_label_without_a_known_word_gets_zeros_and_is_named(vectors: Path) -> None:
    with pytest.warns(UserWarning, match=r"no word of 2 of 3 labels \(gold, \?\)"):
        found = label_word_vectors(
            vectors, ["gold", "tin", "?"], ["gold", "tin", "???"]
        )
    np.testing.assert_allclose(found, [[0, 0, 0], [0.6, 0, 0.8], [0, 0, 0]], rtol=1e-6)


def test_no_word_of_any_label_is_an_error(vectors: Path, tmp_path: Path) -> None:
    with pytest.raises(WordVectorError, match=r"words of the labels: .* none of the 2"):
        label_word_vectors(vectors, ["gold", "lead"], ["gold", "lead"])
    with pytest.raises(WordVectorError, match=r"no label has a word .* first is '\?'"):
        label_word_vectors(vectors, ["?"], ["?"])
    with pytest.raises(WordVectorError, match=r"no word vectors at .*nowhere"):
        label_word_vectors(tmp_path / "nowhere.txt", ["tin"], ["tin"])
