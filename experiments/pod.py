"""One experiment on many hosts: its parts are divided, and process 0 writes it down.

The same command runs once on every host, as for `labelgraph train`. Every process
computes some of the parts, on its own devices alone, into the work folder, which all of
them share; then process 0 goes through the whole experiment, finds every part there,
and writes the results. With one process nothing of this happens.

While parts are computed the processes leave each other word in the work folder: a
collective would not wait for hours, and would keep the devices busy meanwhile.
"""

import dataclasses
import shutil
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")

SHARED_SECONDS = 10.0
"""How long a file of process 0 may take to be seen by the others."""
PARTING_SECONDS = 30.0
"""How long process 0 stays for the others, whom its end would abort."""
_POLL_SECONDS = 0.2


def share(items: Sequence[Item], index: int, count: int) -> list[Item]:
    """What process `index` of `count` computes: every `count`-th item, in order."""
    return list(items)[index::count]


@dataclasses.dataclass(frozen=True)
class Pod:
    """The processes of an experiment, as one of them sees them.

    Attributes:
        index: which process this is.
        count: how many there are.
        folder: in which they leave each other word.
        quiet: whether process 0, too, says nothing.
    """

    index: int = 0
    count: int = 1
    folder: Path = Path()
    quiet: bool = False

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1

    @property
    def writes(self) -> bool:
        """Whether this process goes through the whole and writes the results."""
        return self.index == 0

    def on(self, hardware: str) -> str:
        """The machine of a result, and how many processes worked at it."""
        return f"{hardware}, {self.count} processes" if self.several else hardware

    def fill(
        self, what: str, items: Sequence[Item], compute: Callable[[Item], object]
    ) -> None:
        """Compute this process's share of the items, then wait for the others.

        Does nothing with one process: whoever asks for a part then computes it.

        Args:
            what: they are, in the plural.
            items: the same on every process, independent of each other.
            compute: keeps what it gives in the work folder.

        Raises:
            ValueError: another process failed; says where and why.
            KeyboardInterrupt: another process was stopped.
        """
        if not self.several:
            return
        shares = [share(items, index, self.count) for index in range(self.count)]
        if self.writes and not self.quiet:
            sizes = ", ".join(str(len(part)) for part in shares)
            line = f"{self.count} processes share {len(items)} {what}: {sizes}"
            print(line, file=sys.stderr, flush=True)
        for item in shares[self.index]:
            self._listen()
            compute(item)
        self._tell("filled", what)
        for index in range(self.count):
            self._wait("filled", what, index)

    def first_then_others(self, what: str, task: Callable[[], Value]) -> Value:
        """Run a task on process 0, then on the others: they find what it has cached."""
        if not self.several:
            return task()
        if not self.writes:
            self._wait("had", what, 0)
            return task()
        value = task()
        self._tell("had", what)
        return value

    def _part(self, error: BaseException | None) -> None:
        """The last word to the others; process 0 goes last and cleans up."""
        if isinstance(error, KeyboardInterrupt):
            if not isinstance(error, _HeardStopError):
                self._tell("stopped")
        elif error is not None:
            if not isinstance(error, _HeardError):
                said = " ".join(str(error).split()) or type(error).__name__
                self._tell("failed", text=said)
        elif self.writes:
            self._tell("written")
        if not self.writes:
            self._tell("gone")
            return
        end = time.monotonic() + PARTING_SECONDS
        others = [self._word("gone", "", index) for index in range(1, self.count)]
        while not all(map(Path.is_file, others)) and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        if error is not None:
            time.sleep(1)  # they say why, too
        shutil.rmtree(self.folder, ignore_errors=True)

    def _word(self, kind: str, what: str, index: int) -> Path:
        return self.folder / "-".join([kind, *what.split(), str(index)])

    def _tell(self, kind: str, what: str = "", text: str = "") -> None:
        with whole(self._word(kind, what, self.index)) as path:
            path.write_text(text, encoding="utf-8")

    def _wait(self, kind: str, what: str, index: int) -> None:
        """Until that process tells; raises when any process fails meanwhile."""
        word = self._word(kind, what, index)
        while not word.is_file():
            self._listen()
            time.sleep(_POLL_SECONDS)

    def _listen(self) -> None:
        for path in sorted(self.folder.iterdir()):
            kind, _, index = path.name.rpartition("-")
            if not index.isdecimal():
                continue
            if kind == "stopped":
                raise _HeardStopError(f"process {index} was stopped")
            if kind == "failed":
                reason = path.read_text(encoding="utf-8")
                raise _HeardError(f"process {index} failed: {reason}")


