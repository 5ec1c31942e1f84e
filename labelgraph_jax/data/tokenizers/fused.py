"""Two ways to cut a text at once: n-grams, and a static encoder's tokens."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.data.tokenizers.words import EncodedTexts, Tokenizer


class FusedTokenizer:
    """The ids of a text's n-grams, followed by those of its pieces.

    The ids of pieces count on where those of n-grams end, so that one table has a row
    for each of both.

    Args:
        words: cuts a text into n-grams.
        pieces: cuts it into the tokens of a static encoder.
    """

    def __init__(self, words: NgramTokenizer, pieces: Tokenizer) -> None:
        self.words, self.pieces = words, pieces
        self.pad_id = words.pad_id

    @property
    def vocabulary(self) -> list[str]:
        """Every token, at the index that is its id."""
        return [*self.words.vocabulary, *self.pieces.vocabulary]

    @property
    def vocabulary_size(self) -> int:
        """Rows that an embedding table of these ids needs."""
        return self.words.vocabulary_size + self.pieces.vocabulary_size

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides which ids a document gets."""
        both = self.words.fingerprint + self.pieces.fingerprint
        return hashlib.sha256(both.encode()).hexdigest()

    def encode(
        self, texts: Sequence[str], *, max_length: int, max_windows: int = 1
    ) -> EncodedTexts:
        """Turn texts into ids: of the first `max_length` words, and of as many pieces.

        Args:
            texts: to cut.
            max_length: of either, in one window.
            max_windows: 1; the windows of words and of pieces would not be the same.

        Raises:
            TokenizerError: see both tokenizers.
            ValueError: several windows.
        """
        if max_windows != 1:
            raise ValueError(
                f"max_windows must be 1 of n-grams and pieces, got {max_windows}"
            )
        words = self.words.encode(texts, max_length=max_length)
        pieces = self.pieces.encode(texts, max_length=max_length)
        first = self.words.vocabulary_size
        windows = [
            [np.concatenate([ngrams, own + first])]
            for (ngrams,), (own,) in zip(words.windows, pieces.windows, strict=True)
        ]
        return EncodedTexts(windows, max(words.truncated, pieces.truncated))

    def sources(
        self, text: str, *, max_length: int, max_windows: int = 1
    ) -> tuple[list[tuple[int, int]], list[list[tuple[int, ...]]]]:
        """The words of a text, and which of them each token of `encode` came from.

        A piece came from the words that it shares characters with.

        Returns:
            First and last + 1 character of every word that is read; of the one window,
            per token the places of its words.
        """
        spans, (ngrams, *_) = self.words.sources(text, max_length=max_length)
        own, (pieces, *_) = self.pieces.sources(text, max_length=max_length)
        shared = [
            tuple(i for i, (a, b) in enumerate(spans) if a < end and start < b)
            for start, end in own
        ]
        return spans, [[*ngrams, *(sum((shared[p] for p in o), ()) for o in pieces)]]

    def save(self, folder: str | Path) -> None:
        """Write the files of both."""
        self.words.save(folder)
        self.pieces.save(folder)

    @classmethod
    def load(cls, folder: str | Path) -> "FusedTokenizer":
        """Read what `save` wrote.

        Raises:
            TokenizerError: a file is missing or malformed.
        """
        return cls(NgramTokenizer.load(folder), Tokenizer.load(folder))
