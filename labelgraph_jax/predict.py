"""A trained model in memory: raw text in, labels and probabilities out."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from labelgraph_jax.build import Classifier, build_classifier
from labelgraph_jax.config import Config
from labelgraph_jax.data.documents import DataError, Document, LabelSpace
from labelgraph_jax.data.readers import read_texts
from labelgraph_jax.data.tokenizer import Tokenizer
from labelgraph_jax.encode import FrozenEncoder
from labelgraph_jax.evaluation import measure, score_examples, summary
from labelgraph_jax.functional.thresholds import apply_thresholds
from labelgraph_jax.modules.pretrained import read_shape
from labelgraph_jax.prepare import encode_documents
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.evaluate import ProbabilityFn, compile_probabilities
from labelgraph_jax.workdir import Workdir, replacing


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
        thresholds: decision threshold per label, float64 `[N]`.
        encoder: the frozen pretrained encoder, where the model reads one.
    """

    workdir: Workdir
    config: Config
    label_space: LabelSpace
    tokenizer: Tokenizer
    classifier: Classifier
    params: Any
    thresholds: np.ndarray
    encoder: FrozenEncoder | None = None

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
        encoded = encode_documents(
            documents,
            self.label_space,
            self.tokenizer,
            self.config.text,
            self.encoder,
        )
        size = batch_size or self.config.training.evaluation_batch_size
        return score_examples(
            self._run, self.params, encoded.examples, min(size, len(texts))
        )

    def predict(
        self, texts: Sequence[str] | str, *, batch_size: int | None = None
    ) -> list[list[str]]:
        """The labels of every text whose probability reaches their threshold.

        The most probable label comes first; a text may have none.
        """
        probabilities = self.predict_proba(texts, batch_size=batch_size)
        return [self.decide(row) for row in probabilities]

    def decide(self, probabilities: np.ndarray) -> list[str]:
        """Labels of one document from its probabilities `[N]`, most probable first."""
        chosen = np.asarray(apply_thresholds(probabilities[None], self.thresholds))[0]
        order = np.argsort(-probabilities, kind="stable")
        return [self.labels[i] for i in order if chosen[i]]

    def evaluate(
        self, documents: Sequence[Document], *, batch_size: int | None = None
    ) -> dict[str, Any]:
        """Metrics of labelled documents, see `evaluation.summary`.

        Raises:
            DataError: there is no document.
        """
        if not documents:
            raise DataError("there is no document to evaluate")
        encoded = encode_documents(
            documents,
            self.label_space,
            self.tokenizer,
            self.config.text,
            self.encoder,
        )
        probabilities = score_examples(
            self._run,
            self.params,
            encoded.examples,
            batch_size or self.config.training.evaluation_batch_size,
        )
        metrics = measure(
            probabilities,
            np.asarray(encoded.examples.targets),
            self.thresholds,
            self.classifier.graph,
        )
        return summary(
            documents, encoded.truncated, encoded.unseen, metrics, self.config
        )

    @cached_property
    def _run(self) -> ProbabilityFn:
        return compile_probabilities(self.classifier.apply)


def load(workdir: str | Path, *, checkpoint: str | int = "best") -> Model:
    """Restores a trained model from its work directory alone.

    Args:
        workdir: what `labelgraph train` left.
        checkpoint: `best`, `last`, or a step.

    Raises:
        WorkdirError: it is no work directory, or training has not finished.
        CheckpointError: no checkpoint can be read.
    """
    place = Workdir.existing(workdir)
    config = place.config()
    labels, graph = place.labels(), place.label_graph()
    tokenizer = Tokenizer.load(place.tokenizer)
    thresholds = place.thresholds()
    encoder = shape = None
    if config.text.vectors == "pretrained":
        shape = read_shape(place.encoder)
        if not config.text.trainable:
            encoder = FrozenEncoder.load(place.encoder)
    params = CheckpointStore(place.checkpoints).restore_params(checkpoint)
    table = params["text_encoder"].get("embedding", {}).get("embedding")
    classifier = build_classifier(
        config,
        graph,
        vocabulary_size=tokenizer.vocabulary_size,
        transformer=shape,
        features=None if table is None else table.shape[1],
    )
    return Model(
        place, config, labels, tokenizer, classifier, params, thresholds, encoder
    )


def write_predictions(
    model: Model,
    source: str,
    output: str,
    *,
    all_scores: bool = False,
    top_k: int = 0,
) -> int:
    """Predicts every document of a file and writes one JSON object a line.

    Args:
        source: a file, or `-` for one text a line on standard input.
        output: a file, written whole or not at all, or `-` for standard output.
        all_scores: add the probability of every label.
        top_k: the k most probable labels in place of those above their threshold.

    Returns:
        How many documents were written.

    Raises:
        DataError: the file cannot be read.
    """
    documents = read_texts(sys.stdin.buffer if source == "-" else source)
    probabilities = model.predict_proba([document.text for document in documents])
    rows = [
        _row(model, document, scores, all_scores, top_k)
        for document, scores in zip(documents, probabilities, strict=True)
    ]
    if output == "-":
        _write_rows(rows, sys.stdout)
    else:
        with (
            replacing(Path(output)) as temporary,
            temporary.open("w", encoding="utf-8") as file,
        ):
            _write_rows(rows, file)
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
    if all_scores:
        row["all_scores"] = {
            name: round(float(score), 6)
            for name, score in zip(model.labels, scores, strict=True)
        }
    return row


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
