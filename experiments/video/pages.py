"""The two studies as JSON, Markdown and figures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.video.figures import plot_bias, plot_gates
from experiments.video.log import GROUPS

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
_PAGE_METRICS = {"spearman": "Spearman", "pairs": "pairs (AUC)", "ndcg": "nDCG@5"}
_LOG = (
    "KuaiRand-Pure, standard log of 25 April to 8 May 2022: {train:,} rows to train "
    "on, {validation:,} of the last day for validation, {test:,} of the eight days "
    "after it for the test. Learning rates and epochs come from validation."
)


def write_mixtures(record: Mapping[str, Any], out: Path) -> None:
    """Writes video-ranking.json, .md and .png, and prints the page."""
    _save(record, out / "video-ranking.json")
    text = mixtures_page(record)
    (out / "video-ranking.md").write_text(text, encoding="utf-8")
    plot_gates(record, out / "video-ranking.png")
    print(text)


def write_position(record: Mapping[str, Any], out: Path) -> None:
    """Writes position-bias.json, .md and .png, and prints the page."""
    _save(record, out / "position-bias.json")
    text = position_page(record)
    (out / "position-bias.md").write_text(text, encoding="utf-8")
    plot_bias(record, out / "position-bias.png")
    print(text)


def mixtures_page(record: Mapping[str, Any]) -> str:
    """The table of RecSys 2019 with its intervals, tasks, gates and combined scores."""
    rows = record["rows"]
    parts = [
        "# Video ranking: shared-bottom against mixtures of experts",
        _head(record),
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
        "## Combined score",
        "The first seed's outputs joined into one score per row, AUC against each "
        "task's own targets. Weights, set by hand: "
        + ", ".join(f"{name} {w:g}" for name, w in record["weights"].items())
        + ". The sum takes the same ones, so that seconds watched outweigh every "
        "probability in it; the product does not mind the scale of a task.",
        _combined(rows),
    ]
    return "\n\n".join(parts) + "\n"


def position_page(record: Mapping[str, Any]) -> str:
    """How well each way recovers the true order, under both click models."""
    earlier = record["earlier_ranker"]
    shares = ", ".join(f"{tab} {share:.0%}" for tab, share in record["groups"].items())
    sizes = record["sizes"]
    parts = [
        "# Position bias: four ways to learn from it, against a known truth",
        _head(record),
        f"The log has no positions, so they are simulated: {sizes['train']:,} pages "
        f"of {record['page']} videos to train on, {sizes['validation']:,} for "
        f"validation, {sizes['test']:,} for the test, each for the user and moment of "
        "a logged row, filled with videos of the same days. The truth is the logit of "
        "a ranker trained on the real clicks and long views, brought to mean -1 and "
        "standard deviation 1 within pages. An earlier ranker (0.7 z(truth) + 0.7 "
        "z(popularity) + 0.7 noise) orders each page; users then click with "
        "probability sigmoid(truth + effect) (additive) or exp(effect) sigmoid(truth) "
        "(examination), effect = -steepness log(position), steepness 1.5, 1.0, 0.5 by "
        f"page of the app ({shares}) and 0.6 times that for long views. The earlier "
        f"order has a Spearman correlation of {earlier['spearman']:.2f} with the "
        f"truth, popularity {earlier['popularity_spearman']:.2f}; "
        f"{earlier['click_rate']:.1%} are clicked.",
        "Every way is the same ranker (MMoE, 4 experts), trained on the same clicks; "
        "epoch and learning rate are chosen by the log-loss of validation clicks, "
        "never by the truth. “No bias in the log” sees clicks of videos that all stood "
        "at the top: the bound. Inverse propensities are the true ones, 10 at most. "
        "mean ± standard deviation over "
        f"{len(record['seeds'])} seeds of positions, clicks and first parameters.",
    ]
    for kind, title in (("additive", "Additive"), ("examination", "Examination")):
        parts += [f"## {title} clicks", _position_table(record, kind)]
    parts += [
        "## Shallow tower against the others",
        "Points of Spearman correlation (hundredths). First bracket: 95 % interval "
        "when test pages and seeds are both drawn again; second: Student's over the "
        "paired seeds. Bold: both exclude zero.",
        _position_differences(record),
        "The figure shows what the shallow tower learned of the places, beside the "
        "truth.",
    ]
    return "\n\n".join(parts) + "\n"


def _save(record: Mapping[str, Any], path: Path) -> None:
    numbers = json.dumps(_plain(record), indent=1, allow_nan=False)
    path.write_text(numbers + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """JSON has no NaN: what is undefined is null."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _head(record: Mapping[str, Any]) -> str:
    log = _LOG.format(
        train=record["rows_train"],
        validation=record["rows_validation"],
        test=record["rows_test"],
    )
    return (
        f"{log} `{record['command']}`, commit {record['commit']}, "
        f"{record['hardware']}; {record['seconds']:,.0f} s in all, one thread, on a "
        "machine busy with other work."
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = ["| " + " | ".join(line) + " |" for line in [head, *lines]]
    rows.insert(1, "|---|" + "---:|" * (len(head) - 1))
    return "\n".join(rows)


def _spread(values: Sequence[float], digits: int = 4) -> str:
    if not np.isfinite(np.asarray(values, float)).all():
        return "undefined"
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) < 2:
        return mean
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def _means(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ["model", "multiplications", "by hand", *(title for _, title in MEANS)]
    return _table(
        [*head, "rate", "s a run"],
        [
            [
                f"{row['title']} ({row['width']} wide)",
                f"{row['multiplications']:,.0f}",
                f"{row['multiplications_by_hand']:,}",
                *(_spread(row["values"][name]) for name, _ in MEANS),
                f"{row['learning_rate']:g}",
                f"{row['seconds_per_run']:.0f}",
            ]
            for row in rows
        ],
    )


def _pair(interval: Sequence[float] | None) -> str:
    if interval is None or not np.isfinite(interval).all():
        return "—"
    return f"[{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}]"


def _is_clear(interval: Sequence[float] | None) -> bool:
    return interval is not None and interval[0] * interval[1] > 0


def _differences(record: Mapping[str, Any]) -> str:
    titles = {row["cell"]: row["title"] for row in record["rows"]}
    shown = [item for item in MEANS if item[0] != "watch_time/r2"]
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for row in record["differences"]:
        pair = (row["cell"], row["reference"])
        groups.setdefault(pair, {})[row["metric"]] = row
    lines = []
    for (mine, other), metrics in groups.items():
        line = [f"{titles[mine]} minus {titles[other]}"]
        for name, _ in shown:
            row = metrics[name]
            number = "undefined"
            if np.isfinite(row["difference"]):
                number = f"{100 * row['difference']:+.2f}"
            bold = "**" if _is_clear(row["interval"]) else ""
            line.append(
                f"{bold}{number}{bold} {_pair(row['interval'])} "
                f"{_pair(row['seed_interval'])}"
            )
        lines.append(line)
    return _table(["difference", *(title for _, title in shown)], lines)


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
                area = _spread(values[f"{name}/auc"]).split(" ")[0]
                cells = [
                    f"{area} [{low:.4f}, {high:.4f}]",
                    _spread(values[f"{name}/pr_auc"]),
                    _spread(values[f"{name}/log_loss"], 5),
                ]
            lines.append([name, row["title"], *cells])
    return _table(["task", "model", "AUC", "PR-AUC", "log-loss"], lines)


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
                _spread(np.array(gates["polarisation"]).mean(axis=1), 3),
                f"{np.max(gates['polarisation']):.3f}",
                f"{gates['polarised_gates']:.0%}",
                f"{gates['runs_with_a_polarised_gate']:.0%}",
                _spread(others.mean(axis=1), 3),
                f"{np.mean(gates['spread']):.3f}",
                f"{utilisation.min():.3f} … {utilisation.max():.3f}",
            ]
        )
    return _table(
        [
            *("model", "polarisation", "largest", "polarised gates"),
            *("runs with one", "similarity of tasks", "spread", "use of an expert"),
        ],
        lines,
    )


