"""Signals: a run that is told to stop comes to an orderly end."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax


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

    def poll(self) -> bool:
        """Whether to stop now; every process must call it equally often."""
        if not self.requested and _shares_notice():
            from jax.experimental import multihost_utils

            self.requested = multihost_utils.reached_preemption_sync_point(self.polls)
            self.polls += 1
        return self.requested

    def check(self) -> None:
        """Raise where `poll` says so: between two pieces of work without a state."""
        if self.poll():
            raise StopRequestedError

    @contextmanager
    def during(self) -> Iterator[None]:
        """Within, a signal raises at once: nothing here needs an orderly end."""
        self.interruptible = True
        try:
            if self.requested:
                raise StopRequestedError
            yield
        finally:
            self.interruptible = False


def _shares_notice() -> bool:
    """Whether JAX carries a SIGTERM from one process to all."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """SIGTERM and the first Ctrl-C ask for a stop; a second Ctrl-C is a plain one.

    Where several processes are one run JAX holds SIGTERM, and Ctrl-C is passed on to
    it as one.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    shared = _shares_notice()

    def handle(number: int, _: object) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            stop.by = "Ctrl-C"
        if shared:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        stop.requested = True
        if stop.interruptible:
            raise StopRequestedError

    numbers = (signal.SIGINT,) if shared else (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
