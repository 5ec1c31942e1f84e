"""Ctrl-C and SIGTERM, from the first moment of the program to its last.

Imported before anything that takes time: a stop while the program is still being loaded
ends it, in one line. A run that trains holds both signals itself for as long as there
is something to save, see `training.signals`; what stands here is true before and after.
"""

import contextlib
import os
import signal
import threading
import time
import types
from collections.abc import Callable

from labelgraph_jax.data.terminal import last_words

BEFORE = "before the first step, so there was nothing to save"
AT_ONCE = "at once; it goes on from what was saved last"
AFTER = "after training, which is saved"

ENDED_WELL = ("train", "serve")
"""Verbs that SIGTERM ends as it should: nothing is lost."""

PATIENCE = 1.0
"""Seconds in which a second Ctrl-C should have been noticed."""
_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came while there was something to tidy up."""

    by = "SIGTERM"


class Interrupts:
    """The effect of both signals on this process.

    Attributes:
        where: how far a run that trains has come, in words.
    """

    def __init__(self) -> None:
        self.where = BEFORE
        self._verb = ""

    def begin(self, verb: str) -> None:
        """Take the signals, and those that came while the program started over.

        Args:
            verb: the command's; `train` goes on when it is typed again.
        """
        self._verb = verb
        self._take(self._end_at_once)
        self._let_through()

    def hold(self) -> None:
        """Keep both signals back until `begin` is called by the program started over.

        Its interpreter takes a moment to come up, and has no handler until then.
        """
        with contextlib.suppress(AttributeError):
            signal.pthread_sigmask(signal.SIG_BLOCK, _NAMES)

    def ready(self) -> None:
        """The verb begins: where there may be something to tidy up, signals raise."""
        if self._verb != "train":
            self._take(self._raise_once)
        self._let_through()

    def watch(self) -> None:
        """Let a second Ctrl-C end the process also while it is deep in a library.

        A compilation, or a tokenizer, may keep the thread of signals busy: what the
        operating system writes down about them is read by another thread.
        """
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

        def wait() -> None:
            presses = 0
            while numbers := os.read(reading, 16):
                presses += numbers.count(signal.SIGINT)
                if presses > 1:
                    time.sleep(PATIENCE)
                    self._end_at_once(signal.SIGINT, None)

        threading.Thread(target=wait, name="interrupts", daemon=True).start()

    def end(self, code: int) -> None:
        """Let a signal from now on end the process with the exit code that it has."""
        self._take(lambda *_: os._exit(code))

    def _let_through(self) -> None:
        with contextlib.suppress(AttributeError):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _NAMES)

    def _take(self, handle: Callable[[int, types.FrameType | None], object]) -> None:
        for number in _NAMES:
            # A parent may have the process live through Ctrl-C (`nohup`, `&`).
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handle)

    def lost(self, error: KeyboardInterrupt) -> None:
        """End the process, where what a signal raised went nowhere."""
        is_term = isinstance(error, TerminatedError)
        self._end_at_once(signal.SIGTERM if is_term else signal.SIGINT, None)

    def _raise_once(self, number: int, frame: types.FrameType | None) -> None:
        self._take(self._end_at_once)
        if _is_importing(frame):
            # There is nothing to tidy up, and a library whose own start is broken off
            # may end in a fault of memory.
            self._end_at_once(number, frame)
        raise KeyboardInterrupt if number == signal.SIGINT else TerminatedError

    def _end_at_once(self, number: int, _: types.FrameType | None) -> None:
        said, code = "labelgraph: stopped", _CODES[signal.Signals(number)]
        if self._verb == "train":
            name = _NAMES[signal.Signals(number)]
            said += f" by {name} {self.where}; run the command again to go on"
        if self._verb in ENDED_WELL and number == signal.SIGTERM:
            code = 0
        last_words(said + "\n")
        os._exit(code)


def _is_importing(frame: types.FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


interrupts = Interrupts()
"""Those of this process."""
