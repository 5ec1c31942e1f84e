"""Labels from elsewhere, on a terminal: agreement."""

from collections.abc import Sequence
from pathlib import Path

from labelgraph_jax.cli.terminal import add_number_columns, plain_console, plain_table
from labelgraph_jax.config.wording import counted
from labelgraph_jax.runs.agree import Agreement, Measured
from labelgraph_jax.runs.discover import Proposal
from labelgraph_jax.runs.pseudo import PseudoReport, TaxonomyReport
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
    # All annotators together.
    console.print(
        f"{counted(len(found.names), 'annotator')}, "
        f"{counted(found.documents, 'document')} that at least two annotated"
    )
    console.print(
        "Krippendorff's alpha of the label sets (MASI distance): "
        f"{measured(found.alpha)}; Fleiss' kappa, mean over labels: "
        f"{measured(found.fleiss)}"
    )
    # Every pair, by short names where they differ.
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
    # The labels that are given most often.
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
    # Every function: its votes, and how far they are right.
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
    # Every label: its votes and prior, and F1 where the truth is known.
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
    # All labels together, and what the votes cannot teach.
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


def print_taxonomy(found: TaxonomyReport, *, out: str) -> None:
    """Print the labels that were read, and what became of those before."""
    console = plain_console()
    for name, count in found.labels.items():
        console.print(f"{name} ({count})")
    for title, names in (("added", found.added), ("dropped", found.removed)):
        if names:
            console.print(f"{title}: {', '.join(names)}")
    for before, now in found.renamed:
        console.print(f"renamed: {before} is now {now}")
    _print_pairs("may be one label", found.alike)
    console.print(f"{counted(len(found.labels), 'label')} written to {out}")


def print_pseudo(found: PseudoReport, *, out: str) -> None:
    """Print what the answers say of the documents and of the labels."""
    console = plain_console()
    every, answered = found.documents
    console.print(
        f"{answered:,} of {counted(every, 'document')} answered in "
        f"{counted(found.runs, 'run')}; {found.coverage:.1%} have a label, "
        f"{found.labels_each:.2f} each"
    )
    if found.agreed is not None:
        console.print(f"labels of any run that all runs gave: {found.agreed:.1%}")
    given = sorted(found.given.items(), key=lambda pair: -pair[1])
    named = ", ".join(f"{name} ({count:,})" for name, count in given[:SHOWN])
    console.print(f"labels: {named or 'none'}")
    if found.unused:
        console.print(f"of no document: {', '.join(found.unused[:SHOWN])}")
    _print_pairs("mostly stand together", found.together)
    _print_pairs("may be one label", found.alike)
    console.print(f"{counted(answered, 'document')} written to {out}")


def _print_pairs(title: str, pairs: Sequence[tuple[str, str, float]]) -> None:
    for one, other, share in pairs[:SHOWN]:
        plain_console().print(f"{title}: {one} and {other} ({share:.0%} in common)")


def print_proposals(
    found: Sequence[Proposal], *, out: str, documents: tuple[int, int]
) -> None:
    """Print proposed labels, each with documents and the nearest label there is."""
    console = plain_console()
    for proposal in found:
        console.print(
            f"{proposal.name} ({counted(proposal.documents, 'document')}; nearest: "
            f"{proposal.nearest}, {proposal.nearest_probability:.2f}): "
            f"{proposal.description}"
        )
        for name, text in proposal.examples:
            shown = " ".join(text.split())
            console.print(f"  {name}: {shown[:70]}{'...' if shown[70:] else ''}")
    every, looked = documents
    console.print(
        f"{looked:,} of {counted(every, 'document')} have no probable label; "
        f"{counted(len(found), 'proposal')} written to {out}"
    )
