r"""Collects finished work directories into one table of results, JSON and Markdown.

    python -m experiments.collect --out experiments/results/classifiers-reuters21578 \
        "labelgraph train --preset minilm-finetune --workdir runs/a=runs/a" ...

Each argument is the command of a run, `=`, and its work directories, separated by
commas: one for each seed. The numbers are read from their results.json; nothing is
typed in.
"""

import argparse
import json
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from labelgraph_jax.runs.result_rows import result_rows

METRICS = ("micro_f1", "macro_f1", "samples_f1", "hamming_loss", "P@1", "nDCG@5", "mAP")


def hardware() -> str:
    """Processor, cores and JAX version of this machine."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(x.split(":", 1)[1].strip() for x in lines if "model name" in x)
        cores = sum(x.startswith("processor") for x in lines)
    except (OSError, StopIteration):
        cores = 0
    return f"{name}, {cores} cores, jax {jax.__version__}"


def rows_of(command: str, workdirs: Sequence[str]) -> list[dict[str, Any]]:
    """One row per setting and metric: mean and spread over the work directories."""
    runs = [
        json.loads((Path(w) / "results.json").read_text(encoding="utf-8"))
        for w in workdirs
    ]
    rows = []
    for setting, _ in result_rows(runs[0]):
        # A baseline's row has the baseline's own time, not that of the model beside it.
        baseline = runs[0]["baseline"]
        is_baseline = baseline is not None and setting in baseline["metrics"]
        timed = "baseline" if is_baseline else "training"
        for metric in METRICS:
            values = [dict(result_rows(run))[setting][metric] for run in runs]
            rows.append(
                {
                    "corpus": runs[0]["corpus"],
                    "split": runs[0]["split"],
                    "test_documents": runs[0]["test"]["documents"],
                    "setting": setting.strip(),
                    "metric": metric,
                    "mean": statistics.fmean(values),
                    "sd": statistics.stdev(values) if len(values) > 1 else None,
                    "seeds": [run["seed"] for run in runs],
                    "command": command,
                    "hardware": hardware(),
                    "seconds": [run[timed]["seconds"] for run in runs],
                }
            )
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A table with a line per command and setting."""
    head = ["command", "setting", *METRICS, "seeds", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["command"], row["setting"]), []).append(row)
    for (command, setting), cells in groups.items():
        numbers = [
            f"{c['mean']:.4f}" + (f" ± {c['sd']:.4f}" if c["sd"] is not None else "")
            for c in cells
        ]
        seconds = max(cells[0]["seconds"])
        line = [f"`{command}`", setting, *numbers]
        line += [str(len(cells[0]["seeds"])), f"{seconds:,.0f}"]
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the work directories and writes OUT.json and OUT.md."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, help="path without suffix")
    parser.add_argument("runs", nargs="+", metavar="COMMAND=WORKDIR[,WORKDIR...]")
    chosen = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    for run in chosen.runs:
        command, separator, workdirs = run.rpartition("=")
        if not separator or not workdirs:
            parser.error(f"{run!r} must read COMMAND=WORKDIR[,WORKDIR...]")
        rows += rows_of(command, workdirs.split(","))
    out = Path(chosen.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    out.with_suffix(".md").write_text(markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
