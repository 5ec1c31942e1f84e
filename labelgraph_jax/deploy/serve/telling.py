"""The log of a service, written by a thread of its own.

Whoever reads the log may be slow, stuck or gone: no client waits for it, and the
service ends all the same.
"""

import contextlib
import queue
import threading
from collections.abc import Callable

Say = Callable[[str], None]

MOST_LINES = 1_000
"""Lines that wait; further ones are dropped."""


class Teller:
    """Takes lines at once, and says them one after the other; started by itself."""

    def __init__(self) -> None:
        self._lines: queue.Queue[tuple[Say, str] | None] = queue.Queue(MOST_LINES)
        self._thread = threading.Thread(
            target=self._say_all, name="serve_say", daemon=True
        )
        self._thread.start()

    def through(self, say: Say) -> Say:
        """Return what takes a line for `say`; what that raises is passed over."""

        def take(line: str) -> None:
            with contextlib.suppress(queue.Full):
                self._lines.put_nowait((say, line))

        return take

    def end(self, seconds: float = 1.0) -> bool:
        """Say what waits; tell whether all was said within so many seconds."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=seconds)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _say_all(self) -> None:
        while (waiting := self._lines.get()) is not None:
            say, line = waiting
            with contextlib.suppress(Exception):
                say(line)
