"""A service in a process of its own, on loopback."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.xla import flags

FAST = ("--max-batch", "4", "--buckets", "1", "--keep-alive", "5")
QUICK = ("--body-timeout", "1", "--header-timeout", "1")


class Served:
    """A running service.

    Attributes:
        process, address: of it.
        said: what it printed so far.
    """

    def __init__(self, workdir: Path, *options: str, read: bool = True) -> None:
        environment = {
            **os.environ,
            "XLA_FLAGS": flags(1),
            "LABELGRAPH_HUGE_PAGES": "0",
        }
        command = [sys.executable, "-m", "labelgraph_jax", "serve", str(workdir)]
        self.process = subprocess.Popen(
            [*command, "--port", "0", *FAST, *options],
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.said: list[str] = []
        self.address = ""
        self._ready, self._bound = threading.Event(), threading.Event()
        self._reader = threading.Thread(target=self._read)
        if read:
            self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"on (http://[^\s:]+:\d+)", line):
                self.address = found[1]
                self._bound.set()
            if "ready: " in line:
                self._ready.set()
        self._ready.set()
        self._bound.set()

    def wait(self, *, ready: bool = True) -> "Served":
        event = self._ready if ready else self._bound
        assert event.wait(120), self.said
        assert self.address, self.said
        return self

    def end(self, number: int | None = signal.SIGTERM) -> int:
        """Its exit code; None where it was told to end already."""
        if number is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
        try:
            code = self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            assert self.process.stderr is not None
            self.process.stderr.close()
        return code


@pytest.fixture(scope="session")
def served(trained: Path) -> Iterator[Served]:
    """One that all tests share; they leave it healthy."""
    service = Served(trained, *QUICK, "--max-texts", "50", "--max-queue", "60")
    yield service.wait()
    assert service.end() == 0, service.said
