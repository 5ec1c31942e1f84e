"""The points as a Markdown page and as a log-log figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.measure import machine_line
from experiments.extreme.points import MIB
from experiments.study import markdown_table

STYLES = {
    "dense": ("C3", "o-"),
    "complete": ("C0", "o-"),
    "blocked": ("C1", "o-"),
    "sparse": ("C2", "o-"),
    "low-rank": ("C4", "o-"),
    "relu": ("C5", "o-"),
    "pyg-dense": ("k", "s--"),
    "pyg-edges": ("gray", "s--"),
}


def page(record: Mapping[str, Any]) -> str:
    """The whole page."""
    sizes = record["sizes"]
    parts = [
        "# Attention over very many labels",
        f"{machine_line(record['machine'])}; jax {record['jax']}. "
        f"`{record['command']}`. {sizes['heads']} heads of {sizes['width']} features "
        f"from {sizes['features']}, projections included, forward and gradient, "
        "float32. Every point is a process of its own that may take "
        f"{sizes['limit_gib']:g} GiB and {sizes['point_seconds']:g} s; after its first "
        "failure a method is not tried with more labels. Seconds are the fastest of "
        "several runs; memory is what was resident at the peak beyond the inputs. "
        "`sparse` has ten edges per label, `low-rank` learns edge weights of rank 4, "
        "`relu` is the form without a softmax.",
    ]
    if record.get("figure"):
        parts.append(f"![time and memory]({record['figure']})")
    if record["points"]:
        parts += ["## Seconds", _grid(record["points"], _seconds)]
        parts += ["## Working memory, MiB", _grid(record["points"], _memory)]
        parts += ["## Where they die", _deaths(record["points"])]
        parts += ["## Growth", _growth(record["exponents"])]
    if record.get("ratios"):
        parts += ["## In turns, in one run", _ratios(record["ratios"])]
    if record.get("step"):
        parts += ["## A whole train step", _step(record["step"], record["step_sizes"])]
    return "\n\n".join(parts) + "\n"


def _grid(points: Sequence[Mapping[str, Any]], shown: Any) -> str:
    methods = list(dict.fromkeys(p["method"] for p in points))
    counts = sorted({p["labels"] for p in points})
    cells = {(p["method"], p["labels"]): p for p in points}
    rows = [
        [f"{n:,}", *(shown(cells.get((method, n))) for method in methods)]
        for n in counts
    ]
    return markdown_table(["labels", *methods], rows)


def _seconds(point: Mapping[str, Any] | None) -> str:
    if point is None:
        return ""
    return "died" if "reason" in point else f"{min(point['seconds']):.4g}"


def _memory(point: Mapping[str, Any] | None) -> str:
    if point is None:
        return ""
    return "died" if "reason" in point else f"{point['working'] / MIB:,.0f}"


def _deaths(points: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [p["method"], f"{p['labels']:,}", p["reason"]] for p in points if "reason" in p
    ]
    if not rows:
        return "None did."
    return markdown_table(["method", "labels", "why"], rows)


def _growth(exponents: Mapping[str, Any]) -> str:
    def power(value: float | None) -> str:
        return "-" if value is None else f"N^{value:.2f}"

    rows = [
        [
            method,
            power(found["seconds"]),
            power(found["working"]),
            "-" if found["from"] is None else f"{found['from']:,}",
        ]
        for method, found in exponents.items()
    ]
    table = markdown_table(["method", "seconds", "memory", "from labels"], rows)
    return table + "\nSlopes of straight lines through the logarithms."


def _ratios(ratios: Mapping[str, Any]) -> str:
    rows = []
    for count, found in ratios["sizes"].items():
        for name, milliseconds in found["milliseconds"].items():
            ratio = found["over_auto"].get(name)
            shown = "1"
            if ratio:
                shown = f"**{ratio['median']:.2f}x** ({ratio['low']:.2f} to "
                shown += f"{ratio['high']:.2f})"
            rows.append([f"{int(count):,}", name, f"{milliseconds:.2f}", shown])
    peer = ratios["peer"]
    about = (
        f"Without the rival: {peer['error']}."
        if "error" in peer
        else f"PyTorch Geometric {peer['pyg']} (DenseGATConv), torch {peer['torch']}, "
        "started from our parameters; losses agree to 1e-3."
    )
    table = markdown_table(["labels", "run", "ms (median)", "over auto"], rows)
    return (
        f"{table}\n{about} Ratios are of neighbouring turns ({ratios['turns']} of "
        "each), with their middle half."
    )


def _step(step: Mapping[str, Any], sizes: Mapping[str, Any]) -> str:
    about = (
        f"{sizes['labels']:,} labels, {sizes['batch']} documents of {sizes['tokens']} "
        f"tokens, vectors of {sizes['width']} features, label features of "
        f"{sizes['features']}, {sizes['heads']} head(s), chunks of {sizes['chunk']:,} "
        "labels; bag of embeddings, complete label graph, chunked loss, Adam."
    )
    if "reason" in step:
        return f"{about} Failed: {step['reason']}."
    return (
        f"{about} {min(step['seconds']):.1f} s a step (fastest of "
        f"{len(step['seconds'])}, after the first), peak memory of the whole process "
        f"{step['peak'] / 2**30:.1f} GiB, of which {step['state'] / 2**30:.1f} GiB are "
        f"parameters and Adam's moments; losses {step['losses'][0]:.5g} to "
        f"{step['losses'][-1]:.5g}."
    )


def plot(record: Mapping[str, Any], file: Path) -> None:
    """Time and memory over the number of labels, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    shown = (("seconds", 1.0, "seconds"), ("working", MIB, "MiB beyond the inputs"))
    for axis, (what, unit, name) in zip(axes, shown, strict=True):
        for method, found in record["exponents"].items():
            own = [
                p
                for p in record["points"]
                if p["method"] == method and "reason" not in p
            ]
            if not own:
                continue
            values = [p[what] if what == "working" else min(p[what]) for p in own]
            colour, style = STYLES[method]
            power = found[what]
            label = method if power is None else f"{method}: N^{power:.2f}"
            labels = [p["labels"] for p in own]
            scaled = [max(value / unit, 1e-6) for value in values]
            axis.plot(labels, scaled, style, color=colour, label=label, markersize=4)
        axis.set(xlabel="labels", ylabel=name)
        if axis.lines:
            axis.set(xscale="log", yscale="log")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=8)
    figure.savefig(file, dpi=130)
    pyplot.close(figure)
