"""Origin of each token in a text: its words, by position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.tokenizers.features import FeatureTokenizer
from labelgraph_jax.data.tokenizers.fused import FusedTokenizer
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.data.tokenizers.words import Tokenizer


@dataclass(frozen=True)
class Trace:
    """A document as words, and its tokens as parts of these words.

    Attributes:
        text: the document.
        words: first and last + 1 character of each word that was read; of features
            nothing.
        names: what each word or feature is called.
        sources: per window, per token, the words that it came from; none for a token
            that frames the text, or stands for a text without a known token.
    """

    text: str
    words: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    sources: tuple[tuple[tuple[int, ...], ...], ...]


def trace(
    tokenizer: Tokenizer | NgramTokenizer | FusedTokenizer | FeatureTokenizer,
    document: Document,
    *,
    max_length: int,
    max_windows: int = 1,
) -> Trace:
    """Return the words that each token of a document came from; tokens as in `encode`.

    A pair of words came from both, a part of a word from that word, a feature from
    itself.
    """
    if isinstance(tokenizer, FeatureTokenizer):
        return _of_features(tokenizer, document, max_length)
    spans, sources = tokenizer.sources(
        document.text, max_length=max_length, max_windows=max_windows
    )
    return Trace(
        document.text,
        tuple(spans),
        tuple(document.text[start:end] for start, end in spans),
        tuple(tuple(window) for window in sources),
    )


def _of_features(
    tokenizer: FeatureTokenizer, document: Document, max_length: int
) -> Trace:
    rows = tokenizer.encode([document], max_length=max_length)
    ids = tokenizer.kept[rows.windows[0][0] - 1]
    values = rows.values[0][0]
    names = tuple(f"{int(i)}:{float(v):.4g}" for i, v in zip(ids, values, strict=True))
    return Trace("", (), names, (tuple((i,) for i in range(len(names))),))


def sum_over_words(
    values: np.ndarray, sources: tuple[tuple[tuple[int, ...], ...], ...], words: int
) -> tuple[np.ndarray, float]:
    """Divide the values of tokens equally among the words that they came from.

    Args:
        values: of the tokens `[W, S]`; places beyond a window's tokens count as frame.
        sources: see `Trace`.
        words: how many there are.

    Returns:
        One number per word, float64, and the rest, of tokens that came from no word.
        Together they add up to the sum of `values`.
    """
    values = np.asarray(values, np.float64)
    sums = np.zeros(words)
    for row, window in zip(values, sources, strict=True):
        for value, origin in zip(row, window, strict=False):
            for word in origin:
                sums[word] += value / len(origin)
    return sums, float(values.sum() - sums.sum())
