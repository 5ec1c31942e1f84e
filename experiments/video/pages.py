"""The study of mixtures as JSON, Markdown and a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.study import student_interval
from experiments.video.figures import plot_gates
from experiments.video.log import GROUPS
from experiments.video.markup import head, is_clear, pair, save, spread, table

MEANS = (
    ("engagement/auc", "engagement AUC"),
    ("satisfaction/auc", "satisfaction AUC"),
    ("engagement/pr_auc", "engagement PR-AUC"),
    ("satisfaction/pr_auc", "satisfaction PR-AUC"),
    ("engagement/log_loss", "engagement log-loss"),
    ("satisfaction/log_loss", "satisfaction log-loss"),
    ("watch_time/rmse", "watch time RMSE"),
    ("watch_time/r2", "watch time R²"),
)


def write_mixtures(record: Mapping[str, Any], out: Path) -> None:
    """Writes video-ranking.json, .md and .png, and prints the page."""
    save(record, out / "video-ranking.json")
    text = mixtures_page(record)
    (out / "video-ranking.md").write_text(text, encoding="utf-8")
    plot_gates(record, out / "video-ranking.png")
    print(text)


def mixtures_page(record: Mapping[str, Any]) -> str:
    """The table of RecSys 2019 with its intervals, tasks, gates and combined scores."""
    rows = record["rows"]
    parts = [
        "# Video ranking: shared-bottom against mixtures of experts",
        head(record),
        "Engagement is the mean over click and long view, satisfaction over like, "
        "follow, comment, forward and profile visit; watch time is log(1 + seconds), "
        "of played videos. Multiplications per row are half of the floating-point "
        "operations of the compiled program; by hand, the products of the layers "
        "alone. mean ± standard deviation over the seeds.",
        _means(rows),
        "## Differences",
        "In points (hundredths). First bracket: 95 % interval when users and seeds are "
        f"both drawn again ({record['resamples']:,} draws); second: Student's over the "
        "paired seeds alone. Bold: the first excludes zero.",
        _differences(record),
        "## Every task",
        "AUC with the 95 % interval of its mean over the seeds when users are drawn "
        "again; PR-AUC, log-loss and, for watch time, RMSE.",
        _tasks(rows),
        "## Gates",
        "Polarisation of a task's gate: one less entropy of its mean weights "
        "over log E; a gate counts as polarised from 0.5 on. Similarity: cosine of two "
        "tasks' mean weights. Spread: standard deviation of a weight over rows. The "
        "figure shows the first seed.",
        _gates(rows),
        _dropout_effect(rows),
        "## Combined score",
        "The first seed's outputs joined into one score per row, AUC against each "
        "task's own targets. Weights, set by hand: "
        + ", ".join(f"{name} {w:g}" for name, w in record["weights"].items())
        + ". The sum takes the same ones, so that seconds watched outweigh every "
        "probability in it; the product does not mind the scale of a task.",
        _combined(rows),
    ]
    return "\n\n".join(parts) + "\n"


def _means(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = ["model", "multiplications", "by hand", *(title for _, title in MEANS)]
    return table(
        [*columns, "rate", "s a run"],
        [
            [
                f"{row['title']} ({row['width']} wide)",
                f"{row['multiplications']:,.0f}",
                f"{row['multiplications_by_hand']:,}",
                *(spread(row["values"][name]) for name, _ in MEANS),
                f"{row['learning_rate']:g}",
                f"{row['seconds_per_run']:.0f}",
            ]
            for row in rows
        ],
    )


def _differences(record: Mapping[str, Any]) -> str:
    titles = {row["cell"]: row["title"] for row in record["rows"]}
    shown = [item for item in MEANS if item[0] != "watch_time/r2"]
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for row in record["differences"]:
        cells = (row["cell"], row["reference"])
        groups.setdefault(cells, {})[row["metric"]] = row
    lines = []
    for (mine, other), metrics in groups.items():
        line = [f"{titles[mine]} minus {titles[other]}"]
        for name, _ in shown:
            row = metrics[name]
            number = "undefined"
            if np.isfinite(row["difference"]):
                number = f"{100 * row['difference']:+.2f}"
            bold = "**" if is_clear(row["interval"]) else ""
            line.append(
                f"{bold}{number}{bold} {pair(row['interval'])} "
                f"{pair(row['seed_interval'])}"
            )
        lines.append(line)
    return table(["difference", *(title for _, title in shown)], lines)


def _tasks(rows: Sequence[Mapping[str, Any]]) -> str:
    names = [name for members in GROUPS.values() for name in members]
    lines = []
    for name in names:
        for row in rows:
            values = row["values"]
            if f"{name}/rmse" in values:
                low, high = row["intervals"][f"{name}/rmse"]
                error = f"RMSE {np.mean(values[f'{name}/rmse']):.4f}"
                cells = ["—", "—", f"{error} [{low:.4f}, {high:.4f}]"]
            else:
                low, high = row["intervals"][f"{name}/auc"]
                area = spread(values[f"{name}/auc"]).split(" ")[0]
                cells = [
                    f"{area} [{low:.4f}, {high:.4f}]",
                    spread(values[f"{name}/pr_auc"]),
                    spread(values[f"{name}/log_loss"], 5),
                ]
            lines.append([name, row["title"], *cells])
    return table(["task", "model", "AUC", "PR-AUC", "log-loss"], lines)


def _gates(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for row in rows:
        gates = row["gates"]
        if gates is None:
            continue
        similarity = np.array(gates["similarity"])
        others = similarity[:, ~np.eye(similarity.shape[-1], dtype=bool)]
        utilisation = np.array(gates["utilisation"])
        lines.append(
            [
                row["title"],
                spread(np.array(gates["polarisation"]).mean(axis=1), 3),
                f"{np.max(gates['polarisation']):.3f}",
                f"{gates['polarised_gates']:.0%}",
                f"{gates['runs_with_a_polarised_gate']:.0%}",
                spread(others.mean(axis=1), 3),
                f"{np.mean(gates['spread']):.3f}",
                f"{utilisation.min():.3f} … {utilisation.max():.3f}",
            ]
        )
    return table(
        [
            *("model", "polarisation", "largest", "polarised gates"),
            *("runs with one", "similarity of tasks", "spread", "use of an expert"),
        ],
        lines,
    )


def _dropout_effect(rows: Sequence[Mapping[str, Any]]) -> str:
    """Polarisation with gate dropout against that without, runs paired by seed."""
    gates = {row["cell"]: row["gates"] for row in rows}
    ours, theirs = (
        np.array(gates[cell]["polarisation"]).mean(axis=1)
        for cell in ("mmoe8", "mmoe8-all")
    )
    interval = student_interval(ours - theirs)
    bounds = "" if interval is None else f" [{interval[0]:+.3f}, {interval[1]:+.3f}]"
    return (
        "With gate dropout the mean polarisation of 8 experts differs by "
        f"{np.mean(ours - theirs):+.3f}{bounds} (Student's interval over the seeds)."
    )


def _combined(rows: Sequence[Mapping[str, Any]]) -> str:
    names = [n for members in GROUPS.values() for n in members if n != "watch_time"]
    lines = [
        [
            row["title"],
            title,
            *(spread([values[f"{name}/auc"]]) for name in names),
            spread([values["watch_time/spearman"]]),
        ]
        for row in rows
        for title, values in row["combined"].items()
    ]
    return table(["model", "score", *names, "watch time (Spearman)"], lines)
