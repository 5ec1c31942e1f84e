"""Tables for a terminal: 80 columns wide, colour only where there is a terminal."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from labelgraph_jax.data.statistics import CorpusStatistics, Problem

MODEL_AT_HALF = "label graph, at 0.5"
RULES = {
    "0.5": "every label is decided at 0.5",
    "global": "one threshold for all labels",
    "sloped": "a threshold that slopes with how often a label occurs",
    "label": "a threshold per label",
}
"""The rules that `auto` chooses from, in words."""
COLUMNS = {
    "micro_f1": ("micro", "F1"),
    "macro_f1": ("macro", "F1"),
    "samples_f1": ("sample", "F1"),
    "hamming_loss": ("Hamming", "loss"),
    "subset_accuracy": ("exact", "match"),
    "P@1": ("P@1", ""),
    "nDCG@5": ("nDCG@5", ""),
}

GROUPS_FROM = 1000
"""Labels from which on frequent and rare ones are shown apart."""
GROUP_METRICS = ("R@5", "RP@5", "nDCG@5")
GROUP_TITLES = {
    "frequent": "frequent, 50 or more",
    "few": "few, 1 to 49",
    "zero": "zero-shot, none",
}


def result_rows(results: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Name and metrics of every row of the table of results.

    Below the model's row stands one for each label set, where there are several.
    """
    test = results["test"]
    if test is None:
        return []
    asked, decision = test["threshold"], test.get("decision", {})
    plain = asked == "half" and not (
        decision.get("at_least_one") or decision.get("consistent")
    )
    # The same name for every seed: which rule `auto` chose may differ.
    own = MODEL_AT_HALF if plain else f"label graph, {asked}"
    rows = [(own, test["metrics"])]
    rows += [
        (f"  {task}", found["metrics"])
        for task, found in test.get("tasks", {}).items()
        if found["metrics"]
    ]
    if not plain:
        rows.append((MODEL_AT_HALF, test["metrics_at_half"]))
    baseline = results.get("baseline")
    if baseline:
        rows += [(name, values) for name, values in baseline["metrics"].items()]
    return rows


def verdict(results: dict[str, Any]) -> str:
    """One sentence: does the model or the baseline win, each at its best?"""
    baseline = results.get("baseline")
    if not baseline or not results["test"]:
        return ""
    parts = []
    for metric in ("micro_f1", "macro_f1"):
        ours = results["test"]["metrics"][metric]
        name, theirs = max(
            ((n, values[metric]) for n, values in baseline["metrics"].items()),
            key=lambda pair: pair[1],
        )
        word = "wins" if ours > theirs else "loses" if ours < theirs else "ties"
        parts.append(
            f"on {'-'.join(COLUMNS[metric])} the label graph {word} by "
            f"{abs(ours - theirs):.4f} against {name.replace(', ', ' ')}"
        )
    return "; ".join(parts)


def print_results(results: dict[str, Any], *, workdir: str) -> None:
    """Prints the table of results, what it was measured on, and what to do next."""
    console = Console(highlight=False)
    test = results["test"]
    if test is None:
        console.print("No test split: nothing was evaluated.")
        return
    own = results["split"] == "test"
    what = "test documents" if own else "documents"
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{results['corpus']}: {test['documents']:,} {what}, "
        f"{results['labels']:,} labels",
        title_justify="left",
        title_style="bold",
        padding=(0, 1, 0, 0),
    )
    table.add_column("model", no_wrap=True)
    for title in COLUMNS.values():
        table.add_column("\n".join(title), justify="right")
    for place, (name, metrics) in enumerate(result_rows(results)):
        if place == 0 and name == "label graph, auto":
            name = f"graph, auto ({_chosen(test)})"  # longer ones cut the numbers
        table.add_row(name, *(f"{metrics[key]:.4f}" for key in COLUMNS))
    console.print(table)
    if results["labels"] >= GROUPS_FROM and test.get("groups"):
        console.print(_group_table(test))
    _print_notes(console, results)
    if own:
        console.print(f"Everything else is in {workdir}/results.json", markup=False)