def _combined(rows: Sequence[Mapping[str, Any]]) -> str:
    names = [n for members in GROUPS.values() for n in members if n != "watch_time"]
    lines = [
        [
            row["title"],
            title,
            *(_spread([values[f"{name}/auc"]]) for name in names),
            _spread([values["watch_time/spearman"]]),
        ]
        for row in rows
        for title, values in row["combined"].items()
    ]
    return _table(["model", "score", *names, "watch time (Spearman)"], lines)


def _position_table(record: Mapping[str, Any], kind: str) -> str:
    columns = {
        f"{task}/{name}": f"{task}: {title}"
        for task in ("click", "long_view")
        for name, title in _PAGE_METRICS.items()
    }
    ways: dict[str, dict[str, Any]] = {}
    for row in record["rows"]:
        if row["clicks"] == kind:
            ways.setdefault(row["way"], {})[row["metric"]] = row
    return _table(
        ["way", *columns.values()],
        [
            [way, *(_spread(found[metric]["values"]) for metric in columns)]
            for way, found in ways.items()
        ],
    )


def _position_differences(record: Mapping[str, Any]) -> str:
    lines = []
    for row in record["differences"]:
        if not row["metric"].endswith("/spearman"):
            continue
        both = _is_clear(row["interval"]) and _is_clear(row["seed_interval"])
        bold = "**" if both else ""
        number = f"{bold}{100 * row['difference']:+.2f}{bold}"
        intervals = f"{_pair(row['interval'])} {_pair(row['seed_interval'])}"
        task = row["metric"].split("/")[0]
        lines.append([row["clicks"], row["reference"], task, f"{number} {intervals}"])
    return _table(["clicks", "shallow tower minus", "task", "Spearman"], lines)
