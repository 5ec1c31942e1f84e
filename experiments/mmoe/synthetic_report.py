"""The synthetic experiment as a Markdown page and as a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.mmoe.synthetic_statistics import text
from experiments.study import markdown_table

COLOURS = {"shared-bottom": "C3", "omoe": "C1", "mmoe": "C0"}
TITLES = {"shared-bottom": "shared-bottom", "omoe": "OMoE", "mmoe": "MMoE"}


def markdown(record: Mapping[str, Any]) -> str:
    """The whole page: what was run, medians, variances, the paper's claims."""
    parts = [
        f"# MMoE on synthetic tasks (KDD 2018, section 5): {record['preset']}",
        _what(record),
        f"![curves and histograms]({record['figure']})",
        "## Final loss",
        _medians(record["cells"]),
        "Mean squared error of both tasks on new examples. Brackets: 95 % bootstrap "
        f"interval over the seeds ({record['resamples']:,} draws). “Unexplained”: the "
        "median share of the labels' variance that is left.",
        "## Trainability",
        _trainability(record["trainability"]),
        "Ratio of the variances of the final loss over the seeds, above 1 where the "
        "model varies more than MMoE; its interval draws seeds in pairs. p: "
        "Brown-Forsythe (Levene's test with medians, which takes the models' runs as "
        "independent) on the losses and on their logarithms; two-sided. Best tenth: "
        "its mean loss relative to that of MMoE, above zero is worse.",
    ]
    if record["findings"]:
        parts += ["## The paper's claims", _findings(record["findings"])]
    parts += ["## Settings", _settings(record)]
    return "\n\n".join(parts) + "\n"


def _what(record: Mapping[str, Any]) -> str:
    sizes = record["sizes"]
    examples = sizes["batch"] * sizes["steps"] * sizes["epochs"]
    minutes = record["cpu_seconds"] / record["cores"] / 60
    return (
        f"{record['seeds']} seeds of every cell, each with its own tasks, examples and "
        "first parameters; the same seed has the same data for every model. A run "
        f"sees {examples:,} examples once, in {sizes['steps'] * sizes['epochs']:,} "
        f"batches of {sizes['batch']}, and is measured on {sizes['held_out']:,} "
        f"others.{_still_falling(record)} `{record['command']}`, commit "
        f"{record['commit']}, {record['hardware']}: {record['runs']:,} runs, the "
        "search for learning rates and compilation included, took "
        f"{record['cpu_seconds']:,.0f} s of processor time, "
        f"{minutes:.0f} minutes of {record['cores']} cores; {record['seconds']:,.0f} s "
        "on the clock, with other work beside."
    )


def _still_falling(record: Mapping[str, Any]) -> str:
    """How far the mean losses fell over the last epoch, where that was measured."""
    curves = [cell["curve_mean"] for cell in record["cells"]]
    if len(curves[0]) < 2:
        return ""
    falls = [1 - curve[-1] / curve[-2] for curve in curves]
    return (
        f" Over the last {record['sizes']['steps']} steps the mean losses fell by "
        f"{min(falls):.1%} to {max(falls):.1%}: what follows is said of this point."
    )


def _medians(cells: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            f"{cell['correlation']:g}",
            TITLES[cell["model"]],
            text(cell["median"]),
            f"{cell['mean']:.3f}",
            "-" if cell["sd"] is None else f"{cell['sd']:.3f}",
            f"{cell['quartiles'][0]:.3f} to {cell['quartiles'][1]:.3f}",
            f"{cell['best']:.3f}",
            text(cell["best_tenth"]),
            f"{cell['worst']:.3f}",
            f"{cell['unexplained_median']:.1%}",
            f"{cell['learning_rate']:g}",
            f"{cell['seconds']:.0f} ({cell['cpu_seconds']:.0f})",
        ]
        for cell in cells
    ]
    header = ["correlation", "model", "median", "mean", "sd", "middle half", "best"]
    header += ["best tenth", "worst", "unexplained", "rate", "seconds (processor)"]
    return markdown_table(header, rows).rstrip()


def _trainability(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        [
            f"{row['correlation']:g}",
            TITLES[row["model"]],
            text(row["variance_ratio"], 2),
            f"{row['brown_forsythe_raw']['p']:.2g}",
            f"{row['brown_forsythe_log']['p']:.2g}",
            f"{row['log_sd'][0]:.3f} / {row['log_sd'][1]:.3f}",
            text(row["best_gap"]),
        ]
        for row in rows
    ]
    header = ["correlation", "model", "variance over MMoE's", "p", "p of logarithms"]
    header += ["sd of log loss / MMoE's", "best tenth"]
    return markdown_table(header, lines).rstrip()


