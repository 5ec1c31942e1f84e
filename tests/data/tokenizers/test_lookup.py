"""Ids of many texts at once are those that are found token by token."""

# ruff: noqa: RUF001 (other scripts have letters that look like Latin ones)

import copy
import pickle
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.data.tokenizers import lookup
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.data.tokenizers.units import ngrams, windows_of, words_of
from labelgraph_jax.data.tokenizers.words import PAD, UNKNOWN

FRAGMENTS = (
    *("a", "ab", "file", "Files", "ΣΑΣ", "όσος", "İ", "ß", "été", "e\u0301", "\u0301"),
    *(
        "我们",
        "们用",
        "東京",
        "ง่าย",
        "ភាសា",
        "학교",
        "에서",
        "\u1112\u1161",
        "ﾊﾟ",
        "ﬁ",
        "Ａ",
    ),
    *(
        "👍",
        "🏽",
        "👨\u200d👩",
        "🇩🇪",
        "❤️",
        "→",
        "⃣",
        "\u200d",
        "\u200c",
        "\ufe0f",
        "\u00ad",
    ),
    *("c++", "#", "+", "*", ".net", ".", "$", "%", ":-)", "<3", "_", "'", "1", "[UNK]"),
    *(
        " ",
        "  ",
        "\n",
        "\t",
        "\x1c",
        "\x85",
        "\u00a0",
        "\u2003",
        "\u3000",
        "´",
        "¨",
        "",
    ),
    *("\ud800", "\x00", "हिन्दी", "كِتاب", "می\u200cخواهم"),
)
TEXTS = st.lists(
    st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=12).map(
        "".join
    ),
    max_size=6,
)


def token_by_token(
    tokenizer: NgramTokenizer, text: str, max_length: int, max_windows: int
) -> tuple[list[list[int]], bool]:
    """The ids of each window, each token looked up by its name."""
    ids, version = tokenizer._ids, tokenizer.version
    cut = windows_of(words_of(text, version), max_length, version)
    windows = [
        [ids[token] for token in ngrams(words, version) if token in ids]
        for words in cut[:max_windows]
    ]
    return [own or [ids[UNKNOWN]] for own in windows], len(cut) > max_windows


def require_same(
    tokenizer: NgramTokenizer, texts: Sequence[str], length: int, windows: int
) -> None:
    encoded = tokenizer.encode(texts, max_length=length, max_windows=windows)
    expected = [token_by_token(tokenizer, text, length, windows) for text in texts]
    assert [[w.tolist() for w in own] for own in encoded.windows] == [
        own for own, _ in expected
    ]
    assert encoded.truncated == sum(has_more for _, has_more in expected)
    assert all(w.dtype == np.int32 for own in encoded.windows for w in own)


@given(
    texts=TEXTS,
    version=st.sampled_from((1, 2)),
    length=st.integers(1, 9),
    windows=st.integers(1, 3),
    left_out=st.integers(1, 5),
)
def test_the_ids_are_those_of_each_token(texts, version, length, windows, left_out):
    tokens = sorted({t for text in texts for t in ngrams(words_of(text, version))})
    tokens += [t for text in texts for t in ngrams(words_of(text, version), version)]
    kept = [t for i, t in enumerate(dict.fromkeys(tokens)) if i % (left_out + 1)]
    tokenizer = NgramTokenizer([PAD, UNKNOWN, *kept], version)
    require_same(tokenizer, texts, length, windows)
    # And again, from what is remembered.
    require_same(tokenizer, texts[::-1], length, windows)


def test_what_is_remembered_is_forgotten_where_it_is_too_much(monkeypatch):
    monkeypatch.setattr(lookup, "REMEMBERED", 200)
    monkeypatch.setattr(lookup, "TEXTS", 3)
    texts = [f"word{i} of {i % 7} texts {'long' * i}" for i in range(40)]
    tokenizer = NgramTokenizer.train(texts, min_count=1, character_min_count=1)
    require_same(tokenizer, texts, 50, 1)
    assert tokenizer._lookup._pieces.size <= 200


def test_a_pickle_and_a_copy_hold_no_text():
    tokenizer = NgramTokenizer.train(["a file of text"] * 5)
    before = pickle.dumps(tokenizer)
    tokenizer.encode(["a secret file"], max_length=9)
    assert pickle.dumps(tokenizer) == before
    for other in (pickle.loads(before), copy.deepcopy(tokenizer)):
        assert other.fingerprint == tokenizer.fingerprint
        require_same(other, ["a secret file", ""], 9, 1)


def test_several_threads_read_with_one_tokenizer():
    texts = [f"a{i} text of {i % 13} words{i % 5}" for i in range(300)]
    tokenizer = NgramTokenizer.train(texts, min_count=1, character_min_count=1)
    expected = [token_by_token(tokenizer, text, 9, 1)[0] for text in texts]
    failed: list[str] = []

    def read(offset: int) -> None:
        for text, own in list(zip(texts, expected, strict=True))[offset::2]:
            found = tokenizer.encode([text, text], max_length=9).windows
            if [w.tolist() for w in found[1]] != own:
                failed.append(text)

    threads = [threading.Thread(target=read, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


@pytest.mark.parametrize("texts", [[], [""], ["", " \n"], ["x" * 10_000] * 2])
def test_odd_texts_are_read(texts):
    tokenizer = NgramTokenizer.train(["a file of text", "xxx xxx"] * 5)
    require_same(tokenizer, texts, 4, 2)
