"""How long the first second of use takes: the import, and the command's help.

    python -m experiments.benchmarks.imports [--repeats 5] [--out FOLDER]

Every run is a fresh process with warm file caches (one run beforehand is not counted);
the median counts. Targets: the import within 1.5 s, the help within 1 s. The rows
without a target say what the import puts off until it is asked for.
"""

import argparse
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks import measure
from experiments.study import markdown_table

TARGETS = {"import labelgraph_jax": 1.5, "labelgraph --help": 1.0}


def commands() -> dict[str, list[str]]:
    """What is timed, by name."""
    installed = Path(sysconfig.get_path("scripts")) / "labelgraph"
    command = (
        [str(installed)]
        if installed.is_file()
        else [sys.executable, "-m", "labelgraph_jax.cli.app"]
    )
    code = {
        "python alone": "pass",
        "import labelgraph_jax": "import labelgraph_jax",
        "import jax": "import jax",
        "and every public name": "from labelgraph_jax import *",
    }
    lines = {name: [sys.executable, "-c", line] for name, line in code.items()}
    return {**lines, "labelgraph --help": [*command, "--help"]}


def seconds(command: Sequence[str]) -> float:
    """Wall seconds of one fresh process.

    Raises:
        RuntimeError: it failed.
    """
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return took


def benchmark(repeats: int) -> dict[str, Any]:
    """Median and range of every command, in turns."""
    result: dict[str, Any] = {"machine": measure.machine_facts(), "repeats": repeats}
    times: dict[str, list[float]] = {name: [] for name in commands()}
    for turn in range(repeats + 1):
        for name, command in commands().items():
            took = seconds(command)
            if turn:
                times[name].append(took)
    result["rows"] = {
        name: {
            "median": statistics.median(taken),
            "lowest": min(taken),
            "highest": max(taken),
            "target": TARGETS.get(name),
        }
        for name, taken in times.items()
    }
    return result


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    rows = []
    for name, row in result["rows"].items():
        target = row["target"]
        verdict = ""
        if target is not None:
            verdict = f"{target} s: {'met' if row['median'] < target else 'missed'}"
        span = f"{row['lowest']:.2f} to {row['highest']:.2f}"
        rows.append([f"`{name}`", f"{row['median']:.2f}", span, verdict])
    table = markdown_table(["fresh process", "s, median", "range", "target"], rows)
    machine = measure.machine_line(result["machine"])
    return f"{result['repeats']} runs each; {machine}.\n\n{table}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Time the imports, print the report and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", default="", help="folder for JSON and Markdown")
    options = parser.parse_args(arguments)
    result = benchmark(options.repeats)
    print(report(result))
    measure.save(options.out, "imports", result, report(result))


if __name__ == "__main__":
    main()
