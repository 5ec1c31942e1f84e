"""The record of a study as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.text.runs import TITLES

METRICS = {"micro_f1": "micro-F1", "macro_f1": "macro-F1"}


def markdown(record: Mapping[str, Any]) -> str:
    """The whole page."""
    parts = [
        f"# {record['title']}",
        f"{record['documents']} `{record['command']}`, commit {record['commit']}, "
        f"{record['hardware']}; {record['seconds']:,.0f} s of training and scoring "
        f"for {len(record['ways'])} ways of {record['seeds']} seeds, on a machine busy "
        "with other work. Decided by a rule fitted on validation documents; epochs "
        "from validation; the test documents were scored once per run.",
        "## F1 of every label set",
        _means(record),
        "Mean ± standard deviation over the seeds, over the documents annotated for "
        "the set; each way at the learning rate that was best on validation with seed "
        "0. Macro-F1 counts a label that no test document carries as 0.",
        "## Differences",
        f"In points (hundredths). First bracket: 95 % interval when test documents and "
        f"seeds are both drawn again, paired ({record['resamples']:,} draws). Second: "
        "Student's over the paired seeds alone. Bold: both exclude zero.",
        _differences(record),
        "## Does MMoE win?",
        " ".join(record["verdict"]),
        "## Gates",
        _gates(record),
        "## Commands",
        "\n".join(f"- {TITLES[w['way']]}: `{w['command']}`" for w in record["ways"]),
    ]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(rows + ["| " + " | ".join(line) + " |" for line in lines])


def _means(record: Mapping[str, Any]) -> str:
    head = ["way", "parameters", "learning rate", "seconds a run"]
    head += [f"{t} {name}" for t in record["tasks"] for name in METRICS.values()]
    lines = []
    for way in record["ways"]:
        values = {(row["task"], row["metric"]): row for row in way["f1"]}
        cells = [
            _spread(values[task, metric])
            for task in record["tasks"]
            for metric in METRICS
        ]
        seconds = float(np.mean(way["seconds"]))
        start = [TITLES[way["way"]], f"{way['parameters']:,}"]
        start += [f"{way['learning_rate']:g}", f"{seconds:.0f}"]
        lines.append([*start, *cells])
    return _table(head, lines)


def _spread(row: Mapping[str, Any]) -> str:
    if row["sd"] is None:
        return f"{row['mean']:.4f}"
    return f"{row['mean']:.4f} ± {row['sd']:.4f}"


def _differences(record: Mapping[str, Any]) -> str:
    lines = []
    for row in record["differences"]:
        bounds = [*row["interval"], *(row["seed_interval"] or [])]
        value = f"{100 * row['difference']:+.2f}"
        if min(bounds) > 0 or max(bounds) < 0:
            value = f"**{value}**"
        brackets = [_bracket(row["interval"])]
        if row["seed_interval"]:
            brackets.append(_bracket(row["seed_interval"]))
        lines.append(
            [
                TITLES[row["way"]],
                TITLES[row["reference"]],
                row["task"],
                METRICS[row["metric"]],
                " ".join([value, *brackets]),
            ]
        )
    return _table(["way", "minus", "label set", "metric", "points"], lines)


def _bracket(pair: Sequence[float]) -> str:
    return f"[{100 * pair[0]:+.2f}, {100 * pair[1]:+.2f}]"


def _gates(record: Mapping[str, Any]) -> str:
    gates = record["gates"]
    if not gates:
        return "None of the ways has gates."
    tasks, mean = record["tasks"], gates["mean_weights"]
    experts = [str(number) for number in range(len(mean[0]))]
    weights = _table(
        [f"mean weight, seed {gates['seed']}", *experts],
        [[t, *(f"{w:.2f}" for w in row)] for t, row in zip(tasks, mean, strict=True)],
    )
    alike = _table(
        ["likeness, mean of the seeds", *tasks],
        [
            [task, *(f"{value:.2f}" for value in row)]
            for task, row in zip(tasks, gates["similarity"], strict=True)
        ],
    )
    warnings = [f"- {warning}" for warning in gates["warnings"]]
    return "\n\n".join([weights, alike, *warnings])
