"""Contents of a corpus, on a terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from labelgraph_jax.cli.output import write
from labelgraph_jax.cli.terminal import add_number_columns, plain_console, plain_table
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.problems import Problem
from labelgraph_jax.data.statistics import CorpusStatistics
from labelgraph_jax.data.terminal import visible
from labelgraph_jax.runs.compare import Comparison, Share

if TYPE_CHECKING:
    from labelgraph_jax.runs.corpus import TaxonomyFacts

WORDS = 16
"""Words that are shown of a document as it is cut."""


def print_statistics(statistics: CorpusStatistics) -> None:
    """Print what a corpus holds: documents, labels, lengths, problems."""
    # Documents, labels and lengths of every split.
    console = plain_console()
    table = plain_table(
        f"{statistics.name}: {counted(statistics.documents, 'document')}, "
        f"{counted(statistics.labels, 'label')}"
    )
    table.add_column("split")
    titles = ("documents", "labels", "labels/doc", "most", "without", "words/doc")
    add_number_columns(table, titles)
    for name, split in statistics.splits.items():
        table.add_row(
            name,
            f"{split.documents:,}",
            f"{split.labels:,}",
            f"{split.labels_per_document_mean:.2f}",
            f"{split.labels_per_document_max}",
            f"{split.without_label_share:.1%}",
            f"{split.words_median:,.0f} (95%: {split.words_p95:,.0f})",
        )
    console.print(table)
    # Tasks, pairs of labels, rare labels and scripts.
    for task, splits in statistics.tasks.items():
        parts = [
            f"{name} {part.annotated:,} annotated, {counted(part.labels, 'label')}, "
            f"{part.labels_per_document_mean:.2f} each"
            for name, part in splits.items()
        ]
        console.print(f"{task}: {'; '.join(parts)}")
    rarest = ", ".join(f"{name} ({n})" for name, n in statistics.rarest_labels[:5])
    console.print(
        f"label pairs that occur together: {statistics.cooccurrence_density:.1%}"
    )
    console.print(f"rarest labels: {rarest}")
    if statistics.scripts:
        found = (f"{name} {share:.1%}" for name, share in statistics.scripts.items())
        console.print(f"scripts: {', '.join(found)}")
    # How the default cuts texts into words; notes and problems.
    for text in statistics.cut:
        words = " | ".join(text.words[:WORDS])
        more = " | ..." if len(text.words) > WORDS else ""
        console.print(
            f"{text.id}, as the default reads it: {words}{more} ({len(text.words):,} "
            f"words; with pairs and parts of words {text.tokens:,} tokens)"
        )
    for note in statistics.notes:
        console.print(f"note: {note}")
    print_problems(statistics.problems, name=statistics.name)


def print_problems(problems: Sequence[Problem], *, name: str) -> None:
    """Print the problems of a corpus, or that there is none."""
    console = plain_console()
    for problem in problems:
        console.print(f"{problem.severity}: {problem.message}")
    if not problems:
        console.print(f"{name}: no problem found")


def print_comparison(found: Comparison, *, names: tuple[str, str]) -> None:
    """Print whether two sets of documents differ, and the words and labels that do."""
    # How many documents there are, and whether they can be told apart.
    console = plain_console()
    short = (Path(names[0]).name, Path(names[1]).name)
    names = names if short[0] == short[1] else short
    low, high = found.accuracy_interval
    judged = f"{found.accuracy:.3f} [{low:.3f}, {high:.3f}], 0.5 by chance"
    console.print(
        f"{names[0]}: {counted(found.documents[0], 'document')}; {names[1]}: "
        f"{counted(found.documents[1], 'document')}; texts in both: "
        f"{found.shared_texts:,}"
    )
    if found.differs:
        low, high = found.distance_interval
        console.print(
            f"They differ: a classifier of words tells unseen documents apart with an "
            f"accuracy of {judged}; A-distance {found.distance:.2f} [{low:.2f}, "
            f"{high:.2f}], 2 where nothing is alike."
        )
    else:
        console.print(
            "No difference was found: a classifier of words tells unseen documents "
            f"apart with an accuracy of {judged}."
        )
    # Words and labels whose shares moved, and labels of one side alone.
    parts = (
        ("word", found.words, found.words_moved, found.words_compared),
        ("label", found.labels, found.labels_moved, found.labels_compared),
    )
    for kind, shares, moved, compared in parts:
        console.print(
            f"{counted(compared, kind)} compared, {moved:,} moved beyond chance"
            if compared
            else f"no {kind} is on both sides"
        )
        if shares:
            console.print(_shares(kind, shares, names))
    for name, labels in zip(names, (found.only_first, found.only_second), strict=True):
        if labels:
            more = f" and {len(labels) - 10:,} more" if len(labels) > 10 else ""
            console.print(f"labels only in {name}: {', '.join(labels[:10])}{more}")


def _shares(kind: str, shares: Sequence[Share], names: tuple[str, str]) -> Table:
    table = plain_table()
    table.add_column(kind)
    add_number_columns(table, (*names, "difference", "95 %"))
    for share in shares:
        table.add_row(
            share.name,
            f"{share.first:.1%}",
            f"{share.second:.1%}",
            f"{share.second - share.first:+.1%}",
            f"[{share.low:+.1%}, {share.high:+.1%}]",
        )
    return table


def print_taxonomy(found: "TaxonomyFacts") -> None:
    """Print what a taxonomy says of the labels of a corpus."""
    write(
        f"{counted(found['nodes'], 'node')}, {counted(found['edges'], 'edge')}, no "
        f"cycle; {counted(found['labels'], 'label')} in the documents, "
        f"{counted(found['inner_nodes'], 'inner node')} without a document"
    )
    for names, what in (
        (found["several_parents"], "with several parents"),
        (found["unused"], "on no document and above no label"),
        (found["labels_outside"], "of the documents, and not in it"),
    ):
        if names:
            shown = ", ".join(visible(name, keep="") for name in names[:5])
            more = ", ..." if len(names) > 5 else ""
            write(f"{len(names):,} {what}: {shown}{more}")
    if not found["label_pairs"]:
        write(
            "no label lies above another: --taxonomy-targets closed makes what lies "
            "above a label one too"
        )
        return
    write(
        f"{found['closed_share']:.1%} of the labels below another stand on a document "
        "with one above them"
    )
