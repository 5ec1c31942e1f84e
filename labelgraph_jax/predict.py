"""A trained model in memory: raw text in, labels and probabilities out."""

import dataclasses
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from labelgraph_jax.build import (
    Classifier,
    build_classifier,
    first_trained_layer,
    token_table,
)
from labelgraph_jax.config import Config
from labelgraph_jax.data.batches import Examples
from labelgraph_jax.data.documents import DataError, Document, LabelSpace
from labelgraph_jax.data.readers import read_texts
from labelgraph_jax.decisions import Decision, at_half, read_decision
from labelgraph_jax.encode import FrozenEncoder
from labelgraph_jax.evaluation import (
    measure,
    measure_tasks,
    score_examples,
    summary,
)
from labelgraph_jax.functional.experts import GateStatistics
from labelgraph_jax.hierarchy import label_ancestors
from labelgraph_jax.host_batches import own_batches
from labelgraph_jax.modules.pretrained import read_shape
from labelgraph_jax.prepare import (
    AnyTokenizer,
    Encoded,
    encode_documents,
    load_tokenizer,
    require_annotations,
)
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.evaluate import ProbabilityFn, compile_probabilities
from labelgraph_jax.training.gates import collect_gate_statistics, compile_gate_sums
from labelgraph_jax.workdir import Workdir, WorkdirError, replacing


