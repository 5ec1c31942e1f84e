"""What a corpus holds, on a terminal."""

from collections.abc import Sequence

from labelgraph_jax.cli.terminal import add_number_columns, plain_console, plain_table
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.problems import Problem
from labelgraph_jax.data.statistics import CorpusStatistics

WORDS = 16
"""Words that are shown of a document as it is cut."""


def print_statistics(statistics: CorpusStatistics) -> None:
    """Print what a corpus holds: documents, labels, lengths, problems."""
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
