"""Signals: a run that is told to stop comes to an orderly end."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class StopRequestedError(BaseException):
    """A signal came while the parameters were being evaluated."""


@dataclass
class Stop:
    """A wish to stop, carried from a signal to the loop."""

    requested: bool = False
    interruptible: bool = False

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


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """SIGTERM and the first Ctrl-C ask for a stop; a second Ctrl-C is a plain one."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, _: object) -> None:
        stop.requested = True
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if stop.interruptible:
            raise StopRequestedError

    before = {
        number: signal.signal(number, handle)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
