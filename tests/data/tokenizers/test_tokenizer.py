import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers

from labelgraph_jax.data.tokenizers.units import words_of
from labelgraph_jax.data.tokenizers.words import (
    Tokenizer,
    TokenizerError,
    inverse_document_frequency,
)

TEXTS = ["The cat sat.", "the dog sat!", "The bird"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "##s", "sat", "."]


@pytest.fixture
def words() -> Tokenizer:
    return Tokenizer.train_words(TEXTS, vocabulary_size=20, min_count=1)


@pytest.fixture
def pieces(tmp_path: Path) -> Tokenizer:
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return Tokenizer.from_pretrained(tmp_path)


def ids(tokenizer: Tokenizer, *texts: str, **options) -> list[list[list[int]]]:
    encoded = tokenizer.encode(texts, **{"max_length": 16, **options})
    return [[window.tolist() for window in text] for text in encoded.windows]


def test_a_word_vocabulary_is_ordered_by_count_after_padding_and_unknown(words) -> None:
    expected = ["[PAD]", "[UNK]", "the", "sat", "bird", "cat", "dog"]
    assert words.vocabulary == expected
    assert words.pad_id == 0
    assert words.vocabulary_size == 7
    assert ids(words, "The CAT; flew") == [[[2, 5, 1]]]


def test_rare_words_and_words_past_the_size_are_unknown() -> None:
    rare = Tokenizer.train_words(TEXTS, vocabulary_size=20, min_count=2)
    assert rare.vocabulary == ["[PAD]", "[UNK]", "the", "sat"]
    small = Tokenizer.train_words(TEXTS, vocabulary_size=3, min_count=1)
    assert small.vocabulary == ["[PAD]", "[UNK]", "the"]


def test_case_and_punctuation_are_kept_where_asked() -> None:
    kept = Tokenizer.train_words(
        ["The the ..."], min_count=1, lowercase=False, punctuation=True
    )
    assert sorted(kept.vocabulary) == ["...", "The", "[PAD]", "[UNK]", "the"]


def test_words_are_cut_in_every_writing_system_as_those_of_a_bag():
    texts = [
        "हिन्दी C++ C# .NET 👍🏽🇩🇪 我们用iPhone手机",
        "e\u0301te\u0301 학교에서 :-)",
    ]
    trained = Tokenizer.train_words(texts, min_count=1)
    words = {word for text in texts for word in words_of(text)}
    assert set(trained.vocabulary) == {"[PAD]", "[UNK]", *words}


def test_a_saved_tokenizer_reads_back_the_same(words, pieces, tmp_path: Path) -> None:
    for tokenizer in (words, pieces):
        path = tokenizer.save(tmp_path / "saved")
        loaded = Tokenizer.load(tmp_path / "saved")
        assert loaded.fingerprint == tokenizer.fingerprint
        assert loaded.pad_id == tokenizer.pad_id
        text = "the cats sat. elsewhere"
        assert ids(loaded, text) == ids(tokenizer, text)
        assert [p.name for p in path.parent.iterdir()] == ["tokenizer.json"]


def test_word_pieces_stand_between_cls_and_sep(pieces) -> None:
    assert ids(pieces, "The cats sat.") == [[[2, 4, 5, 6, 7, 8, 3]]]
    assert pieces.special_tokens == 2


def test_a_byte_level_vocabulary_is_read(tmp_path: Path) -> None:
    names = ["<s>", "<pad>", "</s>", "<unk>", "a", "b", "ab"]
    vocabulary = {name: index for index, name in enumerate(names)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert tokenizer.pad_id == 1
    assert ids(tokenizer, "aba") == [[[0, 6, 4, 2]]]


def test_the_head_of_a_long_text_is_kept_and_counted(pieces) -> None:
    encoded = pieces.encode(["the cat sat the cat", "the"], max_length=4)
    assert [len(windows) for windows in encoded.windows] == [1, 1]
    assert encoded.windows[0][0].tolist() == [2, 4, 5, 3]
    assert encoded.windows[0][0].dtype == np.int32
    assert encoded.truncated == 1
    assert len(encoded) == 2


def test_windows_cover_a_long_text_and_each_has_its_frame(pieces) -> None:
    text = "the cat sat the cat"
    assert ids(pieces, text, max_length=4, max_windows=3) == [
        [[2, 4, 5, 3], [2, 7, 4, 3], [2, 5, 3]]
    ]
    assert pieces.encode([text], max_length=4, max_windows=3).truncated == 0
    assert pieces.encode([text], max_length=4, max_windows=2).truncated == 1
    overlapping = ids(pieces, text, max_length=4, max_windows=9, stride=1)[0]
    assert overlapping[:2] == [[2, 4, 5, 3], [2, 5, 7, 3]]


def test_one_call_leaves_no_trace_on_the_next(words) -> None:
    assert ids(words, "the cat sat", max_length=1) == [[[2]]]
    assert ids(words, "the cat sat") == [[[2, 5, 3]]]


def test_a_text_without_a_token_is_one_unknown_token(words) -> None:
    assert ids(words, "", "?!") == [[[1]], [[1]]]


def test_document_frequencies_equal_scikit_learns(words) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    windows = words.encode(TEXTS, max_length=9).windows
    got = inverse_document_frequency(windows, words.vocabulary_size)
    vectorizer = TfidfVectorizer().fit(TEXTS)
    for word, column in vectorizer.vocabulary_.items():
        row = words.vocabulary.index(word)
        np.testing.assert_allclose(got[row], vectorizer.idf_[column], rtol=1e-6)
    assert got[0] == 0


def test_what_is_no_tokenizer_is_told_so(words, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="no tokenizer at"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json is not a tokenizer"):
        Tokenizer.load(tmp_path)
    with pytest.raises(TokenizerError, match="no usable tokenizer"):
        Tokenizer.from_pretrained(tmp_path)
    bare = tokenizers.Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    bare.pre_tokenizer = pre_tokenizers.Whitespace()
    bare.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(TokenizerError, match="no padding token"):
        Tokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(TokenizerError, match=r"tokenizer_config\.json is not JSON"):
        Tokenizer.from_pretrained(tmp_path)


def test_bad_settings_say_what_must_hold(words, pieces) -> None:
    with pytest.raises(TokenizerError, match="exceed the 2 special tokens"):
        pieces.encode(["a"], max_length=2)
    with pytest.raises(TokenizerError, match="stride be from 0 to 1"):
        pieces.encode(["a"], max_length=4, stride=2)
    with pytest.raises(TokenizerError, match="text 1 must be a string, got NoneType"):
        words.encode(["a", None], max_length=4)
    with pytest.raises(TokenizerError, match="no word occurs 5 times"):
        Tokenizer.train_words(TEXTS, min_count=5)
    with pytest.raises(TokenizerError, match="at least 3, got 2"):
        Tokenizer.train_words(TEXTS, vocabulary_size=2)
    with pytest.raises(TokenizerError, match="min_count must be at least 1"):
        Tokenizer.train_words(TEXTS, min_count=0)
