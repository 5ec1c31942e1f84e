"""Words, pairs of words and parts of words: the units that a bag reads of a text.

An export carries these functions as they stand here, so they need Python alone.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby, pairwise

UNITS_VERSION = 2
"""Version of the rule that cuts a text. Rule 1, of 0.6.0, knew runs of `\\w` alone."""
CHARACTERS = (3, 4, 5)
"""Sizes of the parts of a word."""
CHARACTER_COST = 0.25
"""A character of a script without blanks counts as so much of a word."""
# Thai, Lao; Myanmar; Khmer; Tai Le to New Tai Lue; Tai Tham; Kana, Bopomofo, Han and
# Yi; Myanmar Extended; Javanese to Tai Viet; Han beyond the basic plane.
UNSPACED = (
    "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u2e80-\u2fff"
    "\u3005-\u3007\u3021-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\ua4cf\ua9e0-\uaadf"
    "\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
HANGUL = "\uac00-\ud7a3"
_OLD_WORD = re.compile(r"\w+")
_APART = re.compile(f"[{UNSPACED}{HANGUL}]")
_CHARACTER = re.compile(rf"(?=\w)[{UNSPACED}]")
# Hangul, whose syllables are short words with particles behind them, and symbols.
_SHORT = re.compile(rf"[{HANGUL}]|^\W")
# Soft hyphens, Arabic and Hebrew vowel points, joiners of letters, directions of
# writing, variation selectors; the dot that a Turkish capital leaves behind.
IGNORED = re.compile(
    "[\u00ad\u0640\u064b-\u0652\u0670\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]|(?<=i)\u0307"
)


def folded(text: str) -> str:
    """The text as it is compared: NFKC, in lower case, without what cannot be seen."""
    if text.isascii():
        return text.lower()
    text = IGNORED.sub("", unicodedata.normalize("NFKC", text).lower())
    return letter_joiner().sub("", text) if "\u200d" in text else text


def words_of(text: str, version: int = UNITS_VERSION) -> list[str]:
    """The words of a text: letters with their marks, a symbol, or an emoji.

    `C++`, `C#`, `A*` and `.NET` are words; so is each character of a script without
    blanks, with its marks.
    """
    pattern, text = word_pattern(text, version)
    return pattern.findall(text)


def word_pattern(
    text: str, version: int = UNITS_VERSION
) -> tuple[re.Pattern[str], str]:
    """Return the pattern of words, and the text as it is searched."""
    if version == 1:
        return _OLD_WORD, text.lower()
    text = folded(text)
    return word_regex(text.isascii(), _APART.search(text) is not None), text


def windows_of(
    words: list[str], max_length: int, version: int = UNITS_VERSION
) -> list[list[str]]:
    """One window or more of `max_length` words each; four characters count as one."""
    if len(words) <= max_length:
        return [words]
    windows: list[list[str]] = [[]]
    room: float = max_length
    for word in words:
        cost = CHARACTER_COST if version > 1 and is_character(word) else 1
        if cost > room:
            windows.append([])
            room = max_length
        windows[-1].append(word)
        room -= cost
    return windows


def is_character(word: str) -> bool:
    """Return whether a word is one character of a script without blanks."""
    return word >= "\u0e00" and _CHARACTER.match(word) is not None


def is_part(token: str) -> bool:
    """Return whether a token is a part of words (its first character says so)."""
    return token.startswith("#")


def ngrams(words: Sequence[str], version: int = UNITS_VERSION) -> Iterator[str]:
    """Every word, every pair of neighbours, every part, with repetitions.

    Parts are 3 to 5 characters of a word, its beginning and end marked, in Korean
    and of symbols also 1 and 2; and 3 to 5 neighbouring characters where each is a
    word.
    """
    yield from words_and_pairs(words)
    yield from all_parts(words, version)


def words_and_pairs(words: Sequence[str]) -> Iterator[str]:
    """Every word, then every pair of neighbours."""
    yield from words
    for first, second in pairwise(words):
        yield first + " " + second


def all_parts(words: Sequence[str], version: int = UNITS_VERSION) -> Iterator[str]:
    """The parts of all words, then the runs of characters."""
    for word in words:
        if word.isascii():  # in place, for speed
            marked = f"<{word}>"
            for size in CHARACTERS:
                for start in range(len(marked) - size + 1):
                    yield "#" + marked[start : start + size]
        else:
            yield from parts_of(word, version)
    for start, end in character_runs(words, version):
        yield "#" + "".join(words[start:end])


def parts_of(word: str, version: int = UNITS_VERSION) -> list[str]:
    """The parts of one word."""
    sizes: tuple[int, ...] = CHARACTERS
    marked = f"<{word}>"
    single: list[str] = []
    if version > 1 and not word.isascii():
        if is_character(word):
            return []
        if _SHORT.search(word):
            sizes, single = (2, *CHARACTERS), ["#" + c for c in word]
    return single + [
        "#" + marked[start : start + size]
        for size in sizes
        for start in range(len(marked) - size + 1)
    ]


def character_runs(
    words: Sequence[str], version: int = UNITS_VERSION
) -> list[tuple[int, int]]:
    """Start and end of every 3 to 5 neighbours that are characters of such scripts."""
    if version == 1 or not _CHARACTER.search("".join(words)):
        return []
    runs, start = [], 0
    for inside, group in groupby(words, is_character):
        end = start + sum(1 for _ in group)
        if inside:
            runs += [
                (first, first + size)
                for size in CHARACTERS
                for first in range(start, end - size + 1)
            ]
        start = end
    return runs


@cache
def letter_joiner() -> re.Pattern[str]:
    """The joiner behind a letter, which says how it is drawn; it also joins emoji."""
    return re.compile(f"(?<=[\\w{_class('M')}])\u200d")


@cache
def _class(*categories: str) -> str:
    """Characters beyond ASCII of some categories, as the inside of a [class]."""
    ranges: list[list[int]] = []
    for code in range(0x80, 0x20000):
        # Variation selectors are not read, and lines and blocks draw boxes.
        if 0xFE00 <= code <= 0xFE0F or 0x2500 <= code <= 0x259F:
            continue
        if unicodedata.category(chr(code)).startswith(categories):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)


@cache
def word_regex(ascii_only: bool, has_apart: bool) -> re.Pattern[str]:
    """Patterns of words in folded texts of three kinds, ASCII being the quickest."""
    marks = first = other = emoji = ""
    if not ascii_only:
        marks, symbols = _class("M"), _class("Sm", "Sc", "So")
        tones, tags = "\U0001f3fb-\U0001f3ff", "\U000e0020-\U000e007f"
        one = f"[{symbols}{tones}][{marks}{tones}{tags}]*"
        flag = "[\U0001f1e6-\U0001f1ff]{2}"
        emoji = rf"|(?=[^\0-\x7f])(?:{flag}|{one}(?:\u200d{one})*)"
    if has_apart:
        first = rf"(?=\w)[{UNSPACED}][{marks}]*|[{HANGUL}]+|"
        other = f"(?![{UNSPACED}{HANGUL}])"
    word = rf"{other}\w(?:{other}[\w{marks}])*" if other else rf"\w[\w{marks}]*"
    after = "(?![a-z0-9_])"
    alone = r"(?<=\b\w)(?:#(?=\d)|(?<!\*.)\*(?![\w*]))"
    return re.compile(
        rf"(?!\s)(?:{first}{word}(?:\+\+|[+#]{after}|{alone})?"  # c++ c# c#7 a*
        rf"|(?<![a-z0-9_.)\]`'\"*>])\.(?=[^\W\d_]){word}"  # .net
        rf"|[$%]|(?<!\S)(?:[:;]['^o-]?[()\[\]dpo/\\|*@]+|<3+){after}{emoji})"  # :-)
    )
