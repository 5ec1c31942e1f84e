"""Messages of a run over a table before training: tasks, columns, suspicions."""

from collections.abc import Iterator, Sequence

import numpy as np

from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.readings import stray_remark
from labelgraph_jax.data.tables.schema import Column, TableSchema
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.data.tables.values import moment_name
from labelgraph_jax.functional.metrics.tasks import roc_auc

LEAK_AUC = 0.98
"""A column that alone ranks the rows of a binary task so well is suspicious."""

_LEAK_ROWS = 20_000
# Of 40 columns of noise, three rank two positives so well; twenty, none does.
_LEAK_POSITIVES = 20
_SHOWN_CLASSES = 4
_ITEMS = {"ids": ("value in lists", "values in lists"), "text": ("word", "words")}
_READS = {
    "time": "times",
    "comma": "decimal commas",
    "thousands": "marks between thousands",
}


def table_lines(
    name: str,
    rows: int,
    schema: TableSchema,
    targets: Sequence[Target],
    weights: Sequence[float],
) -> Iterator[str]:
    """Every task, every column and how it is read, and those left out, a line each."""
    categorical, numeric = len(schema.categorical), len(schema.numeric)
    others = len(schema.columns) - categorical - numeric
    yield (
        f"{name}: {counted(rows, 'row')} to train on; "
        f"{counted(len(targets), 'task')}; {categorical:,} categorical and "
        f"{counted(numeric, 'numeric column')}"
        + (f"; {others:,} of lists, vectors or texts" if others else "")
        + (f"; {len(schema.dropped)} left out" if schema.dropped else "")
    )
    width = max(len(t.name) for t in targets)
    yield "tasks"
    for target, weight in zip(targets, weights, strict=True):
        weighs = "" if weight == 1.0 else f"; weight {weight:g}"
        found = f"{_target(target, rows)}{weighs}"
        yield f"  {target.name:<{width}}  {target.kind:<11}  {found}"
    yield (
        "inputs: every other column (--table.drop NAME leaves out what is not known "
        "when predicting; --table.categorical and --table.numeric read it otherwise)"
    )
    names = [*(c.name for c in schema.columns), *schema.dropped]
    width = max(map(len, names))
    for column in schema.columns:
        yield f"  {column.name:<{width}}  {column.kind:<11}  {_column(column)}"
    for dropped, reason in schema.dropped.items():
        yield f"  {dropped:<{width}}  left out     {reason}"


def _target(target: Target, rows: int) -> str:
    without = (
        "" if target.rows == rows else f"; {counted(rows - target.rows, 'row')} without"
    )
    match target.kind:
        case "squared":
            return f"mean {target.mean:,.6g}, deviation {target.scale:,.6g}{without}"
        case "binary":
            against = target.values[0] or "all others"
            return (
                f"{target.values[1]} against {against}: {target.prior[0]:.1%} "
                f"positive{_condition(target)}{without}"
            )
        case "multi_class":
            values = counted(target.width, "class", "classes")
        case _:
            values = counted(target.width, "label")
    order = np.argsort(-np.asarray(target.prior), kind="stable")[:_SHOWN_CLASSES]
    most = ", ".join(f"{target.values[i]} {target.prior[i]:.1%}" for i in order)
    more = ", ..." if target.width > _SHOWN_CLASSES else ""
    return f"{values}: {most}{more}{without}"


def _condition(target: Target) -> str:
    return f", known only where {target.given} is" if target.given else ""


