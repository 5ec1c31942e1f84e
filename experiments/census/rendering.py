"""A group's numbers as Markdown and as a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.census.paper import CORRELATIONS, ELSEWHERE, RUNS, TABLES

TITLES = {
    "single_task": "single task",
    "shared_bottom": "shared bottom",
    "l2_constrained": "L2-constrained",
    "cross_stitch": "cross-stitch",
    "omoe": "OMoE",
    "mmoe": "MMoE",
}


def markdown(record: Mapping[str, Any]) -> str:
    """The whole page."""
    main, other = record["tasks"]
    parts = [
        f"# Census-Income, {record['group']}: {main} and {other}",
        _paragraph(record),
        "## AUC on the test half, and the paper's",
        _means(record),
        f"mean ± standard deviation over {record['seeds']} seeds. “by validation”: the "
        "run whose main task is best on validation, measured on the test half; “best” "
        "is the largest of all runs there, as the paper seems to print it (of "
        f"{RUNS} runs). The test rows are the same files, the halves are another draw. "
        + ELSEWHERE.get(record["group"], ""),
        f"## Differences to the {TITLES[record['reference']]}",
        "In points (hundredths of AUC). First bracket: 95 % interval when test rows "
        f"and seeds are both drawn again, paired ({record['resamples']:,} draws). "
        "Second: Student's 95 % interval over the paired seeds alone, on these rows.",
        _differences(record),
        "## Does MMoE win?",
        " ".join(record["verdict"]),
        "## What the gates do",
        _gates(record),
        "## Settings",
        _settings(record),
    ]
    return "\n\n".join(parts) + "\n"


def _paragraph(record: Mapping[str, Any]) -> str:
    rows, inputs = record["rows"], record["inputs"]
    correlation = record["correlation"]
    return (
        f"{rows['train']:,} rows to train on, {rows['validation']:,} for validation, "
        f"{rows['test']:,} for the test. {len(inputs['columns'])} input columns "
        f"(education and marital status are none, nor is a target) become "
        f"{inputs['width']:,} inputs: categories one-hot, amounts as standardised "
        f"log(1 + x) and, where a value has {inputs['min_count']} training rows or "
        "more, one-hot as well. Pearson's correlation of the labels: "
        + ", ".join(f"{value:.4f} ({name})" for name, value in correlation.items())
        + f"; the paper's: {CORRELATIONS[record['group']]:.4f} without its sign.\n\n"
        "Shape, learning rate, weight decay and epoch come from the main task's AUC on "
        f"validation; the test half was scored once per run. `{record['command']}`, "
        f"commit {record['commit']}, {record['hardware']}; all runs "
        f"took {record['training_seconds']:,.0f} s on a busy machine, this call "
        f"{record['seconds']:,.0f} s. {record['note']}"
    )


def _means(record: Mapping[str, Any]) -> str:
    main, other = record["tasks"]
    head = [
        "model",
        f"{main} mean",
        f"{main} by validation",
        f"{main} best",
        f"{other} mean",
        f"{other} by validation",
        f"paper: {main} mean",
        f"paper: {main} best",
        f"paper: {other} mean",
        f"paper: {other} in {main}'s best run",
        "parameters",
        "seconds a run",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for model in record["models"]:
        first, second = model["auc"]
        paper = TABLES[record["group"]][model["model"]]
        line = [
            TITLES[model["model"]],
            _spread(first),
            f"{first['by_validation']:.4f}",
            f"{first['best']:.4f}",
            _spread(second),
            f"{second['by_validation']:.4f}",
            f"{paper.main_mean:.4f}",
            f"{paper.main_best:.4f}",
            f"{paper.other_mean:.4f}",
            f"{paper.other_at_best:.4f}",
            f"{model['parameters']:,}",
            f"{np.mean(model['seconds']):.1f}",
        ]
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines)


def _spread(row: Mapping[str, Any]) -> str:
    spread = "" if row["sd"] is None else f" ± {row['sd']:.4f}"
    return f"{row['mean']:.4f}{spread}"


def _differences(record: Mapping[str, Any]) -> str:
    lines = ["| model | " + " | ".join(record["tasks"]) + " |", "|---|---|---|"]
    found = {(row["model"], row["task"]): row for row in record["differences"]}
    for model in dict.fromkeys(row["model"] for row in record["differences"]):
        cells = [_interval(found[model, task]) for task in record["tasks"]]
        lines.append("| " + " | ".join([TITLES[model], *cells]) + " |")
    return "\n".join(lines)


def _interval(row: Mapping[str, Any]) -> str:
    def points(pair: Sequence[float] | None) -> str:
        if pair is None:
            return "—"
        return f"[{100 * pair[0]:+.3f}, {100 * pair[1]:+.3f}]"

    shown = f"{100 * row['difference']:+.3f} {points(row['interval'])}"
    return f"{shown} {points(row['seed_interval'])}"


def _gates(record: Mapping[str, Any]) -> str:
    if not record["gates"]:
        return "No model with gates was run."
    tasks = record["tasks"]
    parts = []
    for gates in record["gates"]:
        over = gates["over_runs"]
        shown = ", ".join(
            f"{title} {over[name]['mean']:.3f}"
            + (f" ± {over[name]['sd']:.3f}" if over[name]["sd"] is not None else "")
            for name, title in (
                ("overlap", "overlap of the tasks' gates on a row"),
                ("similarity", "cosine of their mean weights"),
                ("entropy", "entropy (1: even)"),
                ("polarisation", "polarisation (1: one expert)"),
                ("spread", "spread over rows"),
                ("least_used", "weight of the least used expert"),
            )
        )
        parts.append(f"{TITLES[gates['model']]}: {shown}.")
        weights = gates["best_run"]["mean_weights"]
        names = tasks if len(weights) > 1 else ["all tasks"]
        head = ["mean weight", *(f"expert {e + 1}" for e in range(len(weights[0])))]
        lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
        for name, row in zip(names, weights, strict=True):
            cells = [f"{value:.3f}" for value in row]
            lines.append("| " + " | ".join([name, *cells]) + " |")
        parts.append(
            "\n".join(lines)
            + f"\n\n(seed {gates['best_run']['seed']}, best on validation)"
        )
    return "\n\n".join(parts)


def _settings(record: Mapping[str, Any]) -> str:
    lines = [
        "| model | shape | learning rate | weight decay | constraint | trials "
        "| validation AUC when tuned |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for model in record["models"]:
        chosen = model["chosen"]
        best = max((t["validation_auc"] for t in model["tried"]), default=float("nan"))
        cells = [
            TITLES[model["model"]],
            model["shape"],
            f"{chosen['learning_rate']:g}",
            f"{chosen['weight_decay']:g}",
            f"{chosen['constraint']:g}",
            str(len(model["tried"])),
            f"{best:.4f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    columns = ", ".join(record["inputs"]["columns"])
    return "\n".join(lines) + f"\n\nInput columns: {columns}."


def plot(record: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG: every run's AUC beside the paper's mean, and MMoE's gates."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
    names = [model["model"] for model in record["models"]]
    for number, task in enumerate(record["tasks"]):
        axis = axes[number]
        for place, model in enumerate(record["models"]):
            row = model["auc"][number]
            heights = [-place] * len(row["values"])
            axis.plot(row["values"], heights, ".", color="0.7", ms=4)
            axis.errorbar(
                row["mean"], -place, xerr=row["sd"] or 0, fmt="o", color="C0", ms=5
            )
            paper = TABLES[record["group"]][model["model"]]
            mean = paper.main_mean if number == 0 else paper.other_mean
            axis.plot(mean, -place, "x", color="C3", ms=6)
        axis.set_yticks([-place for place in range(len(names))])
        axis.set_yticklabels([TITLES[n] for n in names] if number == 0 else [])
        axis.set_title(f"{task}: AUC (mean ± sd; x: the paper's mean)", fontsize=8)
        axis.grid(axis="x", lw=0.4)
        axis.locator_params(axis="x", nbins=6)
        axis.tick_params(labelsize=7)
    gates = next((g for g in record["gates"] if g["model"] == "mmoe"), None)
    if gates is None:
        axes[2].set_axis_off()
    else:
        _plot_gates(axes[2], gates, record["tasks"])
    figure.suptitle(f"Census-Income, {record['group']}", fontsize=10)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _plot_gates(axis: Any, gates: Mapping[str, Any], tasks: Sequence[str]) -> None:
    weights = np.array(gates["best_run"]["mean_weights"])
    axis.imshow(weights.T, cmap="Blues", vmin=0, aspect="auto")
    for task, row in enumerate(weights):
        for expert, value in enumerate(row):
            colour = "white" if value > 0.6 * weights.max() else "black"
            axis.text(
                task,
                expert,
                f"{value:.2f}",
                ha="center",
                va="center",
                color=colour,
                fontsize=7,
            )
    axis.set_xticks(range(len(tasks)), tasks, fontsize=8)
    axis.set_yticks(
        range(weights.shape[1]), [f"{e + 1}" for e in range(len(weights.T))]
    )
    axis.set_ylabel("expert", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.set_title(
        f"MMoE: mean gate weights, seed {gates['best_run']['seed']}", fontsize=8
    )