@dataclass(frozen=True)
class Model:
    """What `lg.load(workdir)` returns.

    Attributes:
        workdir: where it came from.
        config: the configuration it was trained with.
        label_space: labels with descriptions and taxonomy.
        tokenizer: text -> token ids.
        classifier: pure `init` and `apply`.
        params: the best checkpoint's parameters.
        decision: how probabilities become labels.
        encoder: the frozen pretrained encoder, where the model reads one.
    """

    workdir: Workdir
    config: Config
    label_space: LabelSpace
    tokenizer: AnyTokenizer
    classifier: Classifier
    params: Any
    decision: Decision
    encoder: FrozenEncoder | None = None

    @cached_property
    def ancestors(self) -> np.ndarray | None:
        """Which label lies above which, bool `[N, N]`; None without a taxonomy."""
        return label_ancestors(self.label_space)

    @property
    def thresholds(self) -> np.ndarray:
        """Decision threshold per label, float64 `[N]`; 0.5 where top_k decides."""
        return self.decision.thresholds

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names, in the order of the columns of `predict_proba`."""
        return self.label_space.names

    def predict_proba(
        self, texts: Sequence[str] | str, *, batch_size: int | None = None
    ) -> np.ndarray:
        """Probability of every label for every text, float32 `[M, N]`.

        Raises:
            DataError: a text is not a string.
        """
        texts = _as_texts(texts)
        if not texts:
            return np.zeros((0, len(self.labels)), np.float32)
        documents = [Document(str(i), text, ()) for i, text in enumerate(texts)]
        return self.score_documents(documents, batch_size=batch_size)[1]

    def predict(
        self, texts: Sequence[str] | str, *, batch_size: int | None = None
    ) -> list[list[str]]:
        """The labels of every text, as `decision` says, the most probable first.

        A text may have none.
        """
        probabilities = self.predict_proba(texts, batch_size=batch_size)
        return [self.decide(row) for row in probabilities]

    def decide(self, probabilities: np.ndarray) -> list[str]:
        """Labels of one document from its probabilities `[N]`, most probable first."""
        chosen = self.decision.decide(probabilities[None])[0]
        order = np.argsort(-probabilities, kind="stable")
        return [self.labels[i] for i in order if chosen[i]]

    def evaluate(
        self, documents: Sequence[Document], *, batch_size: int | None = None
    ) -> dict[str, Any]:
        """Metrics of labelled documents, see `evaluation.summary`.

        Raises:
            DataError: there is no document, or none is annotated for a label.
        """
        if not documents:
            raise DataError("there is no document to evaluate")
        require_annotations(documents, self.label_space)
        encoded, probabilities = self.score_documents(documents, batch_size=batch_size)
        targets = np.asarray(encoded.examples.targets)
        mask = encoded.examples.target_mask
        positive = targets > 0
        absent = ~positive.any(axis=0)
        if mask is not None:
            # Labels that nobody annotated here are no part of the averages.
            absent = ~(positive & mask).any(axis=0) & mask.any(axis=0)
        measured = (
            probabilities,
            targets,
            self.decision.decide(probabilities),
            self.classifier.graph,
            mask,
            self.ancestors,
        )
        return summary(
            documents,
            encoded.truncated,
            encoded.unseen,
            measure(*measured),
            measure_tasks(self.label_space, *measured),
            self.decision,
            int(absent.sum()),
        )

    def score_documents(
        self, documents: Sequence[Document], *, batch_size: int | None = None
    ) -> tuple[Encoded, np.ndarray]:
        """Documents as the model reads them, and their probabilities `[M, N]`."""
        encoded = encode_documents(
            documents,
            self.label_space,
            self.tokenizer,
            self.config.text,
            self.encoder,
        )
        size = batch_size or self.config.training.evaluation_batch_size
        size = max(1, min(size, len(documents)))
        return encoded, self.score(encoded.examples, batch_size=size)

    def score(self, examples: Examples, *, batch_size: int | None = None) -> np.ndarray:
        """Probabilities of encoded documents, float32 `[M, N]`."""
        size = batch_size or self.config.training.evaluation_batch_size
        return score_examples(self._run, self.params, examples, size)

    @property
    def task_names(self) -> tuple[str, ...]:
        """The label sets, where the model has several."""
        return tuple(self.label_space.task_columns)

    def gate_statistics(
        self, documents: Sequence[Document], *, batch_size: int | None = None
    ) -> GateStatistics | None:
        """What the gates do with some documents; None for a model without gates.

        Raises:
            DataError: there is no document.
        """
        if not documents:
            raise DataError("there is no document to read gates of")
        if not self.classifier.has_gates:
            return None
        encoded = encode_documents(
            documents, self.label_space, self.tokenizer, self.config.text, self.encoder
        )
        size = batch_size or self.config.training.evaluation_batch_size
        batches = own_batches(encoded.examples, batch_size=size)
        sums = compile_gate_sums(self.classifier.gate_weights)
        return collect_gate_statistics(sums, self.params, batches)

    def with_decision(self, decision: Decision) -> "Model":
        """The same model that decides otherwise; nothing is compiled."""
        other = dataclasses.replace(self, decision=decision)
        other.__dict__["_run"] = self._run
        return other

    @cached_property
    def _run(self) -> ProbabilityFn:
        return compile_probabilities(self.classifier.apply)


def load(
    workdir: str | Path, *, checkpoint: str | int = "best", cache: Path | None = None
) -> Model:
    """Restores a trained model from its work directory alone.

    A run that is still going on, or broke off, has no thresholds yet: its model decides
    at 0.5, and a warning says so.

    Args:
        workdir: what `labelgraph train` left.
        checkpoint: `best`, `last`, or a step.
        cache: folder that keeps what a frozen encoder makes of documents, or None.

    Raises:
        WorkdirError: it is no work directory, or a file of it is damaged.
        CheckpointError: no checkpoint can be read.
    """
    place = Workdir.existing(workdir)
    model = restore(place, checkpoint=checkpoint, cache=cache)
    if not place.has_thresholds:
        warnings.warn(
            f"{workdir}: training has not finished, so every label is decided at 0.5",
            stacklevel=2,
        )
        return model
    return model.with_decision(read_decision(place, model.labels, model.ancestors))


def restore(
    place: Workdir, *, checkpoint: str | int = "best", cache: Path | None = None
) -> Model:
    """As `load`, deciding at 0.5 and without a word about it."""
    if place.is_ensemble:
        from labelgraph_jax.ensemble import load_ensemble

        return load_ensemble(place)
    if place.is_table:
        raise WorkdirError(
            f"{place.path}: a run over a table reads rows and not texts; "
            "labelgraph_jax.load gives its model"
        )
    config = place.config()
    labels, graph = place.labels(), place.label_graph()
    tokenizer = load_tokenizer(config.text, place.tokenizer)
    encoder = shape = None
    if config.text.vectors == "pretrained":
        shape = read_shape(place.encoder)
        if not config.text.trainable:
            encoder = FrozenEncoder.load(place.encoder, cache=cache)
        elif first_layer := first_trained_layer(config.text, shape):
            encoder = FrozenEncoder.load(place.encoder, layers=first_layer, cache=cache)
    with CheckpointStore(place.checkpoints) as store:
        params = store.restore_params(checkpoint)
    table = token_table(params)
    classifier = build_classifier(
        config,
        graph,
        vocabulary_size=tokenizer.vocabulary_size,
        transformer=shape,
        features=None if table is None else table.shape[1],
        tasks=labels.task_columns,
    )
    half = at_half(len(labels))
    return Model(place, config, labels, tokenizer, classifier, params, half, encoder)


def write_predictions(
    model: Model,
    source: str,
    output: str,
    *,
    format: str | None = None,
    all_scores: bool = False,
    top_k: int = 0,
) -> int:
    """Predicts every document of a file and writes one JSON object a line.

    Args:
        source: a file, or `-` for one text a line on standard input.
        output: a file, written whole or not at all, or `-` for standard output.
        format: of the source, against its suffix, see `data.readers.read_texts`.
        all_scores: add the probability of every label.
        top_k: the k most probable labels in place of those above their threshold.

    Returns:
        How many documents were written.

    Raises:
        DataError: the file cannot be read, or no file can be made at `output`.
    """
    if output != "-" and not Path(output).parent.is_dir():
        raise DataError(f"{output}: no such folder {Path(output).parent}")
    documents = read_texts(sys.stdin.buffer if source == "-" else source, format=format)
    probabilities = model.predict_proba([document.text for document in documents])
    rows = [
        _row(model, document, scores, all_scores, top_k)
        for document, scores in zip(documents, probabilities, strict=True)
    ]
    write_rows(rows, output)
    return len(rows)


def _row(
    model: Model,
    document: Document,
    scores: np.ndarray,
    all_scores: bool,
    top_k: int,
) -> dict[str, Any]:
    index = model.label_space.index
    if top_k:
        best = np.argsort(-scores, kind="stable")[:top_k]
        names = [model.labels[i] for i in best]
    else:
        names = model.decide(scores)
    row: dict[str, Any] = {
        "id": document.id,
        "labels": names,
        "scores": [round(float(scores[index[name]]), 6) for name in names],
    }
    tasks = model.label_space.tasks
    if len(tasks) > 1:
        row["tasks"] = {
            task: [
                n.removeprefix(f"{task}/") for n in names if n.startswith(f"{task}/")
            ]
            for task in tasks
        }
    if all_scores:
        row["all_scores"] = {
            name: round(float(score), 6)
            for name, score in zip(model.labels, scores, strict=True)
        }
    return row


def write_rows(rows: Sequence[dict[str, Any]], output: str) -> None:
    """Writes a JSON object a line: a file, whole or not at all, or `-`."""
    if output == "-":
        _write_rows(rows, sys.stdout)
        return
    with (
        replacing(Path(output)) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        _write_rows(rows, file)


def _write_rows(rows: Sequence[dict[str, Any]], file: TextIO) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    file.flush()


def _as_texts(texts: Sequence[str] | str) -> list[str]:
    if isinstance(texts, str):
        return [texts]
    texts = list(texts)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"text {place} must be a string, got {type(text).__name__}")
    return texts
