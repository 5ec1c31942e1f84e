"""Words, word pairs and parts of words as tokens."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.data.tokenizers.ngrams import (
    NgramTokenizer,
    is_part,
    ngrams,
    words_of,
)
from labelgraph_jax.data.tokenizers.words import PAD, UNKNOWN, TokenizerError

TEXTS = ["Encode a file", "encoding of files", "decode the file", "a file of text"]


def tokens_of(tokenizer: NgramTokenizer, text: str) -> set[str]:
    """The tokens that a text gets."""
    ids = tokenizer.encode([text], max_length=50).windows[0][0]
    return {tokenizer.vocabulary[i] for i in ids}


def test_a_short_text_gives_its_words_pairs_and_marked_parts():
    assert list(ngrams(words_of("An ox."))) == [
        "an",
        "ox",
        "an ox",
        "#<an",
        "#an>",
        "#<an>",
        "#<ox",
        "#ox>",
        "#<ox>",
    ]


@given(st.text(max_size=40))
def test_the_number_of_tokens_follows_from_the_lengths_of_the_words(text):
    words = words_of(text)
    lengths = np.asarray([len(word) + 2 for word in words], int)
    parts = sum(int(np.maximum(lengths - n + 1, 0).sum()) for n in (3, 4, 5))
    expected = len(words) + max(len(words) - 1, 0) + parts
    assert len(list(ngrams(words))) == expected


def test_words_of_one_stem_share_tokens():
    tokenizer = NgramTokenizer.train(TEXTS, character_min_count=2)
    shared = tokens_of(tokenizer, "encode") & tokens_of(tokenizer, "encoded")
    assert "#<enco" in {t[:6] for t in shared}


def test_tokens_in_too_few_texts_are_left_out():
    tokenizer = NgramTokenizer.train(TEXTS, min_count=2, character_min_count=3)
    assert "file" in tokenizer.vocabulary
    assert "text" not in tokenizer.vocabulary
    assert "#<enc" not in tokenizer.vocabulary


def test_the_vocabulary_does_not_depend_on_the_order_of_the_texts():
    forwards, backwards = (NgramTokenizer.train(t) for t in (TEXTS, TEXTS[::-1]))
    assert forwards.fingerprint == backwards.fingerprint


def test_the_vocabulary_keeps_the_tokens_in_most_texts():
    tokenizer = NgramTokenizer.train(TEXTS, vocabulary_size=3)
    assert tokenizer.vocabulary[:2] == [PAD, UNKNOWN]
    assert tokenizer.vocabulary_size == 3


def test_a_text_without_a_known_token_is_one_unknown_token():
    tokenizer = NgramTokenizer.train(TEXTS)
    for text in ("", "?!", "zzz"):
        assert tokens_of(tokenizer, text) == {UNKNOWN}


def test_windows_divide_the_words_and_the_rest_is_counted():
    tokenizer = NgramTokenizer.train(TEXTS)
    encoded = tokenizer.encode(["a file of text"], max_length=2, max_windows=2)
    assert len(encoded.windows[0]) == 2
    assert encoded.truncated == 0
    assert tokenizer.encode(["a file of text"], max_length=3).truncated == 1


def test_a_saved_tokenizer_reads_back_the_same(tmp_path):
    tokenizer = NgramTokenizer.train(TEXTS)
    tokenizer.save(tmp_path)
    restored = NgramTokenizer.load(tmp_path)
    assert restored.vocabulary == tokenizer.vocabulary
    np.testing.assert_array_equal(
        restored.is_character_part, [is_part(t) for t in tokenizer.vocabulary]
    )


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"a": 1})])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "ngrams.json").write_text(content)
    with pytest.raises(TokenizerError, match=r"ngrams\.json"):
        NgramTokenizer.load(tmp_path)


def test_settings_that_leave_no_token_are_refused():
    with pytest.raises(TokenizerError, match="vocabulary_size must be at least 3"):
        NgramTokenizer.train(TEXTS, vocabulary_size=2)
    with pytest.raises(TokenizerError, match="share no word"):
        NgramTokenizer.train(["one", "two"], min_count=3)
    tokenizer = NgramTokenizer.train(TEXTS)
    with pytest.raises(TokenizerError, match="max_length"):
        tokenizer.encode(["a"], max_length=0)
    with pytest.raises(TokenizerError, match="text 1 must be a string, got int"):
        tokenizer.encode(["a", 3], max_length=4)
