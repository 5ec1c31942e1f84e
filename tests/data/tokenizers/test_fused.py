"""N-grams and pieces of one text in one row of ids."""

from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.tokenizers.fused import FusedTokenizer
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.data.tokenizers.traces import trace
from labelgraph_jax.data.tokenizers.words import Tokenizer, TokenizerError

TEXTS = ["wheat and maize", "maize prices rose", "wheat prices", "a maize cob"]


@pytest.fixture(scope="module")
def fused() -> FusedTokenizer:
    words = NgramTokenizer.train(TEXTS, min_count=1, character_min_count=2)
    return FusedTokenizer(words, Tokenizer.train_words(TEXTS, min_count=1))


def test_ids_are_those_of_both_one_behind_the_other(fused: FusedTokenizer) -> None:
    found = fused.encode(TEXTS, max_length=2)
    words = fused.words.encode(TEXTS, max_length=2)
    pieces = fused.pieces.encode(TEXTS, max_length=2)
    first = fused.words.vocabulary_size
    for row, (window,) in enumerate(found.windows):
        expected = [*words.windows[row][0], *(pieces.windows[row][0] + first)]
        np.testing.assert_array_equal(window, expected)
    assert found.truncated == 3
    assert fused.vocabulary[first:] == fused.pieces.vocabulary
    assert len(fused.vocabulary) == fused.vocabulary_size


def test_every_token_is_traced_to_its_words(fused: FusedTokenizer) -> None:
    document = Document("a", "Wheat, maize & unheard", ())
    found = trace(fused, document, max_length=8)
    assert found.names == ("Wheat", "maize", "unheard")
    (window,) = fused.encode([document.text], max_length=8).windows[0]
    (sources,) = found.sources
    assert len(sources) == len(window)
    names = [fused.vocabulary[i] for i in window]
    last = len(names) - 3
    assert names[last:] == ["wheat", "maize", "[UNK]"]
    assert sources[last:] == ((0,), (1,), (2,))


def test_it_is_saved_and_read_again(fused: FusedTokenizer, tmp_path: Path) -> None:
    fused.save(tmp_path)
    again = FusedTokenizer.load(tmp_path)
    assert again.fingerprint == fused.fingerprint
    (own,), (other,) = (
        t.encode(["wheat"], max_length=4).windows for t in (fused, again)
    )
    np.testing.assert_array_equal(own[0], other[0])
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match="no tokenizer at"):
        FusedTokenizer.load(tmp_path)


def test_it_reads_the_head_of_a_text_alone(fused: FusedTokenizer) -> None:
    with pytest.raises(ValueError, match="max_windows must be 1"):
        fused.encode(TEXTS, max_length=4, max_windows=2)
