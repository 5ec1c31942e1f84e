"""The corpora that need no file of one's own, found by name."""

from __future__ import annotations

from pathlib import Path

from labelgraph_jax.data.corpora.stdlib_docs import stdlib_docs
from labelgraph_jax.data.documents import Corpus, DataError

__all__ = ["corpus_names", "load_corpus"]


def corpus_names() -> tuple[str, ...]:
    """The names that `load_corpus` knows, the embedded default first."""
    return ("stdlib_docs",)


def load_corpus(
    name: str,
    *,
    data_dir: str | Path | None = None,
    protocol: str | None = None,
    cache_dir: str | Path | None = None,
) -> Corpus:
    """Loads a corpus by name."""
    if name == "stdlib_docs":
        return stdlib_docs()
    raise DataError(f"unknown corpus {name!r}")
