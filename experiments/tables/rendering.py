"""A table's numbers as Markdown and as a plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SHOWN = ("micro_f1", "macro_f1", "samples_f1", "hamming_loss", "P@1", "mAP")
TITLES = {
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "samples_f1": "samples-F1",
    "hamming_loss": "Hamming loss",
}


def markdown(record: Mapping[str, Any]) -> str:
    """The whole table: means, differences with intervals, and the commands."""
    parts = [
        f"# {record['caption']}: {record['corpus']}",
        _paragraph(record),
        _means(record["rows"]),
        f"## Differences to “{record['reference']}”",
        "In points (hundredths). First bracket: 95 % interval when test "
        "documents and seeds are both drawn again, paired "
        f"({record['resamples']:,} draws). Second: Student's 95 % interval over the "
        "paired seeds alone, on this test set. Draws leave labels with one test "
        "document out every third time, which pulls drawn macro-F1 differences to 0.",
        _differences(record),
        "## Commands",
        "One seed each; the others are `--training.seed 1` and so on. Scikit-learn "
        "rows are deterministic: one run.",
        "\n".join(
            f"- {title}: `{command}`"
            for title, command in _commands(record["rows"]).items()
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _paragraph(record: Mapping[str, Any]) -> str:
    seconds = f"{record['seconds']:,.0f} s for what this call computed"
    return (
        f"{record['split_note']} Thresholds, epochs and hyper-parameters come from "
        "validation documents; each run scored the test documents once. mean ± "
        f"standard deviation over the seeds. `{record['command']}`, commit "
        f"{record['commit']}, {record['hardware']}; {seconds}. Seconds are per run; "
        "runs that trained together share their time."
    )


def _groups(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for row in rows:
        groups.setdefault(row["setting"], {})[row["metric"]] = row
    return groups


def _commands(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {row["cell"]: row["command"] for row in rows}


def _means(rows: Sequence[Mapping[str, Any]]) -> str:
    titles = [TITLES.get(metric, metric) for metric in SHOWN]
    head = ["setting", *titles, "seeds", "parameters", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for setting, metrics in _groups(rows).items():
        any_row = metrics["micro_f1"]
        values = [_spread(metrics[metric]) for metric in SHOWN]
        seconds = sum(any_row["seconds"]) / len(any_row["seconds"])
        line = [setting, *values, str(len(any_row["seeds"]))]
        line += [f"{any_row['parameters']:,}", f"{seconds:,.0f}"]
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines)


def _spread(row: Mapping[str, Any]) -> str:
    digits = 5 if row["metric"] == "hamming_loss" else 4
    spread = "" if row["sd"] is None else f" ± {row['sd']:.{digits}f}"
    return f"{row['mean']:.{digits}f}{spread}"


def _differences(record: Mapping[str, Any]) -> str:
    lines = ["| cell | rule | micro-F1 | macro-F1 | mAP |", "|---|---|---|---|---|"]
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for row in record["differences"]:
        groups.setdefault((row["cell"], row["rule"]), {})[row["metric"]] = row
    for (cell, rule), metrics in groups.items():
        cells = [_interval(row) for row in metrics.values()]
        lines.append("| " + " | ".join([cell, rule, *cells]) + " |")
    return "\n".join(lines)


def _interval(row: Mapping[str, Any]) -> str:
    def points(pair: Sequence[float] | None) -> str:
        if pair is None:
            return "—"
        return f"[{100 * pair[0]:+.2f}, {100 * pair[1]:+.2f}]"

    shown = f"{100 * row['difference']:+.2f} {points(row['interval'])}"
    return f"{shown} {points(row['seed_interval'])}"


def plot(record: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG: every cell's F1 with its seeds, and its difference with intervals.

    The rule shown is the fitted one.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in record["rows"] if row["rule"] == "fitted"]
    names = list(dict.fromkeys(row["cell"] for row in rows))
    place = {name: -i for i, name in enumerate(names)}
    figure, axes = pyplot.subplots(
        1,
        4,
        figsize=(12, 1.2 + 0.28 * len(names)),
        sharey=True,
        layout="constrained",
    )
    for column, metric in enumerate(("micro_f1", "macro_f1")):
        _plot_means(axes[2 * column], rows, metric, place)
        _plot_differences(axes[2 * column + 1], record, metric, place)
    axes[0].set_yticks(list(place.values()), names, fontsize=8)
    figure.suptitle(f"{record['corpus']}: {record['caption']}", fontsize=10)
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _plot_means(axis: Any, rows: Any, metric: str, place: Mapping[str, int]) -> None:
    for row in rows:
        if row["metric"] != metric:
            continue
        at = place[row["cell"]]
        axis.plot(row["values"], [at] * len(row["values"]), ".", color="0.7", ms=4)
        axis.errorbar(
            row["mean"], at, xerr=row["sd"] or 0, fmt="o", color="C0", ms=4, capsize=2
        )
    axis.set_title(f"{TITLES[metric]}, mean ± sd", fontsize=8)
    _style(axis)


def _plot_differences(
    axis: Any, record: Mapping[str, Any], metric: str, place: Mapping[str, int]
) -> None:
    for row in record["differences"]:
        if row["metric"] != metric or row["rule"] != "fitted":
            continue
        at, (low, high) = place[row["cell"]], row["interval"]
        clear = low > 0 or high < 0
        axis.plot([low, high], [at, at], color="C1" if clear else "0.6", lw=2)
        axis.plot(row["difference"], at, "o", color="C1" if clear else "0.6", ms=4)
    axis.axvline(0.0, color="black", lw=0.8)
    axis.set_title(
        f"{TITLES[metric]} - “{record['reference']}”, 95 % interval", fontsize=8
    )
    _style(axis)


def _style(axis: Any) -> None:
    axis.grid(axis="x", lw=0.4)
    axis.tick_params(labelsize=7)
    axis.margins(y=0.03)
