"""Progress of training, or of a long pass over documents: a bar, or lines.

Nothing is shown of a pass unless `shown` enables it: a program that imports the
functions sees no output.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from labelgraph_jax.data.terminal import visible

if TYPE_CHECKING:
    from rich.progress import Progress

    from labelgraph_jax.functional.trees import Batch

Rows = TypeVar("Rows", bound="Batch")

FIRST_LINE_AFTER = 20.0
"""Seconds after which a pass that no terminal shows says how far it is."""
LINE_EVERY = 60.0
"""Seconds between its lines from then on."""

_shown: ContextVar[bool] = ContextVar("progress_shown", default=False)
_open: set[str] = set()
"""Names of the passes being shown; a pass inside another shows nothing."""


@contextmanager
def shown(enabled: bool = True) -> Iterator[None]:
    """Show passes that begin inside on standard error; False hides them again."""
    token = _shown.set(enabled)
    try:
        yield
    finally:
        _shown.reset(token)


def track(batches: Iterable[Rows], *, total: int, what: str) -> Iterator[Rows]:
    """The same batches, telling how many of the documents are done.

    Args:
        batches: each with `example_mask`, bool `[B]`, where rows are padded, and
            without it with `example_index` `[B]`.
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


def terminal_bar(what: str, *columns: str, transient: bool = False) -> "Progress":
    """Make a bar for standard error, not yet started.

    Args:
        what: is being done.
        *columns: texts behind the numbers, in Rich's format.
        transient: the bar vanishes when it stops.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn(visible(what), markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        *map(TextColumn, columns),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=transient,
    )


def _bar(total: int, what: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    bar = terminal_bar(what, "documents", transient=True)
    task = bar.add_task(what, total=total)
    bar.start()
    return (lambda documents: bar.advance(task, documents)), bar.stop


def _lines(total: int, what: str) -> tuple[Callable[[int], None], Callable[[], None]]:
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
        print(visible(said), file=sys.stderr, flush=True)

    return advance, lambda: None


class Display:
    """Training on the screen: a bar on a terminal, a line per epoch elsewhere.

    Args:
        total_steps: where the bar ends.
        step: where it starts.
        enabled: False shows nothing at all.
    """

    def __init__(self, total_steps: int, step: int, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._total = total_steps
        self._bar: Any = None
        self._start = step
        self._mark = time.perf_counter()
        self._documents = 0.0
        self._rate = 0.0

    def __enter__(self) -> "Display":
        self._alone = shown(False)
        self._alone.__enter__()
        if self._enabled and sys.stderr.isatty():
            columns = "loss {task.fields[loss]}", "{task.fields[rate]} documents/s"
            self._bar = terminal_bar("training", *columns)
            self._task = self._bar.add_task(
                "training", total=self._total, completed=self._start, loss="-", rate="-"
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._alone.__exit__(None, None, None)
        if self._bar is not None:
            self._bar.stop()

    def advance(self, step: int, loss: float, documents: float) -> None:
        """One step is done."""
        if self._bar is None:
            return
        self._documents += documents
        elapsed = time.perf_counter() - self._mark
        if elapsed >= 1.0:
            self._rate = self._documents / elapsed
            self._mark, self._documents = time.perf_counter(), 0.0
        rate = f"{self._rate:,.0f}" if self._rate else "-"
        self._bar.update(self._task, completed=step, loss=f"{loss:.4f}", rate=rate)

    def say(self, line: str) -> None:
        """A line above the bar, or by itself."""
        if not self._enabled:
            return
        line = visible(line)
        if self._bar is not None:
            options = {"highlight": False, "markup": False, "emoji": False}
            self._bar.console.print(line, **options)
        else:
            print(line, file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss` from an hour on."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
