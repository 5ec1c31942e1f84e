"""One live run for a work directory: a lock that names its owner.

The lock is the operating system's (`flock`), so that a run which is killed lets go of
it; `filelock` has no shared lock, by which `holder` asks without taking. Storage that
knows no locks between machines (a mounted bucket) keeps apart only the runs of one
machine.
"""

import contextlib
import errno
import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from labelgraph_jax.data.files import naming, parse_json
from labelgraph_jax.predictors.workdir import WorkdirError

LOCK_NAME = ".lock"
_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS}


class WorkdirLock:
    """Held while a run writes; a context manager.

    Args:
        path: the work directory, which must exist.

    Raises:
        WorkdirError: another live run holds it; says which.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path) / LOCK_NAME
        self._file: IO[str] | None = None

    def __enter__(self) -> "WorkdirLock":
        # Read and written through one handle: opening must not empty another's file.
        with naming(self.path), contextlib.ExitStack() as stack:
            file = stack.enter_context(self.path.open("a+", encoding="utf-8"))
            _take(file, self.path.parent)
            file.seek(0)
            file.truncate()
            json.dump(_this_process(), file)
            file.flush()
            stack.pop_all()
        self._file = file
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            self._file.close()  # lets go of the lock
            self._file = None


def holder(path: str | Path) -> str | None:
    """The live run that holds a work directory, in words; None where there is none."""
    lock = Path(path) / LOCK_NAME
    try:
        with lock.open("r", encoding="utf-8") as file:
            return None if _lock(file, shared=True) else _describe(file.read())
    except OSError:
        return None


def _take(file: IO[str], folder: Path) -> None:
    """Lock it, or say who has; someone who only asks (`holder`) is gone at once."""
    for attempt in range(5):
        if attempt:
            time.sleep(0.05)
        if _lock(file):
            return
        file.seek(0)
        owner = file.read()
        if owner:
            break
    raise WorkdirError(
        f"{folder}: another run is at work here ({_describe(owner)}); wait for it, "
        "stop it, or choose another --workdir"
    )


def _lock(file: IO[str], *, shared: bool = False) -> bool:
    """Take the lock without waiting; True too where there are no locks."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return True
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _this_process() -> dict[str, int | str]:
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _describe(text: str) -> str:
    owner: Any = None
    with contextlib.suppress(ValueError):
        owner = parse_json(text)
    if not isinstance(owner, dict) or "process" not in owner:
        return "its owner is not written down yet"
    return (
        f"process {owner['process']} on {owner.get('host')}, since {owner.get('since')}"
    )
