"""Words, word pairs and character n-grams as the tokens of a bag."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from labelgraph_jax.data.tokenizers.saved import SavedTokenizer
from labelgraph_jax.data.tokenizers.words import (
    PAD,
    UNKNOWN,
    EncodedTexts,
    TokenizerError,
)

CHARACTERS = (3, 4, 5)
_WORD = re.compile(r"\w+")
_SPACE = " "


class NgramTokenizer(SavedTokenizer):
    """Cuts a text into words, pairs of neighbouring words, and parts of words.

    A part of a word is a run of 3 to 5 characters, the word's beginning and end
    marked, so that "encode" and "encoding" have tokens in common. The order of the
    tokens means nothing: they are read by a bag alone. Row 0 is padding, row 1 a
    text none of whose parts is known.

    Reference: the units of Bojanowski et al., "Enriching Word Vectors with Subword
    Information", TACL 2017; here each has a row of its own instead of a hashed one.
    """

    FILE = "ngrams.json"

    pad_id = 0

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self._ids = {token: i for i, token in enumerate(self.vocabulary)}

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocabulary_size: int = 30_000,
        min_count: int = 2,
        character_min_count: int = 5,
    ) -> "NgramTokenizer":
        """Keeps the tokens that stand in enough of the texts, most frequent first.

        Args:
            vocabulary_size: rows of the vocabulary, padding and unknown included.
            min_count: texts that must hold a word or a pair of words.
            character_min_count: texts that must hold a part of a word.

        Raises:
            TokenizerError: a size that leaves no token, or texts without one.
        """
        if vocabulary_size < 3 or min_count < 1 or character_min_count < 1:
            raise TokenizerError(
                "vocabulary_size must be at least 3 and the counts at least 1, got "
                f"{vocabulary_size}, {min_count} and {character_min_count}"
            )
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(set(ngrams(words_of(text))))
        kept = [
            (token, count)
            for token, count in counts.items()
            if count >= (character_min_count if is_part(token) else min_count)
        ]
        if not kept:
            raise TokenizerError("the training texts share no word or part of a word")
        kept.sort(key=lambda pair: (-pair[1], pair[0]))
        return cls([PAD, UNKNOWN, *(t for t, _ in kept[: vocabulary_size - 2])])

    @property
    def vocabulary_size(self) -> int:
        """Rows that an embedding table of these ids needs."""
        return len(self.vocabulary)

    @property
    def is_character_part(self) -> np.ndarray:
        """Which tokens are parts of words, bool `[V]`."""
        return np.asarray([is_part(token) for token in self.vocabulary])

    def encode(
        self, texts: Sequence[str], *, max_length: int, max_windows: int = 1
    ) -> EncodedTexts:
        """Turns texts into ids, in windows of at most `max_length` words each.

        Raises:
            TokenizerError: a setting below 1, or a text that is not a string.
        """
        if max_length < 1 or max_windows < 1:
            raise TokenizerError(
                "max_length and max_windows must be at least 1, got "
                f"{max_length} and {max_windows}"
            )
        windows, truncated = [], 0
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise TokenizerError(
                    f"text {place} must be a string, got {type(text).__name__}"
                )
            words = words_of(text)
            truncated += len(words) > max_length * max_windows
            starts = range(0, max(len(words), 1), max_length)[:max_windows]
            windows.append([self._known(words[i : i + max_length]) for i in starts])
        return EncodedTexts(windows, truncated)

    def _known(self, words: Sequence[str]) -> np.ndarray:
        ids = self._ids
        known = [ids[token] for token in ngrams(words) if token in ids]
        return np.asarray(known or [ids[UNKNOWN]], np.int32)

    def sources(
        self, text: str, *, max_length: int, max_windows: int = 1
    ) -> tuple[list[tuple[int, int]], list[list[tuple[int, ...]]]]:
        """The words of a text, and which of them each token of `encode` came from.

        Returns:
            First and last + 1 character of every word that is read; per window, per
            token the places of its words, none where no token is known.
        """
        spans = _word_spans(text)[: max_length * max_windows]
        words = words_of(text)[: len(spans)]
        windows = []
        for start in range(0, max(len(words), 1), max_length):
            part = words[start : start + max_length]
            places = zip(ngrams(part), _ngram_words(part), strict=True)
            known = [
                tuple(start + place for place in origin)
                for token, origin in places
                if token in self._ids
            ]
            windows.append(known or [()])
        return spans, windows

    @classmethod
    def load(cls, folder: str | Path) -> "NgramTokenizer":
        """Reads what `save` wrote.

        Raises:
            TokenizerError: the file is missing or malformed.
        """
        path = Path(folder) / cls.FILE
        try:
            tokens = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TokenizerError(f"{path} is not a tokenizer: {error}") from error
        if not isinstance(tokens, list) or tokens[:2] != [PAD, UNKNOWN]:
            raise TokenizerError(f"{path} must hold a list of tokens")
        return cls(tokens)

    def _to_json(self) -> str:
        return json.dumps(self.vocabulary, ensure_ascii=False)


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())


def _word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of `words_of` stand in the text itself."""
    # A capital may become two characters in lower case.
    origin = [place for place, c in enumerate(text) for _ in c.lower()]
    found = (match.span() for match in _WORD.finditer(text.lower()))
    return [(origin[start], origin[end - 1] + 1) for start, end in found]


def is_part(token: str) -> bool:
    """Whether a token is a part of a word (its first character says so)."""
    return token.startswith("#")


def ngrams(words: Sequence[str]) -> Iterator[str]:
    """Every word, every pair of neighbours, every part of a word, with repetitions."""
    yield from words
    for first, second in pairwise(words):
        yield first + _SPACE + second
    for word in words:
        marked = f"<{word}>"
        for size in CHARACTERS:
            for start in range(len(marked) - size + 1):
                yield "#" + marked[start : start + size]


def _ngram_words(words: Sequence[str]) -> Iterator[tuple[int, ...]]:
    """The places of the words that each of `ngrams` came from."""
    yield from ((place,) for place in range(len(words)))
    yield from pairwise(range(len(words)))
    for place, word in enumerate(words):
        marked = len(word) + 2
        for size in CHARACTERS:
            yield from [(place,)] * max(marked - size + 1, 0)
