"""Words, word pairs and parts of words as tokens."""

# ruff: noqa: RUF001 (other scripts have letters that look like Latin ones)

import itertools
import json
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelgraph_jax.data.tokenizers.ngrams import (
    NgramTokenizer,
    is_part,
    ngrams,
    windows_of,
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


@given(st.text(st.characters(max_codepoint=127), max_size=40))
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("क्\u200dष", ["क्ष"]),
        ("מִלָּה מלה", ["מלה", "מלה"]),
        ("كِتاب كتـــاب", ["كتاب", "كتاب"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("İstanbul", ["istanbul"]),
        ("e\u0301te\u0301 été ＡＢＣ ﬁsh", ["été", "été", "abc", "fish"]),
        ("我们用C++，iPhone手机", [*"我们用", "c++", "iphone", *"手机"]),
        ("東京タワーへ ﾊﾟﾝ", [*"東京タワーへ", *"パン"]),
        ("ง่าย", ["ง่", "า", "ย"]),
        ("ភាសា", ["ភា", "សា"]),
        ("학교에서 Python은 C#을", ["학교에서", "python", "은", "c#", "을"]),
        (
            "C C++ C# F# g++ A* .NET ASP.NET",
            ["c", "c++", "c#", "f#", "g++", "a*", ".net", "asp", "net"],
        ),
        ("c++11 C#7 (C++) C++/CLI", ["c++", "11", "c#", "7", "c++", "c++", "cli"]),
        (
            "issue#12 *args* x.py end. Next",
            ["issue", "12", "args", "x", "py", "end", "next"],
        ),
        ("a 5% b $3 c€ → ★", ["a", "5", "%", "b", "$", "3", "c", "€", "→", "★"]),
        ("👍👍🏽👨\u200d👩\u200d👧", ["👍", "👍🏽", "👨\u200d👩\u200d👧"]),
        ("🇩🇪🇫🇷 ❤️❤ 1\ufe0f⃣", ["🇩🇪", "🇫🇷", "❤", "❤", "1⃣"]),
        ("fine :-) ok :( <3 x[1:] (:)", ["fine", ":-)", "ok", ":(", "<3", "x", "1"]),
        ("──── ▓", []),
    ],
)
def test_words_of_every_writing_system(text, words):
    assert words_of(text) == words
    assert words_of(unicodedata.normalize("NFD", text)) == words


def test_a_character_of_a_script_without_blanks_has_its_neighbours():
    assert list(ngrams(words_of("我们用"))) == [*"我们用", "我 们", "们 用", "#我们用"]
    found = list(ngrams(words_of("ดีมาก")))
    assert {"ดี", "ดี ม", "#ดีมา", "#ดีมาก", "#มาก"} <= set(found)
    assert not any("<" in token for token in found)


def test_characters_that_hold_together_are_kept_and_chance_neighbours_are_not():
    words = ("小麦", "石油", "火车站", "今天", "他们", "因为", "去年")
    texts = ["".join(order) for order in itertools.permutations(words, 4)]
    kept = NgramTokenizer.train(texts).vocabulary
    assert {"小 麦", "石 油", "火 车", "#火车站", "小"} <= set(kept)
    assert {"麦 石", "#小麦石", "#天他们", "站 今"}.isdisjoint(kept)


def test_korean_nouns_are_kept_apart_from_their_particles():
    nouns, particles = (
        ["학교", "물", "은행", "소식", "나라", "밥"],
        ["은", "에서", "까지", "도", "와", "만", "부터", "에게", "보다", "처럼"],
    )
    words = [noun + particle for noun in nouns for particle in particles]
    texts = [" ".join(pair) for pair in itertools.permutations(words, 2)]
    kept = NgramTokenizer.train(texts, character_min_count=2).vocabulary
    assert {"#학교", "#<학교", "#물", "#<물", "#까지>"} <= set(kept)
    assert {"#물도", "#<물도", "물도", "학교까지", "#교까", "물도 은행와"}.isdisjoint(
        kept
    )


def test_particles_and_skin_tones_leave_parts_in_common():
    def parts(text):
        return {token for token in ngrams(words_of(text)) if is_part(token)}

    assert {"#물", "#<물"} <= parts("물이") & parts("물은")
    assert "#<학교" in parts("학교에서") & parts("학교는")
    assert "#👍" in parts("👍🏽") & parts("👍")


def test_four_characters_count_as_one_word_of_a_window():
    words = words_of("一二三四五六七八 one two")
    assert windows_of(words, 2) == [[*"一二三四五六七八"], ["one", "two"]]
    assert windows_of(words, 3) == [[*"一二三四五六七八", "one"], ["two"]]
    assert windows_of(words_of("one two three"), 2) == [["one", "two"], ["three"]]
    assert windows_of([], 2) == [[]]
    tokenizer = NgramTokenizer.train(["一二三四五"] * 5)
    assert tokenizer.encode(["一二三四五"], max_length=1).truncated == 1
    assert tokenizer.encode(["一二三四"], max_length=1).truncated == 0


def test_a_tokenizer_of_version_0_6_0_cuts_texts_as_it_did(tmp_path):
    tokens = [PAD, UNKNOWN, "c", "ह", "我们", "c ह", "#<我们", "我 们", "c++"]
    (tmp_path / "ngrams.json").write_text(json.dumps(tokens), encoding="utf-8")
    old = NgramTokenizer.load(tmp_path)
    assert tokens_of(old, "C++ हिन्दी 我们") == {"c", "ह", "我们", "c ह", "#<我们"}
    old.save(tmp_path / "again")
    assert NgramTokenizer.load(tmp_path / "again").version == 1
    assert (tmp_path / "again" / "ngrams.json").read_text("utf-8") == json.dumps(
        tokens, ensure_ascii=False
    )
    new = NgramTokenizer(tokens)
    assert tokens_of(new, "C++ 我们") == {"c++", "我 们"}
    assert new.fingerprint != old.fingerprint


@given(st.text(max_size=40))
def test_the_rule_of_version_0_6_0_is_runs_of_word_characters(text):
    words = re.findall(r"\w+", text.lower())
    assert words_of(text, 1) == words
    expected = [*words, *map(" ".join, itertools.pairwise(words))]
    for marked in (f"<{word}>" for word in words):
        expected += [
            "#" + marked[start : start + size]
            for size in (3, 4, 5)
            for start in range(len(marked) - size + 1)
        ]
    assert list(ngrams(words, 1)) == expected
    assert windows_of(words, 3, 1) == (
        [words[start : start + 3] for start in range(0, len(words), 3)] or [[]]
    )


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"a": 1})])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "ngrams.json").write_text(content)
    with pytest.raises(TokenizerError, match=r"ngrams\.json"):
        NgramTokenizer.load(tmp_path)


def test_a_rule_that_is_not_known_yet_is_refused(tmp_path):
    held = {"version": 9, "tokens": [PAD, UNKNOWN, "a"]}
    (tmp_path / "ngrams.json").write_text(json.dumps(held))
    with pytest.raises(TokenizerError, match="version 1 to 2, got 9"):
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
