"""Evaluation of a work directory: `labelgraph evaluate`, and nothing else.

Training ends with the same functions, so the numbers that it printed are the numbers
that its work directory gives back.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labelgraph_jax.config import ReadingConfig, RulesConfig
from labelgraph_jax.predictors.display import model_name
from labelgraph_jax.predictors.kept import save_kept
from labelgraph_jax.predictors.memory.build import memory_results
from labelgraph_jax.predictors.predictions import KeptPredictions
from labelgraph_jax.predictors.tables.model import TableModel
from labelgraph_jax.runs.records import (
    USE_DATA,
    documents_of_run,
    require_same_records,
    rows_of_run,
)
from labelgraph_jax.runs.restore import load
from labelgraph_jax.runs.rules import model_with_rules
from labelgraph_jax.training.hosts import on_first


def evaluate_workdir(
    workdir: str | Path,
    *,
    data: str = "",
    data_dir: str = "",
    batch_size: int | None = None,
    reading: ReadingConfig | None = None,
    rules: RulesConfig | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Evaluate a trained model, on its own test split or on a file.

    Args:
        workdir: what `labelgraph train` left.
        data: a labelled file in any format that training reads (a table with the column
            of a task at least); by default the test split of the run.
        data_dir: where the local corpus copies lie now, if they have moved.
        batch_size: documents per batch; it does not change the numbers.
        reading: how `data` is read, where the run's files were read otherwise.
        rules: rules over labels in place of the run's own, if a file is named.
        say: takes a line about how `data` was read.

    Returns:
        JSON values: documents, fingerprint, unseen labels, metrics of the saved
        decision and at 0.5; for the run's own test split also the baseline, if one
        was trained.

    Raises:
        WorkdirError: no finished run stands there, or its test data has changed.
        DataError: a document or file is malformed.
    """
    model = model_with_rules(load(workdir), rules or RulesConfig())
    finished = model.workdir.results() if not data else {}
    kept: list[KeptPredictions] = []
    # Measure on rows of a table, or on documents.
    if isinstance(model, TableModel):
        name, rows = rows_of_run(model, data, reading)
        results = model.evaluate(rows, batch_size=batch_size)
    else:
        name, documents = documents_of_run(
            model, data=data, data_dir=data_dir, reading=reading, say=say
        )
        results = model.evaluate(documents, batch_size=batch_size, keep=kept.append)
    # The run's own split must hold the same records, whose predictions are kept.
    if not data:
        if finished["test"]:  # what was learned from a stream was never measured on it
            require_same_records(
                workdir,
                "test",
                results["fingerprint"],
                finished["test"]["fingerprint"],
                what="rows" if isinstance(model, TableModel) else "documents",
                instead=USE_DATA,
            )
        # A work directory may be read-only: its numbers are worth the same.
        with contextlib.suppress(OSError):
            if kept and not (rules and rules.file):
                on_first(lambda: save_kept(model.workdir, kept[0]))
    # The numbers, and what they are of.
    found: dict[str, Any] = {
        "workdir": str(workdir),
        "split": "test" if not data else "file",
        "test": results,
        "baseline": finished.get("baseline"),
    }
    if "stream" in finished:
        found["stream"] = finished["stream"]
    if isinstance(model, TableModel):
        return {"data": name, "mixture": model.config.mixture.kind, **found}
    members = getattr(model, "members", ())
    return {
        "corpus": name,
        "model": f"ensemble of {len(members)}" if members else model_name(model.config),
        "labels": len(model.labels),
        "memory": memory_results(model.memory) if model.memory else None,
        **found,
    }
