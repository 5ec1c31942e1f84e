"""Runs whose tables are moved row by row end as those that move all rows."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax.config import Config
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs import steps
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.checkpoint_files import flat_tree
from labelgraph_jax.training.compiled_rows import compile_row_step
from tests.tiny import tiny_config, write_corpus
from tests.tiny_table import made_rows, tiny_table_config, write_rows

pytestmark = pytest.mark.slow


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Rows also of tables as small as these; the row steps that were compiled."""
    found: list[Any] = []

    def compile_and_note(*arguments: Any, **options: Any) -> Any:
        found.append(arguments[0])
        return compile_row_step(*arguments, **options)

    monkeypatch.setattr(steps, "SMALLEST_TABLE", 1)
    monkeypatch.setattr(steps, "READ_SHARE", 1.0)
    monkeypatch.setattr(steps, "compile_row_step", compile_and_note)
    return found


def dense(config: Config) -> Config:
    training = dataclasses.replace(config.training, row_updates=False)
    return dataclasses.replace(config, training=training)


def params_of(run: Path) -> Any:
    with CheckpointStore(run / "checkpoints") as store:
        return store.restore_params("last")


def assert_same_run(one: Path, other: Path) -> None:
    """The tables and the losses are the same in both runs.

    An attention vector has gradients that are all but rounding, and Adam makes steps of
    some size of them too.
    """
    trees = (flat_tree(params_of(run)) for run in (one, other))
    first, second = (
        {path: leaf for path, leaf in tree.items() if path in steps.TABLES}
        for tree in trees
    )
    assert first.keys() == second.keys() and first
    for path, table in first.items():
        np.testing.assert_allclose(table, second[path], rtol=1e-3, atol=3e-3)
    logs = (Workdir(run).history() for run in (one, other))
    for before, after in zip(*logs, strict=True):
        for name in ("loss", "gradient_norm", "validation/loss"):
            if name in before:
                assert before[name] == pytest.approx(after[name], rel=1e-3), name


@pytest.mark.parametrize(
    "text",
    [
        {"encoder": "bag"},
        {"encoder": "bag", "long_documents": "windows", "max_length": 3},
        {"encoder": "cnn", "token_dropout": 0.2, "dropout": 0.3},
        {"encoder": "bilstm"},
    ],
    ids=lambda text: "-".join(map(str, text.values())),
)
def test_texts_by_rows_end_as_dense_runs_end(
    tmp_path: Path, compiled: list[Any], text: dict[str, Any]
) -> None:
    config = tiny_config(write_corpus(tmp_path), text=text, training={"epochs": 3})
    kept = RunConfig(keep_optimizer=True)
    fit(config, tmp_path / "rows", progress=False, run=kept)
    (step,) = compiled
    assert step.looked_up.trained == ("text_encoder/embedding/embedding",)
    fit(dense(config), tmp_path / "dense", progress=False, run=kept)
    assert len(compiled) == 1
    assert_same_run(tmp_path / "rows", tmp_path / "dense")


@pytest.mark.parametrize("wide", [False, True])
def test_a_table_by_rows_ends_as_a_dense_run_ends(
    tmp_path: Path, compiled: list[Any], wide: bool
) -> None:
    config = tiny_table_config(write_rows(tmp_path / "t.csv", made_rows(300, 1)))
    table = dataclasses.replace(config.table, wide=wide)
    config = dataclasses.replace(config, table=table)
    kept = RunConfig(keep_optimizer=True)
    fit(config, tmp_path / "rows", progress=False, run=kept)
    (step,) = compiled
    assert (
        step.looked_up.trained == ("encoder/embedding", "wide_categories")[: 1 + wide]
    )
    fit(dense(config), tmp_path / "dense", progress=False, run=kept)
    assert_same_run(tmp_path / "rows", tmp_path / "dense")


def test_hidden_tokens_are_hidden_on_the_host_and_more_epochs_go_on(
    tmp_path: Path, compiled: list[Any]
) -> None:
    config = tiny_config(
        write_corpus(tmp_path), text={"token_dropout": 0.4}, training={"epochs": 3}
    )
    before = fit(config, tmp_path / "run", progress=False)
    training = dataclasses.replace(config.training, epochs=5)
    further = dataclasses.replace(config, training=training)
    after = fit(further, tmp_path / "run", progress=False)
    assert len(compiled) == 2
    assert before["training"]["steps"] < after["training"]["steps"]
    losses = [
        line["validation/loss"]
        for line in Workdir(tmp_path / "run").history()
        if "validation/loss" in line
    ]
    assert losses[-1] < losses[0]


def test_a_small_table_or_one_that_is_read_whole_is_moved_whole(
    tmp_path: Path, compiled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(write_corpus(tmp_path), training={"epochs": 1})
    monkeypatch.setattr(steps, "READ_SHARE", 0.01)
    fit(config, tmp_path / "whole", progress=False)
    monkeypatch.setattr(steps, "READ_SHARE", 1.0)
    monkeypatch.setattr(steps, "SMALLEST_TABLE", 1_000_000)
    fit(config, tmp_path / "small", progress=False)
    assert not compiled
    written = json.loads((tmp_path / "small" / "config.json").read_text())
    assert written["training"]["row_updates"] is True
