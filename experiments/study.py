"""What the experiments share: a command line, records, tables, Student's interval."""

import dataclasses
import json
import math
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tyro

from experiments.pod import Pod, joined
from labelgraph_jax.config import ConfigError

Arguments = TypeVar("Arguments")
LOCAL = ("--data-dir", "--work", "--out")
"""Options that say where files are on a machine."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What every study is told; its own options come beside these."""

    data_dir: str = ""
    """Folder of local corpus copies; else LABELGRAPH_DATA, else the public home."""
    out: str = "experiments/results"
    """Where tables go."""
    quiet: bool = False


def require_at_least_one(chosen: Any, *names: str) -> None:
    """Refuse a count below 1.

    Args:
        chosen: the options.
        names: of its fields.

    Raises:
        ConfigError: names the option as it is typed.
    """
    for name in names:
        if (value := getattr(chosen, name)) < 1:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} must be at least 1, got {value}")


def write_record(out: str, name: str, record: Mapping[str, Any], page: str) -> None:
    """Write the numbers of a study and its page, and say where they are.

    Args:
        out: the folder.
        name: of both files.
        record: JSON values.
        page: Markdown.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = json.dumps(record, indent=1) + "\n"
    (folder / f"{name}.json").write_text(numbers, encoding="utf-8")
    (folder / f"{name}.md").write_text(page, encoding="utf-8")
    print(f"Everything is in {folder / name}.md")


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
        compute: `compute(chosen, command, pod)`, with the command as it was typed, but
            for the folders of this machine.
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
            compute(chosen, _recorded(name, words), pod)
    except KeyboardInterrupt:
        print("stopped; run the command again to go on", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _recorded(name: str, words: Sequence[str]) -> str:
    """What is written down of a command line: all that decides its numbers."""
    kept = ["python", "-m", f"experiments.{name}"]
    skip = False
    for word in words:
        option, equals, _ = word.partition("=")
        if skip or option in LOCAL:
            skip = not skip and not equals
            continue
        if word != "--quiet":
            kept.append(word)
    return shlex.join(kept)


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


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its header."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def student_interval(pairs: np.ndarray) -> list[float] | None:
    """Interval mean +- t_{S-1, 0.975} sd / sqrt(S); None for fewer than two values."""
    from scipy import stats

    if len(pairs) < 2:
        return None
    half = (
        stats.t.ppf(0.975, len(pairs) - 1) * pairs.std(ddof=1) / math.sqrt(len(pairs))
    )
    return [float(pairs.mean() - half), float(pairs.mean() + half)]
