"""The study of position bias as JSON, Markdown and a figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.video.figures import plot_bias
from experiments.video.markup import head, is_clear, pair, save, spread, table

_PAGE_METRICS = {"spearman": "Spearman", "pairs": "pairs (AUC)", "ndcg": "nDCG@5"}


def write_position(record: Mapping[str, Any], out: Path) -> None:
    """Writes position-bias.json, .md and .png, and prints the page."""
    save(record, out / "position-bias.json")
    text = position_page(record)
    (out / "position-bias.md").write_text(text, encoding="utf-8")
    plot_bias(record, out / "position-bias.png")
    print(text)


def position_page(record: Mapping[str, Any]) -> str:
    """How well each way recovers the true order, under both click models."""
    earlier = record["earlier_ranker"]
    shares = ", ".join(f"{tab} {share:.0%}" for tab, share in record["groups"].items())
    sizes = record["sizes"]
    parts = [
        "# Position bias: four ways to learn from it, against a known truth",
        head(record),
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
        parts += [f"## {title} clicks", _positiontable(record, kind)]
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


def _positiontable(record: Mapping[str, Any], kind: str) -> str:
    columns = {
        f"{task}/{name}": f"{task}: {title}"
        for task in ("click", "long_view")
        for name, title in _PAGE_METRICS.items()
    }
    ways: dict[str, dict[str, Any]] = {}
    for row in record["rows"]:
        if row["clicks"] == kind:
            ways.setdefault(row["way"], {})[row["metric"]] = row
    return table(
        ["way", *columns.values()],
        [
            [way, *(spread(found[metric]["values"]) for metric in columns)]
            for way, found in ways.items()
        ],
    )


def _position_differences(record: Mapping[str, Any]) -> str:
    lines = []
    for row in record["differences"]:
        if not row["metric"].endswith("/spearman"):
            continue
        both = is_clear(row["interval"]) and is_clear(row["seed_interval"])
        bold = "**" if both else ""
        number = f"{bold}{100 * row['difference']:+.2f}{bold}"
        intervals = f"{pair(row['interval'])} {pair(row['seed_interval'])}"
        task = row["metric"].split("/")[0]
        lines.append([row["clicks"], row["reference"], task, f"{number} {intervals}"])
    return table(["clicks", "shallow tower minus", "task", "Spearman"], lines)
