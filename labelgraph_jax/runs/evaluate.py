"""Evaluation of a work directory: the one evaluation path of train and evaluate."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from labelgraph_jax.config import DataConfig
from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.predictors.kept_predictions import KeptPredictions, save_kept
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.training.hosts import on_first


def evaluate_workdir(
    workdir: str | Path,
    *,
    data: str = "",
    data_dir: str = "",
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Evaluates a trained model, on its own test split or on a file.

    Args:
        workdir: what `labelgraph train` left.
        data: a labelled file in any format that training reads; by default the test
            split of the run.
        data_dir: where the local corpus copies lie now, if they have moved.
        batch_size: documents per batch; it does not change the numbers.

    Returns:
        JSON values: documents, fingerprint, unseen labels, metrics of the saved
        decision and at 0.5; for the run's own test split also the baseline, if one
        was trained.

    Raises:
        WorkdirError: no finished run stands there, or its test data has changed.
        DataError: a document or file is malformed.
    """
    from labelgraph_jax.predictors.memory.build import memory_results
    from labelgraph_jax.runs.restore import load

    model = load(workdir)
    finished = model.workdir.results() if not data else {}
    name, documents = run_documents(
        model.config.data, model.label_space, data=data, data_dir=data_dir
    )
    kept: list[KeptPredictions] = []
    results = model.evaluate(documents, batch_size=batch_size, keep=kept.append)
    if not data:
        before = finished["test"]["fingerprint"]
        if results["fingerprint"] != before:
            raise WorkdirError(
                f"{workdir}: the test documents are not those of the training run "
                "(the data, or for stdlib_docs the Python version, has changed); "
                "name the file to evaluate with --data"
            )
        # A work directory may be read-only: its numbers are worth the same.
        with contextlib.suppress(OSError):
            on_first(lambda: save_kept(model.workdir, kept[0]))
    return {
        "corpus": name,
        "labels": len(model.labels),
        "workdir": str(workdir),
        "split": "test" if not data else "file",
        "memory": memory_results(model.memory) if model.memory else None,
        "test": results,
        "baseline": finished.get("baseline"),
    }


def run_documents(
    config: DataConfig, labels: LabelSpace, *, data: str = "", data_dir: str = ""
) -> tuple[str, tuple[Document, ...]]:
    """The documents of a file, or of the test split that a run was trained with.

    Args:
        config: the run's.
        labels: the run's; they say which label sets are read.
        data, data_dir: as in `evaluate_workdir`.

    Returns:
        What reports call them, and the documents.

    Raises:
        DataError: a document or file is malformed.
    """
    # The model knows its taxonomy; the file may have moved, or say more than `data`.
    source = dataclasses.replace(config, taxonomy="")
    if data:
        source = dataclasses.replace(
            source, data=data, validation="", test="", protocol=""
        )
        corpus = read_corpus(source, split=False, tasks=labels.tasks)
        # A folder holds both splits.
        return corpus.name, corpus.test or corpus.train
    if data_dir:
        source = dataclasses.replace(source, data_dir=data_dir)
    corpus = read_corpus(source)
    return corpus.name, corpus.test