ALONE = Pod()
"""An experiment of one process."""


class _HeardError(ValueError):
    """Another process failed."""


class _HeardStopError(KeyboardInterrupt):
    """Another process was stopped."""


@contextmanager
def joined(
    chosen: Any, *, before: Callable[[], object] = lambda: None
) -> Iterator[Pod]:
    """This process among the others of the same experiment, where there are any.

    Within, SIGTERM is a KeyboardInterrupt where there are several. An error or a stop
    of one process ends all of them, each at its next part.

    Args:
        chosen: the arguments, a dataclass with `work`, `out` and `quiet`.
        before: run before the devices are looked at, where processes were joined.

    Raises:
        HostsError: the processes cannot be one experiment: other arguments, other code,
            or folders of their own.
    """
    from labelgraph_jax.training import hosts

    if not hosts.initialise():
        yield ALONE
        return
    import jax

    before()
    if jax.process_count() == 1:
        yield ALONE
        return
    _require_one_experiment(chosen)
    token = f".pod-{uuid.uuid4().hex}" if hosts.is_first() else ""
    token = hosts.gather_text(token)[0]
    folder = Path(chosen.work) / token
    _require_shared(folder, "--work")
    _require_shared(Path(chosen.out) / f"{token}-out", "--out")
    if hosts.is_first():
        (Path(chosen.out) / f"{token}-out").rmdir()
    pod = Pod(jax.process_index(), jax.process_count(), folder, chosen.quiet)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield pod
        if not pod.writes:
            pod._wait("written", "", 0)
    except BaseException as error:
        pod._part(error)
        raise
    pod._part(None)


def end(main: Callable[[], int]) -> None:
    """Run a command line to its exit code, as one of several processes or alone."""
    try:
        code = main()
    except Exception:
        if not _joined():
            raise
        traceback.print_exc()
        code = 1
    if code and _joined():
        from labelgraph_jax.training.hosts import leave

        leave(code)
    sys.exit(code)


def _joined() -> bool:
    jax = sys.modules.get("jax")
    return jax is not None and bool(jax.distributed.is_initialized())


def _require_one_experiment(chosen: Any) -> None:
    import jax

    from labelgraph_jax.data.files import code_fingerprint
    from labelgraph_jax.training.hosts import require_same

    facts = {
        f"--{name.replace('_', '-')}": repr(value)
        for name, value in dataclasses.asdict(chosen).items()
    }
    facts |= {
        "the experiment": type(chosen).__module__.rpartition(".")[2]
        + str(type(chosen).__doc__),
        "the code of labelgraph_jax": code_fingerprint(),
        "the code of the experiments": code_fingerprint(Path(__file__).parent),
        "the version of jax": jax.__version__,
    }
    require_same(facts)


def _require_shared(place: Path, option: str) -> None:
    """Every process must see the folder that process 0 makes."""
    from labelgraph_jax.training.hosts import HostsError, is_first, on_first, together

    on_first(lambda: place.mkdir(parents=True, exist_ok=True))

    def look() -> None:
        end = time.monotonic() + SHARED_SECONDS
        while not place.is_dir():
            if time.monotonic() > end:
                raise HostsError(
                    f"{option} {place.parent}: is not the folder that process 0 sees "
                    "under this name; it must lie on storage that all processes share"
                )
            time.sleep(_POLL_SECONDS)

    try:
        together(look)
    except (ValueError, OSError):
        if is_first():
            place.rmdir()
        raise


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write to, which is `path` afterwards, whole or not at all.

    Its name is nobody else's, so that two processes can write the same part.
    """
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
