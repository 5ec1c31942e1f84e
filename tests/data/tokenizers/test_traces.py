"""Which words the tokens of a text came from."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.features.values import Features
from labelgraph_jax.data.tokenizers.features import FeatureTokenizer
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer, words_of
from labelgraph_jax.data.tokenizers.traces import sum_over_words, trace
from labelgraph_jax.data.tokenizers.words import Tokenizer
from tests.tiny import write_tiny_bert

TEXTS = ["wheat exports rose", "exports of wheat", "rose wheat exports of"] * 5
WORDS = Tokenizer.train_words(TEXTS, min_count=1)
NGRAMS = NgramTokenizer.train(TEXTS, min_count=1, character_min_count=1)
ODD = [
    "",
    "?!",
    "Wheat, EXPORTS",
    "İstanbul wheat",
    "wheat " * 9,
    "\u00c9 \ufb01sh \U0001f600",
    "हिन्दी e\u0301te\u0301 我们用小麦 학교에서 👍🏽",
]


def test_the_words_of_a_prompt_are_a_frame_and_no_words_of_the_text(tmp_path) -> None:
    folder = write_tiny_bert(tmp_path / "bert")
    tokenizer = Tokenizer.from_pretrained(folder, prompt="oil corn ")
    tokenizer.save(tmp_path)
    for read in (tokenizer, Tokenizer.load(tmp_path)):
        ids = read.encode(["wheat of"], max_length=8).windows[0][0]
        words = [read.vocabulary[i] for i in ids]
        assert words[1:4] == ["oil", "corn", "wheat"]
        found = trace(read, Document("d", "wheat of", ()), max_length=8)
        assert found.names == ("wheat", "of")
        assert found.sources == (((), (), (), (0,), (1,), ()),)
    plain = Tokenizer.from_pretrained(folder)
    assert plain.fingerprint != tokenizer.fingerprint


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("tokenizer", [WORDS, NGRAMS])
def test_there_is_a_source_for_every_token_of_every_window(tokenizer, text) -> None:
    encoded = tokenizer.encode([text], max_length=3, max_windows=2)
    found = trace(tokenizer, Document("d", text, ()), max_length=3, max_windows=2)
    assert [len(window) for window in found.sources] == [
        len(ids) for ids in encoded.windows[0]
    ]
    assert all(0 <= start < end <= len(text) for start, end in found.words)
    assert [text[start:end] for start, end in found.words] == list(found.names)


@given(text=st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_of_any_text_the_tokens_have_sources(text: str) -> None:
    for tokenizer in (WORDS, NGRAMS):
        (windows,) = tokenizer.encode([text], max_length=5, max_windows=2).windows
        found = trace(tokenizer, Document("d", text, ()), max_length=5, max_windows=2)
        assert [len(w) for w in found.sources] == [len(ids) for ids in windows]
        assert all(0 <= a < b <= len(text) for a, b in found.words)


def test_a_pair_comes_from_two_words_and_a_part_from_its_word() -> None:
    text = "Wheat  exports!"
    found = trace(NGRAMS, Document("d", text, ()), max_length=8)
    assert found.names == ("Wheat", "exports")
    (ids,) = NGRAMS.encode([text], max_length=8).windows[0]
    origins = {
        NGRAMS.vocabulary[i]: origin
        for i, origin in zip(ids, found.sources[0], strict=True)
    }
    assert origins["wheat"] == (0,)
    assert origins["wheat exports"] == (0, 1)
    assert origins["#<whe"] == (0,)
    assert origins["#rts>"] == (1,)


def test_words_stand_where_the_text_has_them_before_it_is_normalised() -> None:
    text = "e\u0301t\u00e9 ﾊﾟﾝ ½ ﬁsh كِتـاب 👍🏽"
    found = trace(NGRAMS, Document("d", text, ()), max_length=20)
    assert found.names == (
        *("e\u0301t\u00e9", "ﾊﾟ", "ﾝ", "½", "½", "½", "ﬁsh", "كِتـاب", "👍🏽"),
    )


def test_the_frame_of_a_published_tokenizer_comes_from_no_word(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(write_tiny_bert(tmp_path / "bert"))
    found = trace(tokenizer, Document("d", "maize qq", ()), max_length=8)
    assert found.sources == (((), (0,), (1,), ()),)
    assert found.names == ("maize", "qq")


def test_a_feature_comes_from_itself() -> None:
    rows = [Features(np.array([1, 5]), np.array([0.5, 2.0], np.float32))]
    documents = [Document(str(i), "", (), features=row) for i, row in enumerate(rows)]
    tokenizer = FeatureTokenizer.train(documents)
    found = trace(tokenizer, documents[0], max_length=4)
    assert found.names == ("1:0.5", "5:2")
    assert found.sources == (((0,), (1,)),)


@given(seed=st.integers(0, 2**16), text=st.sampled_from([*TEXTS, *ODD]))
@settings(max_examples=30, deadline=None)
def test_what_tokens_have_is_what_words_and_the_rest_have(seed: int, text: str) -> None:
    found = trace(NGRAMS, Document("d", text, ()), max_length=3, max_windows=2)
    longest = max(len(window) for window in found.sources) + 2
    values = np.random.default_rng(seed).normal(size=(len(found.sources), longest))
    words, rest = sum_over_words(values, found.sources, len(found.names))
    np.testing.assert_allclose(words.sum() + rest, values.sum(), atol=1e-9)
    assert len(words) == len(found.names) <= len(words_of(text))