def _findings(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        [row["claim"], "yes" if row["holds"] else "no", row["numbers"]] for row in rows
    ]
    return markdown_table(["claim", "here", "numbers"], lines).rstrip()


def _settings(record: Mapping[str, Any]) -> str:
    spec, sizes = record["spec"], record["sizes"]
    drawn = "alpha = 1..m, beta = 0, 1, 4, ..." if spec["fixed_sines"] else "drawn"
    rates = "; ".join(
        f"{TITLES[model]} {search['chosen']:g} ("
        + ", ".join(f"{rate:g}: {loss:.3f}" for rate, loss in search["losses"])
        + ")"
        for model, search in record["learning_rates"].items()
    )
    return "\n".join(
        [
            f"- Data: preset `{record['preset']}`: c {spec['scale']:g}, "
            f"{spec['sines']} sines ({drawn}), noise of standard deviation "
            f"{spec['noise']:g}, d {sizes['features']}. The paper's N(0, 0.01) names "
            "either the variance or the standard deviation; public code uses 0.1 and "
            "0.01. c, m, alpha, beta, batch and steps are not in the paper.",
            "- Models: 8 experts of 16 units, gates without bias, towers of 8 units; "
            f"shared-bottom {record['shared_units']} units; ReLU, Adam. Weights of "
            "experts and towers, as the paper counts: "
            + ", ".join(
                f"{TITLES[model]} {count:,}"
                for model, count in record["counted"].items()
            )
            + "; all parameters, biases, gates and outputs too: "
            + ", ".join(
                f"{TITLES[model]} {count:,}"
                for model, count in record["parameters"].items()
            )
            + ". First weights: He (experts, towers), Glorot (gates).",
            f"- Learning rates, by the mean loss of {record['tuning_seeds']} other "
            f"seeds per correlation: {rates}.",
        ]
    )


def plot(record: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG: mean loss with its 95 % band, and histograms of final losses."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cells = record["cells"]
    correlations = sorted({cell["correlation"] for cell in cells})
    models = list(dict.fromkeys(cell["model"] for cell in cells))
    figure, axes = pyplot.subplots(
        1 + len(models),
        len(correlations),
        figsize=(3.4 * len(correlations), 2.6 + 1.3 * len(models)),
        layout="constrained",
        squeeze=False,
        height_ratios=[2.4, *[1.0] * len(models)],
    )
    _share(axes[0], axes[1:])
    edges = _edges([loss for cell in cells for loss in cell["losses"]])
    for cell in cells:
        column = correlations.index(cell["correlation"])
        _plot_curve(axes[0, column], cell, record["sizes"])
        _plot_histogram(axes[1 + models.index(cell["model"]), column], cell, edges)
    for column, correlation in enumerate(correlations):
        axes[0, column].set_title(f"correlation {correlation:g}", fontsize=9)
        axes[0, column].legend(fontsize=7)
        axes[-1, column].set_xlabel("final loss", fontsize=8)
    axes[0, 0].set_ylabel("mean loss", fontsize=8)
    figure.suptitle(
        f"{record['preset']}: {record['seeds']} seeds a cell; band: 95 % of the mean",
        fontsize=9,
    )
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _share(curves: Any, histograms: Any) -> None:
    for axis in curves[1:]:
        axis.sharey(curves[0])
    for axis in histograms.flat[1:]:
        axis.sharex(histograms.flat[0])
        axis.sharey(histograms.flat[0])
    for axis in (*curves, *histograms.flat):
        axis.tick_params(labelsize=7)


def _edges(losses: Sequence[float]) -> np.ndarray:
    """Bins up to the largest loss but for a far tail, which the last bin holds."""
    low, high = np.quantile(losses, (0.0, 0.99))
    return np.linspace(low, max(high, low + 1e-6), 41)


def _plot_curve(axis: Any, cell: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    mean, sd = np.array(cell["curve_mean"]), np.array(cell["curve_sd"])
    half = 1.96 * sd / np.sqrt(len(cell["losses"]))
    steps = sizes["steps"] * np.arange(1, len(mean) + 1)
    colour = COLOURS[cell["model"]]
    axis.plot(steps, mean, color=colour, lw=1.2, label=TITLES[cell["model"]])
    axis.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.25, lw=0)
    axis.set_xlabel("step", fontsize=8)
    axis.grid(lw=0.3)


def _plot_histogram(axis: Any, cell: Mapping[str, Any], edges: np.ndarray) -> None:
    losses = np.clip(cell["losses"], edges[0], edges[-1])
    axis.hist(losses, bins=edges, color=COLOURS[cell["model"]], alpha=0.8)
    axis.axvline(cell["median"]["value"], color="black", lw=0.8)
    axis.set_ylabel(TITLES[cell["model"]], fontsize=7)
