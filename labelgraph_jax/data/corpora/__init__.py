"""The corpora that need no file of one's own, found by name."""

from __future__ import annotations

import importlib
from pathlib import Path

from labelgraph_jax.config.wording import nearest_names
from labelgraph_jax.data.documents import Corpus, DataError

__all__ = ["corpus_names", "is_corpus", "load_corpus"]

_EMBEDDED = "stdlib_docs"
_PLANTED = "planted"
_PUBLIC = (
    "reuters21578",
    "goemotions",
    "toxic_comment",
    "eurlex57k",
    "aapd",
    "rcv1v2",
    "slashdot",
)


def corpus_names() -> tuple[str, ...]:
    """The names that `load_corpus` knows, the embedded default first."""
    return (_EMBEDDED, *_PUBLIC, _PLANTED)


def is_corpus(name: str) -> bool:
    """Return True if `load_corpus` knows a name; `planted` may have settings in it."""
    return name in corpus_names() or name.startswith(f"{_PLANTED}:")


def load_corpus(
    name: str,
    *,
    data_dir: str | Path | None = None,
    protocol: str | None = None,
    cache_dir: str | Path | None = None,
) -> Corpus:
    """Load a corpus by name.

    `stdlib_docs` is collected from the running interpreter. `planted`, or
    `planted:labels=1000,documents=5000,seed=0`, is drawn, see `corpora.planted`; the
    settings may stand in `protocol` too. The others are public:
    read from a local copy if there is one, else downloaded from their public home,
    and prepared once as TFDS array_record files.

    Args:
        name: one of `corpus_names()`.
        data_dir: a folder that holds a folder called `name` with the corpus's files;
            without it the folder that the variable LABELGRAPH_DATA names.
        protocol: how the corpus is split, where there is a choice; its default is
            the usual one (Reuters: modapte, not random80).
        cache_dir: for downloads and prepared files; `labelgraph_jax` in
            XDG_CACHE_HOME or ~/.cache without it.

    Returns:
        The corpus; a split that its protocol does not have is empty.

    Raises:
        DataError: no such corpus or protocol, or its files are nowhere, damaged, or
            not those of the corpus. The message says what to do.
    """
    if name == _EMBEDDED:
        _check_choice("protocol of stdlib_docs", protocol or "default", ("default",))
        from labelgraph_jax.data.corpora.stdlib_docs import stdlib_docs

        return stdlib_docs()
    if name.partition(":")[0] == _PLANTED:
        from labelgraph_jax.data.corpora.planted import plant
        from labelgraph_jax.data.corpora.planted_settings import read_spec

        settings = name.partition(":")[2], protocol or ""
        return plant(read_spec(",".join(filter(None, settings)))).corpus
    _check_choice("corpus", name, corpus_names())
    package = f"{__name__}.{name}"
    source = importlib.import_module(package).SOURCE
    protocol = protocol or source.protocols[0]
    _check_choice(f"protocol of {name}", protocol, source.protocols)
    from labelgraph_jax.data.corpora.prepared import load_prepared

    return load_prepared(
        source, package, protocol, data_dir=data_dir, cache_dir=cache_dir
    )


def _check_choice(what: str, got: str, known: tuple[str, ...]) -> None:
    if got in known:
        return
    nearest = nearest_names(str(got), known, cutoff=0.0)
    raise DataError(
        f"{what} must be one of {', '.join(known)}; got {got!r} - did you mean "
        f"{nearest[0] if nearest else known[0]}?"
    )