def _column(column: Column) -> str:
    # How its fields are read.
    parts = []
    if column.reads:
        parts.append(_READS[column.reads])
    if column.verbatim and column.kind == "categorical":
        parts.append("names as they are written, 1.1 and 1.10 being two")
    # What they hold, by kind of column.
    if column.reads == "time":
        mean, spread = moment_name(round(column.mean)), column.scale / 86_400
        if not column.unit:
            parts.append(f"mean {mean}, deviation {spread:,.6g} days")
    elif column.kind == "vector":
        parts.append(f"lists of {len(column.means):,} numbers")
    elif column.kind == "numeric" and column.unit:
        parts.append(f"long tail, read as asinh(x / {column.unit:,.6g})")
    elif column.kind == "numeric":
        parts.append(f"mean {column.mean:,.6g}, deviation {column.scale:,.6g}")
    else:
        shown = ", ".join(_short(value) for value in column.categories[:3])
        more = ", ..." if len(column.categories) > 3 else ""
        one, many = _ITEMS.get(column.kind, ("value", "values"))
        count = counted(len(column.categories), one, many)
        parts.append(f"{count}: {shown}{more}")
    # What is cut, rare or missing.
    if column.length:
        end = "last" if column.kind == "ids" else "first"
        parts.append(f"the {end} {column.length:,} of a row")
    if column.rare and column.length:
        parts.append(f"{counted(column.rare, 'rare one')} left out")
    elif column.rare:
        parts.append(f"{counted(column.rare, 'rare value')} read as unseen")
    if column.missing:
        parts.append(f"{column.missing:,} missing")
    return "; ".join(parts)


def _short(value: str) -> str:
    return value if len(value) <= 24 else f"{value[:21]}..."


def suspicions(
    table: Table, schema: TableSchema, targets: Sequence[Target], train: TableExamples
) -> Iterator[str]:
    """A sentence for each column or target that looks odd.

    That is each column with texts among its numbers, each target that does not vary,
    and each column that tells a binary target nearly by itself: it may not be known
    when predicting.
    """
    # Fields that are unlike the others of their column.
    strays = {c.name: c.strays for c in schema.columns}
    for name, texts in (strays | {t.name: t.strays for t in targets}).items():
        if texts:
            yield f"warning: {stray_remark(table, name, texts)}"
    yield from (f"warning: {remark}" for remark in schema.remarks)
    # Targets that are all the same.
    for target in targets:
        if target.is_constant:
            yield (
                f"warning: task {target.name}: every training row holds the same "
                "target, so there is nothing to learn, and AUC is undefined"
            )
    # Columns that nearly tell a binary target by themselves.
    rows = slice(0, _LEAK_ROWS)
    start = 0
    for target in targets:
        column = start
        start += target.width
        if target.kind != "binary" or target.is_constant:
            continue
        wanted = train.targets[rows, column]
        if train.target_mask is not None:
            known = train.target_mask[rows, column]
        else:
            known = np.ones(len(wanted), bool)
        positives = int(wanted[known].sum())
        if min(positives, int(known.sum()) - positives) < _LEAK_POSITIVES:
            continue
        for name, scores in _single_column_scores(schema, train, rows, wanted, known):
            auc = roc_auc(scores[known], wanted[known])
            if auc is not None and max(auc, 1 - auc) >= LEAK_AUC:
                yield (
                    f"warning: column {name} tells task {target.name} nearly by itself "
                    f"(AUC {max(auc, 1 - auc):.3f}): if it is not known when "
                    f"predicting, add --table.drop {name}"
                )


def _single_column_scores(
    schema: TableSchema,
    train: TableExamples,
    rows: slice,
    wanted: np.ndarray,
    known: np.ndarray,
) -> Iterator[tuple[str, np.ndarray]]:
    """A score of every row from one column: its number, or its category's share."""
    for number, numeric in enumerate(schema.numeric):
        yield numeric.name, train.numbers[rows, number]
    for number, column in enumerate(schema.categorical):
        ids = train.categories[rows, number]
        counts = np.bincount(ids[known])
        # Of categories with a row or two the share tells the row, not the category.
        if len(counts) * 20 > known.sum():
            continue
        hits = np.bincount(ids[known], weights=wanted[known])
        share = hits / np.maximum(counts, 1)
        yield column.name, np.where(ids < len(share), share[ids % len(share)], 0.0)
