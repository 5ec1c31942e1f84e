"""The page of the study of MMoE's successors."""

from typing import Any

import numpy as np


def markdown(record: dict[str, Any]) -> str:
    """Return the Markdown of a record."""
    metrics, rows = record["metrics"], record["rows"]
    lines = [
        f"# MMoE and what came after it: {record['study']}",
        "",
        f"{record['said']} {rows['train']:,} rows to train on, {rows['validation']:,} "
        f"for validation, {rows['test']:,} for the test. `{record['command']}`, commit "
        f"{record['commit']}, {record['hardware']}; {record['seconds']:,.0f} s in all, "
        "on a machine busy with other work.",
        "",
        f"{record['seeds']} seeds, mean ± standard deviation; {record['epochs']} "
        "epochs, of which validation chooses one. Multiplications per row are those by "
        "the weights of all layers and of the gates; experts are as wide as makes them "
        "equal to MMoE's.",
        "",
        _row(["model", "multiplications", "width", *metrics, "rate", "s a run"]),
        _row(["---", *["---:"] * (len(metrics) + 4)]),
    ]
    for model in record["models"]:
        values = (np.array(model["values"][metric]) for metric in metrics)
        cost = model.get("multiplications")
        lines.append(
            _row(
                [
                    model["title"],
                    "" if cost is None else f"{cost:,.0f}",
                    str(model.get("width", "")),
                    *(_spread(value) for value in values),
                    f"{model['learning_rate']:g}" if "learning_rate" in model else "",
                    f"{model['seconds_per_run']:.0f}",
                ]
            )
        )
    lines += [
        "",
        "## Less MMoE, 8 experts",
        "",
        "In points (hundredths). First bracket: 95 % interval when rows and seeds are "
        f"both drawn again ({record['resamples']} draws); second: Student's over the "
        "paired seeds alone. Bold: the first excludes zero. A loss or an error is "
        "better the lower it is.",
        "",
        _row(["model", *metrics]),
        _row(["---", *["---:"] * len(metrics)]),
    ]
    found = {(d["cell"], d["metric"]): d for d in record["differences"]}
    for model in record["models"]:
        name = model["cell"]
        if (name, metrics[0]) in found:
            cells = [_difference(found[name, metric]) for metric in metrics]
            lines.append(_row([model["title"], *cells]))
    return "\n".join([*lines, "", verdict(record), ""])


def verdict(record: dict[str, Any]) -> str:
    """The model with the best mean of each area under the curve, boosting too."""
    parts = []
    for metric in record["metrics"]:
        if metric.endswith("/auc"):
            best = max(record["models"], key=lambda m: np.mean(m["values"][metric]))
            parts.append(f"{metric} {best['title']}")
    return f"The best mean has: {'; '.join(parts)}."


def _difference(found: dict[str, Any]) -> str:
    text = f"{100 * found['difference']:+.2f}"
    if found["interval"] is None:
        return text
    low, high = (100 * bound for bound in found["interval"])
    text = text if low <= 0 <= high else f"**{text}**"
    text += f" [{low:+.2f}, {high:+.2f}]"
    if (own := found["seed_interval"]) is not None:
        text += f" [{100 * own[0]:+.2f}, {100 * own[1]:+.2f}]"
    return text


def _spread(values: np.ndarray) -> str:
    more = f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else ""
    return f"{values.mean():.4f}{more}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
