"""Results on a terminal: of labelled texts one table, of a table one per kind of task.

Results are plain values as of results.json; those of texts name a `corpus`, those of a
table their `data`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from labelgraph_jax.cli.terminal import add_number_columns, plain_console, plain_table
from labelgraph_jax.config.wording import counted
from labelgraph_jax.predictors.tables.metrics import unseen_lines
from labelgraph_jax.runs.result_rows import (
    COLUMNS,
    GROUP_COLUMNS,
    TASK_COLUMNS,
    UNLABELLED_COLUMNS,
    group_rows,
    result_rows,
    task_rows,
    unlabelled_lines,
    unlabelled_rows,
    verdicts,
)

RULES = {
    "0.5": "every label is decided at 0.5",
    "global": "one threshold for all labels",
    "sloped": "a threshold that slopes with how often a label occurs",
    "label": "a threshold per label",
}
"""The rules that `auto` chooses from, in words."""

GROUPS_FROM = 1000
"""Labels from which on frequent and rare ones are shown apart."""
GROUP_METRICS = ("R@5", "RP@5", "nDCG@5")
GROUP_TITLES = {
    "frequent": "frequent, 50 or more",
    "few": "few, 1 to 49",
    "zero": "zero-shot, none",
}

MOST_LABELS = 12
"""Labels whose unlabelled documents are told of; the report has all."""
UNDEFINED = "undefined"
_COUNTS = ("rows", "positives", "groups", "mixed")


def print_results(results: Mapping[str, Any], *, workdir: str) -> None:
    """Print tables of results, what they were measured on, and what to do next."""
    console = plain_console()
    if results["test"] is None:
        console.print("No test split: nothing was evaluated.")
        return
    own = results["split"] == "test"
    if "corpus" in results:
        _print_documents(console, results, own=own)
        notes = _document_notes(results)
    else:
        _print_tasks(console, results, own=own)
        notes = _task_notes(results)
    for note in notes:
        console.print(note)
    if own and "stream" not in results:  # a version's file holds no measures
        console.print(f"Everything else is in {workdir}/results.json")


def _print_documents(
    console: Console, results: Mapping[str, Any], *, own: bool
) -> None:
    test = results["test"]
    table = plain_table(
        f"{results['corpus']}: "
        f"{counted(test['documents'], 'test document' if own else 'document')}, "
        f"{counted(results['labels'], 'label')}"
    )
    table.add_column("model", overflow="fold")
    add_number_columns(table, map("\n".join, COLUMNS.values()), no_wrap=True)
    for name, metrics in result_rows(results):
        table.add_row(name, *(f"{metrics[key]:.4f}" for key in COLUMNS))
    console.print(table)
    if rows := unlabelled_rows(results):
        _print_unlabelled(console, rows)
    if results["labels"] >= GROUPS_FROM and test.get("groups"):
        _print_groups(console, test)


def _print_unlabelled(console: Console, rows: list[tuple[str, list[str]]]) -> None:
    """Print a table of what was thought of documents without labels, per label."""
    more = f", {MOST_LABELS} of {len(rows):,}" if len(rows) > MOST_LABELS else ""
    table = plain_table(f"documents without labels, by label{more}")
    table.add_column("label", overflow="fold")
    # Broken between words, or a narrow terminal would cut them.
    broken = str.maketrans({" ": "\n", "-": "-\n"})
    titles = (title.translate(broken) for title in UNLABELLED_COLUMNS.values())
    add_number_columns(table, titles, no_wrap=True)
    for name, cells in rows[:MOST_LABELS]:
        table.add_row(name, *cells)
    console.print(table)


def _print_groups(console: Console, test: Mapping[str, Any]) -> None:
    """Print how frequent, rare and unseen labels rank among themselves, and all."""
    table = plain_table()
    table.add_column("labels, by training documents", no_wrap=True)
    add_number_columns(table, ("labels", "documents", *GROUP_METRICS))
    rows = [("all", "", test["documents"], test["metrics"])]
    for name, group in test["groups"].items():
        labels = f"{group['labels']:,}"
        rows.append((GROUP_TITLES.get(name, name), labels, group["documents"], group))
    for name, labels, documents, metrics in rows:
        values = (metrics[key] for key in GROUP_METRICS)
        shown = ("-" if value is None else f"{value:.4f}" for value in values)
        table.add_row(name, labels, f"{documents:,}", *shown)
    console.print(table)


def _chosen(test: Mapping[str, Any]) -> str:
    """The rule that `auto` chose; that of version 0.1 had one alone."""
    kind = test.get("decision", {}).get("kind", "label")
    return "0.5" if kind == "half" else kind


def _document_notes(results: Mapping[str, Any]) -> Iterator[str]:
    # What unlabelled documents gave, and how the run compares.
    test = results["test"]
    compared = verdicts(results)
    yield from unlabelled_lines(results)
    yield from compared
    if any("[" in sentence for sentence in compared):
        yield "Intervals: 95 of 100 resamples of the test documents; one seed."
    if "hierarchical_f1" in test["metrics"]:
        yield _taxonomy_sentence(test["metrics"])
    if test["threshold"] == "auto" and "decision" in test:
        least = test["decision"]["at_least_one"]
        yield f"Chosen on validation documents: {RULES[_chosen(test)]}" + (
            ", and at least one label per document" if least else ""
        )
    # What these numbers leave out, or count as 0.
    if unseen := test["unseen_labels"]:
        shown = ", ".join(
            f"{name} ({count})" for name, count in list(unseen.items())[:5]
        )
        more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
        yield (
            "Left out of these numbers: "
            f"{counted(sum(unseen.values()), 'occurrence')} of "
            f"{counted(len(unseen), 'label')} that training never saw, {shown}{more}"
        )
    if alike := test.get("differ_in_case"):
        pairs = [f"{name} (trained: {label})" for name, label in alike.items()]
        yield (
            f"{counted(len(alike), 'label')} of the file in other capitals than in "
            f"training, so unknown: {', '.join(pairs[:5])}{', ...' * (len(pairs) > 5)}"
        )
    for task, found in test.get("tasks", {}).items():
        if not found["metrics"]:
            yield (
                f"{task}: not measured, with {counted(found['labels'], 'label')} "
                f"learned and {counted(found['documents'], 'document')} annotated"
            )
        elif found["documents"] < test["documents"]:
            yield (
                f"{task}: {found['documents']:,} of the "
                f"{counted(test['documents'], 'document')} annotated for it"
            )
    if absent := test.get("absent_labels"):
        yield (
            f"{absent:,} of {counted(results['labels'], 'label')} "
            f"{'occurs' if absent == 1 else 'occur'} in none of these documents, "
            "which counts as 0 in macro-F1; without it that is "
            f"{test['metrics']['macro_f1_present']:.4f}"
        )
    if truncated := test["truncated_documents"]:
        longer = counted(truncated, "test document is", "test documents are")
        yield f"{longer} longer than what the encoder reads"
    # What a run has beside its network, and what it chose.
    if memory := results.get("memory"):
        yield f"Memory: {memory['summary']}"
    if adapted := results.get("adaptation"):
        from labelgraph_jax.runs.adapt import sentence

        said = sentence(adapted)
        yield said[0].upper() + said[1:]
        if warning := adapted.get("warning"):
            yield f"Warning: {warning}"
    if graph := results.get("graph"):
        yield f"Label graph, chosen: {graph['said']}"
    if chosen := results.get("hierarchy_choice"):
        yield f"Hierarchy: {chosen['said']}"
    # Labels without training documents.
    if added := test.get("added_labels"):
        yield _added_sentence(added)
    if both := test.get("seen_and_unseen"):
        yield (
            f"Among all labels RP@5 {both['seen']:.4f} of those with training "
            f"documents, {both['unseen']:.4f} of those without; harmonic mean "
            f"{both['harmonic_mean']:.4f}"
        )
    # Members of an ensemble, and how training went.
    if joined := results.get("ensemble"):
        weights = ", ".join(f"{weight:.2f}" for weight in joined["weights"])
        yield f"{counted(len(joined['weights']), 'model')}, weights {weights}"
    training = results.get("training")
    if training and "steps" in training:
        best = training["best_validation"]
        best = float("nan") if best is None else best
        yield (
            f"{counted(training['steps'], 'step')} in {training['seconds']:,.0f} s, "
            f"{training['documents_per_second']:,.0f} documents/s; best "
            f"{training['selection_metric']} on validation "
            f"{best:.4f} at step {training['best_step']}"
        )


def _added_sentence(added: Mapping[str, Any]) -> str:
    said = (
        f"{counted(added['labels'], 'label was', 'labels were')} added after training; "
        f"{counted(added['documents'], 'document carries', 'documents carry')} one"
    )
    if metrics := added["metrics"]:
        said += (
            f": among themselves RP@5 {metrics['RP@5']:.4f}, nDCG@5 "
            f"{metrics['nDCG@5']:.4f}, micro-F1 {metrics['micro_f1']:.4f}"
        )
    return said


def _taxonomy_sentence(metrics: Mapping[str, float]) -> str:
    precision, recall, f1 = (
        metrics[f"hierarchical_{name}"] for name in ("precision", "recall", "f1")
    )
    return (
        f"Ancestors counted in: hierarchical F1 {f1:.4f} (precision {precision:.4f}, "
        f"recall {recall:.4f}); {metrics['taxonomy_violations']:.1%} of the documents "
        "get a label without its ancestors, "
        f"{metrics['taxonomy_violations_in_truth']:.1%} carry one"
    )


def _print_tasks(console: Console, results: Mapping[str, Any], *, own: bool) -> None:
    test = results["test"]
    console.print(
        f"{results['data']}: {counted(test['rows'], 'test row' if own else 'row')}, "
        f"{counted(len(test['tasks']), 'task')}, {results['mixture']}",
        style="bold",
    )
    for kind, columns in TASK_COLUMNS.items():
        tasks = [n for n, task in test["tasks"].items() if task["kind"] == kind]
        if not tasks:
            continue
        table = plain_table()
        table.add_column(kind, overflow="fold")
        add_number_columns(table, (*columns.values(), "skill"), no_wrap=True)
        for task in tasks:
            for name, metrics, skill in task_rows(results, task, own=task):
                inner = name != task
                cells = [
                    "" if inner and key in _COUNTS else _cell(key, metrics[key])
                    for key in columns
                ]
                label = f"  {name}" if inner else name
                table.add_row(label, *cells, _cell("skill", skill))
        console.print(table)
    _print_within_groups(console, results)


def _print_within_groups(console: Console, results: Mapping[str, Any]) -> None:
    """Print the ranking of rows of binary tasks within their groups."""
    table = plain_table()
    table.add_column("within groups", overflow="fold")
    add_number_columns(table, GROUP_COLUMNS.values(), no_wrap=True)
    for task in results["test"]["tasks"]:
        for name, metrics in group_rows(results, task, own=task):
            inner = name != task
            cells = [
                "" if inner and key in _COUNTS else _cell(key, metrics[key])
                for key in GROUP_COLUMNS
            ]
            table.add_row(f"  {name}" if inner else name, *cells)
    if table.row_count:
        console.print(table)


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return UNDEFINED
    if key in ("rows", "groups", "mixed"):
        return f"{value:,.0f}"
    if key == "positives":
        return f"{value:.1%}" if value >= 0.01 or value == 0 else f"{value:.2%}"
    if key in ("rmse", "mae"):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return f"{value:.4f}"


def _task_notes(results: Mapping[str, Any]) -> Iterator[str]:
    test = results["test"]
    # Every task: what is undefined, and how it is decided.
    for name, task in test["tasks"].items():
        yield from _undefined(name, task)
        yield from _decided(name, task)
    # What the file lacks, and what training never saw.
    if absent := test.get("absent"):
        yield (
            f"There is no column {' and none '.join(absent)}: rows count the same, or "
            "are not ranked within groups"
        )
    for line in unseen_lines(test["unseen"], test["rows"]):
        yield line[0].upper() + line[1:]
    yield from test.get("remarks", ())
    for name, found in test["unseen_targets"].items():
        shown = ", ".join(found["most_frequent"])
        yield (
            f"Task {name}: {found['rows']:,} targets that training lacks are left out "
            f"({shown})"
        )
    # Weights that were learned, what skill means, and the baselines' skill.
    if results.get("learned_weights"):
        weights = results["learned_weights"].items()
        shown = ", ".join(f"{name} {weight:.3g}" for name, weight in weights)
        yield f"Weights of the tasks' losses, learned: {shown}"
    yield (
        "Skill: the part of the constant prediction's loss that is saved; 0 is no "
        f"better than the shares of training, 1 is perfect. Mean {test['skill']:.4f}"
    )
    if baseline := results["baseline"]:
        parts = [
            f"{test['skill'] - model['skill']:+.4f} against {name}"
            for name, model in baseline["models"].items()
        ]
        yield f"Mean skill of the model: {', '.join(parts)}."


def _decided(name: str, task: Mapping[str, Any]) -> Iterator[str]:
    """Notes on a decision other than at 0.5, and on a calibration."""
    decision = task.get("decision") or {}
    threshold, line = decision.get("threshold"), decision.get("calibration")
    if "metrics_at_half" in task:
        at = "a threshold per label" if threshold is None else f"{threshold:.4g}"
        yield f"Task {name}: decided at {at}, chosen on validation rows"
    if line and line["gain"]:
        yield (
            f"Task {name}: calibrated on validation rows, {line['scale']:.3g} times "
            f"the logit {line['shift']:+.3g}"
        )


def _undefined(name: str, task: Mapping[str, Any]) -> Iterator[str]:
    metrics = task["metrics"]
    if not metrics["rows"]:
        yield f"Task {name}: no row has a target, so nothing was measured"
    elif task["kind"] == "binary" and metrics["auc"] is None:
        held = "positive" if metrics["positives"] else "negative"
        yield f"Task {name}: every target is {held}, so its AUC is undefined"
    elif task["kind"] == "squared" and metrics["r2"] is None:
        yield f"Task {name}: every target is the same, so R² is undefined"
