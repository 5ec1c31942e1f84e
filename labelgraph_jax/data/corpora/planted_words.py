"""Made words: number -> a word of four syllables, another one for every number."""

from __future__ import annotations

import itertools

import numpy as np

from labelgraph_jax.data.documents import DataError

_CONSONANTS, _VOWELS = b"bcdfghjklmnpqrstvwxz", b"aeiou"
_SYLLABLES = np.frombuffer(
    bytes(letter for c in _CONSONANTS for v in _VOWELS for letter in (c, v)), np.uint8
).reshape(100, 2)
WORDS = 100**4
"""Number of words that can be made."""
LENGTH = 8
# Coprime with WORDS, so that numbers and words are one to one, and neighbours in number
# are not alike: what reads parts of words finds no likeness that was not planted.
_FACTOR, _SHIFT = 61_803_399, 27_182_818


def _letters(numbers: np.ndarray) -> np.ndarray:
    """uint8 [M, 8]."""
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < WORDS:
        raise DataError(f"there are {WORDS:,} made words; got number {numbers.max():,}")
    mixed = (numbers.astype(np.int64) * _FACTOR + _SHIFT) % WORDS
    digits = np.stack([mixed // 100**place % 100 for place in range(4)], axis=-1)
    return _SYLLABLES[digits].reshape(-1, LENGTH)


def made_words(numbers: np.ndarray) -> list[str]:
    """The words of some numbers.

    Raises:
        DataError: a number below 0, or too large.
    """
    text = _letters(np.asarray(numbers)).tobytes().decode("ascii")
    return [text[i : i + LENGTH] for i in range(0, len(text), LENGTH)]


def made_texts(numbers: np.ndarray, starts: np.ndarray) -> list[str]:
    """Texts of words between blanks.

    Args:
        numbers: of the words of all texts, end to end [W].
        starts: where each text begins, and where the last one ends [M + 1].

    Raises:
        DataError: as `made_words`.
    """
    letters = _letters(np.asarray(numbers))
    spaced = np.pad(letters, ((0, 0), (0, 1)), constant_values=ord(" "))
    text = spaced.tobytes().decode("ascii")
    ends = (np.asarray(starts) * (LENGTH + 1)).tolist()
    return [
        text[start : end - 1] if end > start else ""
        for start, end in itertools.pairwise(ends)
    ]
