"""From the settings of a run over a table to what training reads."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from labelgraph_jax.config import Config, ReadingConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.columns import FORMATS
from labelgraph_jax.data.readers.folders import by_split, left_over
from labelgraph_jax.data.readers.limits import within
from labelgraph_jax.data.readers.lines import split_suffix
from labelgraph_jax.data.splits import iterative_stratification
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.data.tables.files import Table, files_of, read_table
from labelgraph_jax.data.tables.learn_targets import learn_target
from labelgraph_jax.data.tables.readings import stray_remark
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.data.tables.targets import (
    Target,
    encode_targets,
    joint_targets,
)
from labelgraph_jax.predictors.tables.rows import (
    heavy_row,
    row_groups,
    row_weights,
    weighted_target,
)

_FEWEST_ROWS = 10


@dataclass(frozen=True)
class TableSplits:
    """The rows of a run.

    Attributes:
        name: of the file.
        tables: train, validation and test; a split may be None where it is empty.
        notes: files of the folder that are not read; how missing splits were cut off.
    """

    name: str
    tables: dict[str, Table | None]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class EncodedRows:
    """The rows of one split as a model reads them.

    Attributes:
        examples: inputs and targets.
        unseen: per categorical column the values without an id of their own, counted.
        unseen_targets: per task the classes or labels that training lacks, counted.
        remarks: see `data.tables.schema.EncodedTable`.
    """

    examples: TableExamples
    unseen: dict[str, Counter[str]]
    unseen_targets: dict[str, Counter[str]]
    remarks: tuple[str, ...] = ()


def read_splits(config: Config) -> TableSplits:
    """Read the files that the settings name; cut off the splits that are missing.

    Raises:
        DataError: a file is missing or malformed, lacks a task's column, or has too few
            rows to be split.
    """
    data = config.data
    # Files, as a folder or the settings name them.
    own = split_files(data.data)
    for split in own.keys() - {"train"}:
        if value := getattr(data, split):
            raise DataError(
                f"data.data={data.data!r} is a folder, which says what is where: "
                f"leave data.{split} out, got {value!r}"
            )
    whole = read_own(own["train"], data)
    for spec in config.table.specs:
        whole.column(spec.name)
    tables: dict[str, Table | None] = {"train": whole, "validation": None, "test": None}
    for split in ("validation", "test"):
        if path := own.get(split) or getattr(data, split):
            tables[split] = read_own(path, data)
    # Splits that are missing, cut off the training rows.
    missing = {
        "validation": data.validation_fraction,
        "test": data.test_fraction,
    }
    missing = {n: share for n, share in missing.items() if tables[n] is None}
    notes = not_read(data.data)
    if missing:
        if len(whole) < _FEWEST_ROWS:
            raise DataError(
                f"{whole.name}: cutting off the {' and '.join(missing)} split needs at "
                f"least {_FEWEST_ROWS} rows; got {len(whole)}"
            )
        fractions = [1.0 - sum(missing.values()), *missing.values()]
        if fractions[0] <= 0:
            raise DataError(
                "data.validation_fraction and data.test_fraction must leave rows to "
                f"train on; got {data.validation_fraction} and {data.test_fraction}"
            )
        parts = _cut(config, whole, fractions)
        how = "at random, targets in proportion"
        if config.table.split == "order":
            how = "the last ones of the file"
        for split, rows in zip(("train", *missing), parts, strict=True):
            tables[split] = whole.select(rows)
            if split != "train":
                notes.append(
                    f"no {split} split was given: {len(rows):,} of the {len(whole):,} "
                    f"rows were cut off for it ({how})"
                )
    return TableSplits(Path(data.data).name, tables, tuple(notes))


def split_files(source: str) -> dict[str, str | list[Path]]:
    """The files of each split of a folder, by their names or their folders'.

    For anything else, what there is to train on.
    """
    folder = Path(source)
    if not folder.is_dir():
        return {"train": source}
    return {
        n: found for n, found in by_split(folder, files_of(source)).items() if found
    }


def not_read(source: str) -> list[str]:
    """A sentence on the files of a folder that belong to none of its splits, if any."""
    folder = Path(source)
    if not folder.is_dir():
        return []
    note = left_over(folder, files_of(source), split_files(source))
    return [note] if note else []


def read_own(path: str | list[Path], reading: ReadingConfig) -> Table:
    """Read a table as the settings say.

    Raises:
        DataError: see `read_table`.
    """
    first = Path(path if isinstance(path, str) else path[0])
    known = reading.format or FORMATS.get(split_suffix(first)[0])
    with within(reading, array=known == "json"):
        return read_table(
            path,
            format=reading.format,
            encoding=reading.encoding,
            column_delimiter=reading.column_delimiter,
        )


def _cut(config: Config, table: Table, fractions: Sequence[float]) -> list[np.ndarray]:
    """The rows of each part: the first one trains, the last one is the test."""
    if config.table.split == "order":
        ends = np.round(np.cumsum(fractions) * len(table)).astype(int)
        return [np.arange(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    columns = []
    for target in learn_targets(config, table):
        encoded, known, _ = target.encode(table)
        if target.kind == "squared":
            encoded = encoded[:, :0]
        columns += [sparse.csr_matrix(encoded), sparse.csr_matrix(~known[:, None])]
    strata = sparse.hstack(columns, format="csr")
    return iterative_stratification(strata, fractions, config.data.split_seed)


def learn_targets(config: Config, table: Table) -> tuple[Target, ...]:
    """Learn the target of every task from training rows.

    Raises:
        DataError: see `data.tables.learn_targets.learn_target`.
    """
    targets = tuple(
        learn_target(
            table,
            spec.name,
            spec.kind,
            positive=spec.positive,
            delimiter=config.data.label_delimiter,
        )
        for spec in config.table.specs
    )
    weights = row_weights(table, config.table.weight)
    if weights is not None:
        targets = tuple(weighted_target(t, table, weights) for t in targets)
    given = [spec.given for spec in config.table.specs]
    return _conditional_targets(targets, given, table, weights)


def _conditional_targets(
    targets: tuple[Target, ...],
    given: Sequence[str],
    table: Table,
    weights: np.ndarray | None,
) -> tuple[Target, ...]:
    """The targets with their parents; shares are those of both being positive.

    Raises:
        DataError: a parent is not binary, as it turned out.
    """
    kinds = {target.name: target.kind for target in targets}
    for target, parent in zip(targets, given, strict=True):
        if parent and kinds[parent] != "binary":
            raise DataError(
                f"{table.name}: task {target.name!r} is conditional on {parent!r}, "
                f"which must be binary; its column makes it {kinds[parent]}"
            )
    if not any(given):
        return targets
    pairs = zip(targets, given, strict=True)
    targets = tuple(dataclasses.replace(t, given=parent) for t, parent in pairs)
    encoded, known, _ = encode_targets(targets, table)
    values, mask, _ = joint_targets(targets, encoded, known)
    starts = np.cumsum([0, *(target.width for target in targets)])
    found = []
    for target, at in zip(targets, starts, strict=False):
        if target.given:
            each = mask[:, at] * (1.0 if weights is None else weights)
            prior = (float(np.average(values[:, at], weights=each)),)
            rows = int(mask[:, at].sum())
            target = dataclasses.replace(target, prior=prior, rows=rows)
        found.append(target)
    return tuple(found)


def learn_schema(config: Config, table: Table) -> TableSchema:
    """Learn the reading of every other column from training rows.

    Raises:
        DataError: see `TableSchema.infer`.
    """
    settings = config.table
    if settings.group:
        table.require(settings.group)
    left_out = [*(spec.name for spec in settings.specs), *settings.drop]
    if settings.weight and settings.weight not in settings.drop:
        left_out.append(settings.weight)
    for name in left_out:
        table.require(name)
    if len(left_out) == len(table.columns):
        raise DataError(f"{table.name}: no column is left to learn the tasks from")
    return TableSchema.infer(
        table.drop(left_out),
        categorical=settings.categorical,
        numeric=settings.numeric,
        min_count=settings.min_count,
        max_categories=settings.max_categories,
        longest_tail=settings.longest_tail,
    )


def encode_rows(
    table: Table,
    schema: TableSchema,
    targets: Sequence[Target],
    *,
    labelled: bool,
    weight: str = "",
    group: str = "",
    strict: bool | None = None,
) -> EncodedRows:
    """Rows as a model reads them.

    Args:
        table: the rows.
        schema: of the inputs.
        targets: of the tasks.
        labelled: read the targets; a task whose column is absent is annotated for no
            row. Without, no row is annotated for any, weighed or in a group.
        weight: the column of the rows' weights; where it is absent, rows have none.
        group: the column of the rows' groups, likewise.
        strict: see `TableSchema.encode`; by default where rows are not labelled, which
            are predicted, one by one or in a file.

    Raises:
        DataError: a column that the model reads is absent or of the wrong kind; with
            `labelled`, no task's column is there, or a weight is none.
    """
    # Inputs, and the targets of the columns that are there.
    encoded = schema.encode(table, strict=not labelled if strict is None else strict)
    absent = [t.name for t in targets if not labelled or t.name not in table.columns]
    if labelled and len(absent) == len(targets):
        raise DataError(
            f"{table.name}: must have the column of a task ({', '.join(absent)}); the "
            f"columns are: {', '.join(table.columns)}"
        )
    values, mask, unseen = encode_targets(targets, table, absent=absent)
    values, mask, against = joint_targets(targets, values, mask, absent)
    # Examples, with weights and groups where rows are labelled.
    weighed = labelled and weight in table.columns
    weights = row_weights(table, weight) if weighed else None
    examples = TableExamples(
        encoded.categories,
        encoded.numbers,
        values,
        None if mask.all() else mask,
        weights,
        row_groups(table, group) if labelled and group in table.columns else None,
    )
    # What is odd about the rows, in words.
    strays = [
        stray_remark(table, t.name, unseen[t.name])
        for t in targets
        if t.kind == "squared" and t.name in unseen
    ]
    given = {target.name: target.given for target in targets}
    strays += [
        f"task {name}: {counted(count, 'row')} positive although {given[name]} is not, "
        "read as negative"
        for name, count in against.items()
    ]
    if heavy := heavy_row(table, weight, weights):
        strays.append(heavy)
    return EncodedRows(examples, encoded.unseen, unseen, (*encoded.remarks, *strays))


def require_targets(table: Table, rows: EncodedRows) -> None:
    """Refuse rows that nothing can be measured on.

    Raises:
        DataError: no row holds a target of any task.
    """
    mask = rows.examples.target_mask
    if mask is not None and not mask.any():
        raise DataError(f"{table.name}: no row holds a target of any task")


def table_fingerprint(table: Table) -> str:
    """SHA-256 of names and values, in order: which rows numbers belong to."""
    digest = hashlib.sha256()
    for name, values in table.columns.items():
        digest.update(name.encode("utf-8", "surrogatepass") + b"\x1e")
        if values.dtype == object:
            fields = "\x1f".join(map(_field, values))
            digest.update(fields.encode("utf-8", "surrogatepass"))
        else:
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _field(value: object) -> str:
    if isinstance(value, tuple):
        return "\x1d".join(map(str, value))
    return "\x00" if value is None else str(value)
