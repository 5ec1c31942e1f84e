"""Signals: a run that is told to stop comes to an orderly end."""

import ctypes
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jax

from labelgraph_jax.data.terminal import last_words


class StopRequestedError(BaseException):
    """A stop was asked for where nothing needs an orderly end."""


class StoppedError(KeyboardInterrupt):
    """A run that a signal ended; the same call goes on.

    Attributes:
        by: name of the signal.
        where: how far the run had come, in words.
    """

    def __init__(self, by: str, where: str) -> None:
        super().__init__(f"stopped by {by} {where}")
        self.by, self.where = by, where


@dataclass
class Stop:
    """A wish to stop, carried from a signal to the loop.

    With several processes a SIGTERM on one of them, which is how a scheduler tells of a
    preemption, stops all of them at the same `poll`.
    """

    requested: bool = False
    interruptible: bool = False
    by: str = "SIGTERM"
    polls: int = 0
    where: str = "before the first step, so there was nothing to save"

    def poll(self) -> bool:
        """Return True if the run is to stop; all processes must call it as often."""
        if not self.requested and _shares_notice():
            from jax.experimental import multihost_utils

            self.requested = multihost_utils.reached_preemption_sync_point(self.polls)
            self.polls += 1
        return self.requested

    def check(self) -> None:
        """Raise where `poll` says so: between two pieces of work without a state.

        Raises:
            StopRequestedError: a stop is asked for.
        """
        if self.poll():
            raise StopRequestedError

    @contextmanager
    def during(self, *, leaving: bool = False) -> Iterator[None]:
        """Within, a signal raises at once: nothing here needs an orderly end.

        With several processes a signal waits for the next `poll`.

        Args:
            leaving: there is nothing to save, so that of several processes each may end
                when it is told to, with exit code 0; a scheduler tells all of them.

        Raises:
            StopRequestedError: a signal came, before or within.
        """
        main = threading.current_thread() is threading.main_thread()
        if leaving and main and _shares_notice():
            with _leaving_on_sigterm(self):
                yield
            return
        self.interruptible = True
        try:
            if self.requested:
                raise StopRequestedError
            yield
        finally:
            self.interruptible = False


@contextmanager
def _leaving_on_sigterm(stop: Stop) -> Iterator[None]:
    """SIGTERM ends the process; after it JAX has the signal again.

    JAX's handler is not Python's, so that only the C library can put it back.
    """
    library = ctypes.CDLL(None)
    library.signal.restype = ctypes.c_void_p
    library.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    of_jax = library.signal(signal.SIGTERM, None)

    def leave(*_: object) -> None:
        last_words(
            f"labelgraph: stopped by SIGTERM {stop.where}; run the command again\n"
        )
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        library.signal(signal.SIGTERM, of_jax)


def _shares_notice() -> bool:
    """Return True if JAX carries a SIGTERM from one process to all."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """SIGTERM and the first Ctrl-C ask for a stop; the second does what it did before.

    Where several processes are one run JAX holds SIGTERM, and Ctrl-C is passed on to
    it as one.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    shared = _shares_notice()
    before: dict[int, Any] = {}

    def handle(number: int, _: object) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, before.get(number) or signal.SIG_DFL)
            stop.by = "Ctrl-C"
        if shared:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        stop.requested = True
        if stop.interruptible:
            raise StopRequestedError

    numbers = (signal.SIGINT,) if shared else (signal.SIGTERM, signal.SIGINT)
    before.update({number: signal.signal(number, handle) for number in numbers})
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
