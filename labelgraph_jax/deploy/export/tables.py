"""A model of a table's tasks as a directory: program, columns, rules, script, card."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.files import write_json, write_text
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.deploy.export.manifest import described, needs_of
from labelgraph_jax.deploy.export.program import (
    PRECISION,
    Arrays,
    ExportError,
    Program,
    flat,
    loaded,
    nested,
    program_of,
    save_program,
)
from labelgraph_jax.deploy.export.source import self_contained
from labelgraph_jax.deploy.export.templates import render
from labelgraph_jax.functional.losses.tasks import task_probabilities, task_slices
from labelgraph_jax.predictors.tables.decision import decided_columns, rule_of
from labelgraph_jax.predictors.tables.model import TableModel
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.records import rows_of_run
from labelgraph_jax.runs.restore import load_table
from labelgraph_jax.runs.result_rows import TASK_COLUMNS

TOLERANCE = 1e-6
"""Tolerance of a probability, and of a value in deviations of its column."""
READER = "table_reading.py"
ROOTS = (
    ("labelgraph_jax.data.tables.files", "table_of"),
    ("labelgraph_jax.data.tables.schema", "TableSchema"),
    ("labelgraph_jax.data.tables.targets", "Target"),
    ("labelgraph_jax.predictors.tables.model", "prediction"),
)
"""Functions that the script imports: how cells are read, and how a row is written."""

Say = Callable[[str], None]


def table_export(
    place: Workdir,
    *,
    data: str,
    reading: ReadingConfig | None,
    limit: int,
    say: Say,
) -> Callable[[Path], dict[str, object]]:
    """Trace the model of a finished run over a table.

    Args:
        place: of the run.
        data: a table to compare on; by default the test split of the run.
        reading: how `data` is read.
        limit: compare on so many rows; on all, if 0.
        say: takes one line about what is going on.

    Returns:
        What fills a folder, compares it with `predict`, and gives its manifest.

    Raises:
        ExportError: it lowers for no platform, or there is no row to compare on.
        WorkdirError, DataError: as `export_model`.
    """
    # The model, and the rows on which its export is compared.
    results = place.results()
    model = load_table(place.path)
    name, table = rows_of_run(model, data, reading)
    if limit and limit < len(table):
        table = table.select(np.linspace(0, len(table) - 1, limit).astype(int))
    # The program, for the platforms it lowers for.
    say("tracing and lowering the model")
    program = table_program(model)
    for platform, reason in program.refused.items():
        say(f"it does not lower for {platform}: {reason}")

    # What the folder holds: the model, a manifest with the comparison, and a card.
    def fill(folder: Path) -> dict[str, object]:
        write_table_model(folder, model, program)
        say(f"comparing it with predict on {counted(len(table), 'row')}")
        difference = largest_difference(model, loaded(folder), table)
        manifest = {
            **described(program, _kind(model), needs_of("")),
            "rows": {"columns": "table.json", "reader": READER},
            "tasks": [
                {"name": task.name, "kind": task.kind, "columns": [own.start, own.stop]}
                for task, own in zip(
                    model.targets, task_slices(model.classifier.tasks), strict=True
                )
            ],
            "decision": {
                target.name: rule_of(model.rules, target).summary()
                for target, _ in decided_columns(model.targets)
            },
            "check": {
                "where": Path(data).name if data else "test",
                "rows": len(table),
                "tolerance": TOLERANCE,
                "largest_difference": difference,
                "device": jax.devices()[0].device_kind,
            },
        }
        script = (folder / "load_example.py").read_text(encoding="utf-8")
        card = render(
            "table_card.md",
            manifest=manifest,
            results=results,
            name=name,
            columns=TASK_COLUMNS,
            reader=READER,
            script=script,
        )
        write_text(folder / "README.md", card)
        return manifest

    return fill


def table_program(model: TableModel) -> Program:
    """Trace a model whole, from category ids and numbers to what is predicted.

    Its output `predictions` `[batch, O]` holds calibrated probabilities, and values in
    the unit of their column, task beside task.

    Raises:
        ExportError: it lowers for no platform.
    """
    weights = {n: np.asarray(x) for n, x in flat(model.params, "classifier").items()}
    slices = task_slices(model.classifier.tasks)
    scale, shift = np.ones(slices[-1].stop, np.float32), np.zeros(slices[-1].stop)
    for target, columns in decided_columns(model.targets):
        line = rule_of(model.rules, target).calibration
        scale[columns], shift[columns] = line.scale, line.shift

    def run(weights: Arrays, inputs: Arrays) -> Arrays:
        outputs = model.classifier.apply(nested(weights, "classifier"), inputs)
        outputs = outputs.astype(jnp.float32) * scale + shift.astype(np.float32)
        found = task_probabilities(outputs, model.classifier.tasks)
        parts = []
        for target, columns in zip(model.targets, slices, strict=True):
            part = found[:, columns]
            if target.kind == "squared":
                part = jnp.clip(
                    part * target.scale + target.mean, target.low, target.high
                )
            parts.append(part)
        return {"predictions": jnp.concatenate(parts, axis=-1).astype(jnp.float32)}

    (batch,) = jax_export.symbolic_shape("batch")
    categories, numbers = model.classifier.widths
    shapes = {
        "categories": jax.ShapeDtypeStruct((batch, categories), jnp.int32),
        "numbers": jax.ShapeDtypeStruct((batch, numbers), jnp.float32),
    }
    return program_of(run, weights, shapes)


def write_table_model(folder: Path, model: TableModel, program: Program) -> None:
    """Write the program, and how rows go in and predictions come out."""
    save_program(folder, program)
    place = model.workdir
    write_json(folder / "table.json", place.table())
    rules = place.thresholds() if place.has_thresholds else {"tasks": {}}
    write_json(folder / "thresholds.json", rules)
    write_text(folder / READER, self_contained(ROOTS))
    sample = {
        column.name: column.categories[0] if column.categories else 1
        for column in model.schema.columns
    }
    script = render("load_rows.py", sample=repr(sample))
    write_text(folder / "load_example.py", script)


def largest_difference(
    model: TableModel, call: Callable[[Arrays], Arrays], table: Table
) -> float:
    """The largest difference of the program from `predict` on labelled rows or others.

    Raises:
        ExportError: it is above `TOLERANCE`.
    """
    encoded = model.encode(table, labelled=False, strict=False)
    inputs: Arrays = {
        "categories": encoded.examples.categories,
        "numbers": encoded.examples.numbers,
    }
    found = np.asarray(call(inputs)["predictions"], np.float64)
    with jax.default_matmul_precision(PRECISION):
        expected = model.probabilities(encoded)
    difference = 0.0
    slices = task_slices(model.classifier.tasks)
    for target, columns in zip(model.targets, slices, strict=True):
        theirs = np.asarray(expected[target.name], np.float64).reshape(len(table), -1)
        unit = (target.scale or 1.0) if target.kind == "squared" else 1.0
        # float32 holds large values to seven digits alone.
        unit = max(unit, float(np.abs(theirs).max(initial=0)))
        away = np.abs(found[:, columns] - theirs) / unit
        difference = max(difference, float(away.max(initial=0)))
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the exported program differs from predict by {difference:.1e} on "
            f"{counted(len(table), 'row')}, more than {TOLERANCE}: nothing was written"
        )
    return difference


def _kind(model: TableModel) -> str:
    """Kind of the model, in words."""
    tasks = counted(len(model.targets), "task")
    return f"{tasks} of a table, mixture: {model.config.resolved().mixture.kind}"
