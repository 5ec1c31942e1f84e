"""Labels from elsewhere, on a terminal: agreement."""

from pathlib import Path

from labelgraph_jax.cli.terminal import add_number_columns, plain_console, plain_table
from labelgraph_jax.config.wording import counted
from labelgraph_jax.runs.agree import Agreement, Measured
from labelgraph_jax.runs.weak import Shares, WeakReport

SHOWN = 30
"""Labels of a table; --json has all."""


def number(value: float | None) -> str:
    """Three decimals, or a dash for what is not defined."""
    return "-" if value is None else f"{value:.3f}"


def measured(found: Measured) -> str:
    """A number with its interval."""
    if found.low is None:
        return number(found.value)
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def print_agreement(found: Agreement) -> None:
    """Print how far annotators agree: all, in pairs, and for each label."""
    console = plain_console()
    console.print(
        f"{counted(len(found.names), 'annotator')}, "
        f"{counted(found.documents, 'document')} that at least two annotated"
    )
    console.print(
        "Krippendorff's alpha of the label sets (MASI distance): "
        f"{measured(found.alpha)}; Fleiss' kappa, mean over labels: "
        f"{measured(found.fleiss)}"
    )
    names = [Path(name).stem for name in found.names]
    short = dict(zip(found.names, names, strict=True))
    if len(set(names)) < len(names):
        short = {name: name for name in found.names}
    table = plain_table()
    table.add_column("pair")
    add_number_columns(table, ("documents", "mean kappa", "micro-F1", "macro-F1"))
    for pair in found.pairs:
        table.add_row(
            " and ".join(short[name] for name in pair.names),
            f"{pair.documents:,}",
            *map(measured, (pair.kappa, pair.micro_f1, pair.macro_f1)),
        )
    console.print(table)
    table = plain_table()
    table.add_column("label")
    add_number_columns(table, ("given", "kappa", "PABAK", "Fleiss"))
    for label in found.labels[:SHOWN]:
        table.add_row(
            label.name,
            f"{label.given:.1%}",
            measured(label.kappa),
            number(label.pabak),
            measured(label.fleiss),
        )
    console.print(table)
    if len(found.labels) > SHOWN:
        console.print(f"and {len(found.labels) - SHOWN:,} more labels (--json)")


def print_weak(found: WeakReport, *, out: str) -> None:
    """Print what each labelling function does, and what becomes of each label."""
    console = plain_console()
    judged = found.macro_f1 is not None
    table = plain_table()
    table.add_column("function")
    titles = ["for", "against", "coverage", "overlap", "conflict"]
    add_number_columns(table, [*titles, "precision" if judged else "accuracy"])
    for function in found.functions[:SHOWN]:
        cells = [f"{function.votes_for:,}", f"{function.votes_against:,}"]
        cells += [
            f"{x:.1%}" for x in (function.coverage, function.overlap, function.conflict)
        ]
        cells.append(
            _share(function.precision) if judged else number(function.accuracy)
        )
        table.add_row(function.name, *cells)
    console.print(table)
    if len(found.functions) > SHOWN:
        console.print(f"and {len(found.functions) - SHOWN:,} more functions (--json)")
    table = plain_table()
    table.add_column("label")
    titles = ["functions", "given", "denied", "prior"]
    add_number_columns(table, [*titles, *(["F1", "of majority"] if judged else [])])
    for label in found.labels[:SHOWN]:
        cells = [f"{n:,}" for n in (label.functions, label.given, label.denied)]
        cells.append(f"{label.prior:.1%}")
        if judged:
            cells += [number(label.f1), number(label.majority_f1)]
        table.add_row(label.name, *cells)
    console.print(table)
    if len(found.labels) > SHOWN:
        console.print(f"and {len(found.labels) - SHOWN:,} more labels (--json)")
    if judged:
        console.print(
            f"macro-F1 on the labelled documents: {number(found.macro_f1)}; of a "
            f"majority: {number(found.majority_macro_f1)}"
        )
    if never := [label.name for label in found.labels if not label.denied]:
        console.print(
            f"never denied, so that nothing is learned of their absence: "
            f'{", ".join(never[:SHOWN])}; a rule with "else": "against" denies'
        )
    every, written = found.documents
    console.print(
        f"{written:,} of {counted(every, 'document')} have a vote: written to {out}"
    )


def _share(found: Shares | None) -> str:
    if found is None or found.value is None:
        return "-"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