def _group_table(test: dict[str, Any]) -> Table:
    """How frequent, rare and unseen labels are ranked among themselves, and all."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("labels, by training documents", no_wrap=True)
    for title in ("labels", "documents", *GROUP_METRICS):
        table.add_column(title, justify="right")

    def row(name: str, labels: str, documents: int, metrics: dict[str, Any]) -> None:
        values = (metrics[key] for key in GROUP_METRICS)
        shown = ("-" if value is None else f"{value:.4f}" for value in values)
        table.add_row(name, labels, f"{documents:,}", *shown)

    row("all", "", test["documents"], test["metrics"])
    for name, found in test["groups"].items():
        title = GROUP_TITLES.get(name, name)
        row(title, f"{found['labels']:,}", found["documents"], found)
    return table


def _chosen(test: dict[str, Any]) -> str:
    """The rule that `auto` chose; that of version 0.1 had one alone."""
    kind = test.get("decision", {}).get("kind", "label")
    return "0.5" if kind == "half" else kind


def _print_notes(console: Console, results: dict[str, Any]) -> None:
    test = results["test"]
    if sentence := verdict(results):
        console.print(sentence[0].upper() + sentence[1:] + ".", markup=False)
    if "hierarchical_f1" in test["metrics"]:
        console.print(_taxonomy_sentence(test["metrics"]), markup=False)
    if test["threshold"] == "auto" and "decision" in test:
        least = test["decision"]["at_least_one"]
        console.print(
            f"Chosen on validation documents: {RULES[_chosen(test)]}"
            + (", and at least one label per document" if least else ""),
            markup=False,
        )
    if test["unseen_labels"]:
        unseen = test["unseen_labels"]
        shown = ", ".join(
            f"{name} ({count})" for name, count in list(unseen.items())[:5]
        )
        more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
        console.print(
            f"{sum(unseen.values()):,} occurrences of {len(unseen):,} labels that "
            f"training never saw are left out of these numbers: {shown}{more}",
            markup=False,
        )
    for task, found in test.get("tasks", {}).items():
        if not found["metrics"]:
            console.print(
                f"{task}: not measured, with {found['labels']:,} labels learned and "
                f"{found['documents']:,} documents annotated",
                markup=False,
            )
        elif found["documents"] < test["documents"]:
            console.print(
                f"{task}: {found['documents']:,} of the {test['documents']:,} "
                "documents are annotated for it",
                markup=False,
            )
    if absent := test.get("absent_labels"):
        console.print(
            f"{absent:,} of {results['labels']:,} labels occur in none of these "
            "documents and count as 0 in macro-F1; without them it is "
            f"{test['metrics']['macro_f1_present']:.4f}",
            markup=False,
        )
    if test["truncated_documents"]:
        console.print(
            f"{test['truncated_documents']:,} test documents are longer than what the "
            "encoder reads"
        )
    if memory := results.get("memory"):
        console.print(f"Memory: {memory['summary']}", markup=False)
    if added := test.get("added_labels"):
        console.print(_added_sentence(added), markup=False)
    if joined := results.get("ensemble"):
        weights = ", ".join(f"{weight:.2f}" for weight in joined["weights"])
        console.print(f"{len(joined['weights'])} models, weights {weights}")
    training = results.get("training")
    if training and "steps" in training:
        console.print(
            f"{training['steps']:,} steps in {training['seconds']:,.0f} s, "
            f"{training['documents_per_second']:,.0f} documents/s; best "
            f"{training['selection_metric']} on validation "
            f"{training['best_validation'] or float('nan'):.4f} at step "
            f"{training['best_step']}",
            markup=False,
        )


def _added_sentence(added: dict[str, Any]) -> str:
    said = (
        f"{added['labels']:,} labels were added after training; {added['documents']:,} "
        "documents carry one"
    )
    if metrics := added["metrics"]:
        said += (
            f": among themselves RP@5 {metrics['RP@5']:.4f}, nDCG@5 "
            f"{metrics['nDCG@5']:.4f}, micro-F1 {metrics['micro_f1']:.4f}"
        )
    return said


def _taxonomy_sentence(metrics: dict[str, float]) -> str:
    precision, recall, f1 = (
        metrics[f"hierarchical_{name}"] for name in ("precision", "recall", "f1")
    )
    return (
        f"Ancestors counted in: hierarchical F1 {f1:.4f} (precision {precision:.4f}, "
        f"recall {recall:.4f}); {metrics['taxonomy_violations']:.1%} of the documents "
        "get a label without its ancestors, "
        f"{metrics['taxonomy_violations_in_truth']:.1%} carry one"
    )


def print_statistics(statistics: CorpusStatistics) -> None:
    """Prints what a corpus holds: documents, labels, lengths, problems."""
    console = Console(highlight=False)
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{statistics.name}: {statistics.documents:,} documents, "
        f"{statistics.labels:,} labels",
        title_justify="left",
        title_style="bold",
        padding=(0, 1, 0, 0),
    )
    table.add_column("split")
    titles = ("documents", "labels", "labels/doc", "most", "without", "words/doc")
    for title in titles:
        table.add_column(title, justify="right")
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
            f"{name} {part.annotated:,} annotated, {part.labels:,} labels, "
            f"{part.labels_per_document_mean:.2f} each"
            for name, part in splits.items()
        ]
        console.print(f"{task}: {'; '.join(parts)}", markup=False)
    rarest = ", ".join(f"{name} ({n})" for name, n in statistics.rarest_labels[:5])
    lines = [
        f"label pairs that occur together: {statistics.cooccurrence_density:.1%}",
        f"rarest labels: {rarest}",
        *(f"note: {note}" for note in statistics.notes),
    ]
    for line in lines:
        console.print(line, markup=False)
    print_problems(statistics.name, statistics.problems)


def print_problems(name: str, problems: Sequence[Problem]) -> None:
    """Prints the problems of a corpus, or that there is none."""
    console = Console(highlight=False)
    for problem in problems:
        console.print(f"{problem.severity}: {problem.message}", markup=False)
    if not problems:
        console.print(f"{name}: no problem found", markup=False)
