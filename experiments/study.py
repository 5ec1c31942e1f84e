"""What the experiments have in common: a command line, its lines, where it was run."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import tyro

from experiments.pod import Pod, joined

Arguments = TypeVar("Arguments")


def run_command(
    name: str,
    arguments: type[Arguments],
    compute: Callable[[Arguments, str, Pod], object],
    given: Sequence[str] | None = None,
    *,
    before: Callable[[], object] = lambda: None,
) -> int:
    """Run the command line of an experiment.

    Args:
        name: of its module in `experiments`.
        arguments: its options, a dataclass with `work`, `out` and `quiet`.
        compute: `compute(chosen, command, pod)`, with the options as they were typed.
        given: the words of the command line; this process's own by default.
        before: see `experiments.pod.joined`.

    Returns:
        The exit code: 2 where an argument or the data is wrong, 130 where it was
        stopped.
    """
    words = list(sys.argv[1:] if given is None else given)
    chosen = tyro.cli(arguments, args=words, prog=f"python -m experiments.{name}")
    try:
        with joined(chosen, before=before) as pod:
            compute(chosen, shlex.join(words), pod)
    except KeyboardInterrupt:
        print("stopped; run the command again to go on", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def progress(pod: Pod, *, quiet: bool) -> Callable[[str], None]:
    """What takes a line about what is going on: standard error, on process 0 alone."""
    if quiet or not pod.writes:
        return lambda line: None
    return lambda line: print(line, file=sys.stderr, flush=True)


def keep_compilations(folder: Path) -> None:
    """Cells that differ in numbers alone compile once, over all tables and calls."""
    import jax

    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        jax.config.update("jax_compilation_cache_dir", str(folder.absolute()))


def commit() -> str:
    """The commit that these numbers were computed at, or 'unknown'."""
    try:
        ran = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return ran.stdout.strip()
