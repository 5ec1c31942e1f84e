"""The writing systems of texts, by name, and how texts are cut into words."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from labelgraph_jax.data.tokenizers.units import folded, ngrams, words_of

SYMBOLS = "emoji and symbols"
_SAME = {"CJK": "HAN", "IDEOGRAPHIC": "HAN", "KATAKANA-HIRAGANA": "KATAKANA"}


@dataclass(frozen=True)
class CutText:
    """One document as the default model reads it.

    Attributes:
        id: of the document.
        words: its words.
        tokens: how many words, pairs and parts of words they give.
    """

    id: str
    words: tuple[str, ...]
    tokens: int


@cache
def script_of(character: str) -> str:
    """The writing system of a letter, such as `Han`; empty for digits and signs.

    >>> [script_of(c) for c in "aд中ー한ह👍1"]
    ['Latin', 'Cyrillic', 'Han', 'Katakana', 'Hangul', 'Devanagari', 'emoji and \
symbols', '']
    """
    kind = unicodedata.category(character)
    if kind == "So":
        return SYMBOLS
    if kind not in ("Lu", "Ll", "Lt", "Lo", "Lm"):
        return ""
    first = unicodedata.name(character, "unknown").split()[0]
    return _SAME.get(first, first).title()


def scripts(texts: Iterable[str]) -> dict[str, float]:
    """The writing systems of some texts with their share of the letters and symbols.

    The most frequent first; texts are folded as words are.
    """
    characters: Counter[str] = Counter()
    for text in texts:
        characters.update(folded(text))
    counts: Counter[str] = Counter()
    for character, count in characters.items():
        counts[script_of(character)] += count
    del counts[""]
    return {name: count / counts.total() for name, count in counts.most_common()}


def cut_text(name: str, text: str) -> CutText:
    """A document as the default model cuts it."""
    words = words_of(text)
    return CutText(name, tuple(words), sum(1 for _ in ngrams(words)))
