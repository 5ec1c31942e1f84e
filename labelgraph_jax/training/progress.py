"""How far a long pass over documents has come: a bar, or a line now and then.

Nothing is shown unless `shown` says so: whoever imports the functions sees no output.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

FIRST_LINE_AFTER = 20.0
"""Seconds after which a pass that no terminal shows says how far it is."""
LINE_EVERY = 60.0
"""Seconds between its lines from then on."""

_shown: ContextVar[bool] = ContextVar("progress_shown", default=False)
_open: set[str] = set()
"""What is being shown: a pass inside another shows nothing of its own."""


@contextmanager
def shown(enabled: bool = True) -> Iterator[None]:
    """Show passes that begin inside on standard error; False hides them again."""
    token = _shown.set(enabled)
    try:
        yield
    finally:
        _shown.reset(token)


def track(
    batches: Iterable[Mapping[str, Any]], *, total: int, what: str
) -> Iterator[Any]:
    """The same batches, telling how many of the documents are done.

    Args:
      batches: each with `example_mask`, bool `[B]`, where rows are padded, and without
        it with `example_index` `[B]`.
      total: documents in all of them.
      what: is being done, as `"scoring"`.
    """
    if not _shown.get() or _open or total < 1:
        yield from batches
        return
    advance, end = (_bar if sys.stderr.isatty() else _lines)(total, what)
    _open.add(what)
    try:
        for batch in batches:
            yield batch
            rows = batch.get("example_mask")
            done = len(batch["example_index"]) if rows is None else int(rows.sum())
            advance(done)
    finally:
        _open.discard(what)
        end()


def _bar(total: int, what: str) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("documents"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(what, total=total)
    bar.start()
    return (lambda documents: bar.advance(task, documents)), bar.stop


def _lines(total: int, what: str) -> tuple[Any, Any]:
    start = time.monotonic()
    at = {"done": 0, "next": start + FIRST_LINE_AFTER}

    def advance(documents: int) -> None:
        at["done"] += documents
        now = time.monotonic()
        if now < at["next"] or at["done"] >= total:
            return
        at["next"] = now + LINE_EVERY
        left = (now - start) * (total - at["done"]) / max(at["done"], 1)
        said = f"{what}: {at['done']:,} of {total:,} documents, {clock(left)} left"
        print(said, file=sys.stderr, flush=True)

    return advance, lambda: None


def clock(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss` from an hour on."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
