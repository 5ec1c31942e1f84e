"""A label graph on a terminal: 80 columns wide."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from labelgraph_jax.cli.terminal import add_number_columns, plain_console, plain_table
from labelgraph_jax.config.wording import counted
from labelgraph_jax.functional.metrics.bootstrap import Interval
from labelgraph_jax.inspection.graph.report import Edge, GraphReport
from labelgraph_jax.predictors.graph_choice import points

if TYPE_CHECKING:
    from labelgraph_jax.runs.graph_worth import GraphResults

NAMED = 8
"""Isolated labels that are listed; of further ones the number is given."""
NAME_WIDTH = 26


def print_graph(report: GraphReport, *, out: str = "") -> None:
    """Print what a label graph looks like, and where it was saved."""
    console = plain_console()
    learned = report.learned
    _print_numbers(console, report)
    title = "strongest edges" + (" before training" if learned else "")
    _print_edges(console, title, report.strongest, report.titles)
    if learned:
        alike = (
            f"correlation of the weights before and after {learned.correlation:.3f}, "
            if learned.correlation is not None
            else ""
        )
        console.print(f"training: {alike}mean change {learned.mean_change:.4f}")
        for title, edges in (
            ("strongest edges after training", learned.strongest),
            ("strengthened most", learned.strengthened),
            ("weakened most", learned.weakened),
        ):
            _print_edges(console, title, edges, report.titles)
    _print_thresholds(console, report)
    if out:
        console.print(
            f"Saved as {out}; start from it with `labelgraph train "
            f"--graph.initialisation file --graph.adjacency-file {out}`"
        )


def _print_numbers(console: Console, report: GraphReport) -> None:
    # How the graph was made, and of what.
    about = report.about
    how = str(about.get("initialisation", "adjacency"))
    settings = [
        f"{n} {about[n]}" for n in ("tau", "p", "neighbours", "vectors") if n in about
    ]
    console.print(
        f"{report.name}: {how}" + (f" ({', '.join(settings)})" if settings else ""),
        style="bold",
    )
    known = report.documents or about.get("training_documents")
    documents = (
        f" of {counted(known, 'training document')}" if isinstance(known, int) else ""
    )
    # Its size, and which labels receive from how many.
    label, senders = report.most_senders
    lines = [
        f"{counted(report.labels, 'label')}{documents}; "
        f"{counted(report.edges, 'edge')} between two of them: density "
        f"{report.density:.2%}, {report.reciprocated:.1%} go both ways",
        f"a label receives from {report.mean_senders:.1f} others on average, "
        f"{_called(label, report.titles)!r} from most: {senders:,}",
        f"{counted(report.self_loops, 'label receives', 'labels receive')} from "
        f"{'itself' if report.self_loops == 1 else 'themselves'}, "
        f"{len(report.isolated):,} from no other label{_listed(report)}",
    ]
    if "p" in about and isinstance(about["p"], float):
        lines.append(
            f"p: a label with neighbours gives them {about['p']:g} of its weight in "
            f"equal parts and keeps {1 - about['p']:g}"
        )
    for line in lines:
        console.print(line)


def _print_edges(
    console: Console, title: str, edges: Sequence[Edge], titles: Mapping[str, str]
) -> None:
    if not edges:
        return
    console.print(f"\n{title}", style="bold")
    table = plain_table()
    table.add_column("receiver", no_wrap=True, max_width=NAME_WIDTH)
    table.add_column("<- sender", no_wrap=True, max_width=NAME_WIDTH)
    counted, compared = edges[0].documents is not None, edges[0].before is not None
    numbers = ["before"] * compared + ["weight"] + ["P", "count"] * counted
    add_number_columns(table, numbers)
    for edge in edges:
        cells = [_called(edge.receiver, titles), _called(edge.sender, titles)]
        if edge.before is not None:
            cells.append(f"{edge.before:.3f}")
        cells.append(f"{edge.weight:.3f}")
        if edge.probability is not None:
            cells += [f"{edge.probability:.3f}", f"{edge.documents:,}"]
        table.add_row(*cells)
    console.print(table)
    if counted:
        console.print(
            "P: share of the receiver's documents that carry the sender; "
            "count: documents with both"
        )


def _print_thresholds(console: Console, report: GraphReport) -> None:
    if not report.thresholds:
        return
    pairs = report.cooccurring_pairs or 0
    chosen = report.about.get("tau")
    console.print(
        f"\nthresholded: edges among {pairs:,} ordered pairs that occur together",
        style="bold",
    )
    table = plain_table()
    add_number_columns(table, ("tau", "edges kept", "share", "isolated labels"))
    for row in report.thresholds:
        table.add_row(
            f"{row.tau:g}" + (" *" if row.tau == chosen else "  "),
            f"{row.edges:,}",
            f"{row.edges / max(pairs, 1):.1%}",
            f"{row.isolated:,}",
        )
    console.print(table)
    if chosen is not None:
        console.print("* this graph")


def _listed(report: GraphReport) -> str:
    if not report.isolated:
        return ""
    names = [_called(name, report.titles) for name in report.isolated[:NAMED]]
    more = len(report.isolated) - NAMED
    return f": {', '.join(names)}" + (f" and {more:,} more" if more > 0 else "")


def _called(name: str, titles: Mapping[str, str]) -> str:
    return f"{name} {titles[name]}" if name in titles else name


def print_worth(found: "GraphResults", *, out: str = "") -> None:
    """Print what every form of label vectors gains, and the answer in one line."""
    console = plain_console()
    console.print("macro-F1 by cross-validation, points [95 %]", style="bold")
    table = plain_table()
    table.add_column("label vectors", max_width=40)
    add_number_columns(table, ("over none", "of messages"))
    for name, way in found["ways"].items():
        table.add_row(
            name + " *" * (name == found["kind"]),
            _gain(way["gain"]),
            _gain(way["message_gain"]),
        )
    console.print(table)
    console.print(
        "none: a free vector per label; of messages: over the same form without them"
    )
    if "features" in found["ways"]:
        console.print(
            "Messages carry names, a label's own among them: of free + message they "
            "gain what names gain, too"
        )
    console.print(f"* {found['said']}")
    if out:
        console.print(f"Written to {out}.")


def _gain(gain: Mapping[str, Sequence[float]]) -> str:
    return points(Interval(*gain["macro_f1"])) if gain else ""
