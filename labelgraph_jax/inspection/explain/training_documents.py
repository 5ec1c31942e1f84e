"""The training documents as a model reads them, kept beside it, and the nearest."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np

from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.files import read_npz, write_npz
from labelgraph_jax.functional.many_labels.retrieval import nearest_keys
from labelgraph_jax.functional.text.pooling import masked_mean
from labelgraph_jax.functional.trees import Batch, Params
from labelgraph_jax.predictors.documents import fingerprint
from labelgraph_jax.predictors.memory.memory import unit
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.training.evaluate import (
    compile_probabilities,
    predict_probabilities,
)
from labelgraph_jax.training.local_batches import own_batches

if TYPE_CHECKING:
    from labelgraph_jax.predictors.model import Model

FILE = "train_vectors.npz"
SHOWN_CHARACTERS = 160
BATCH_SIZE = 64
_FIELDS = ("ids", "starts", "labels", "vectors")

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainingDocuments:
    """Stored data of M training documents.

    Attributes:
        ids, starts: ids and first words.
        labels: columns of their labels, int32 `[M, P]`, padded with -1.
        vectors: unit vectors `[M, D]`, float16.
    """

    ids: np.ndarray
    starts: np.ndarray
    labels: np.ndarray
    vectors: np.ndarray

    def nearest(self, query: np.ndarray, k: int) -> list[tuple[int, float]]:
        """The k documents of the largest cosine with a vector `[D]`, and it."""
        found = nearest_keys(query[None], self.vectors, k=min(k, len(self.ids)))
        rows, similarities = np.asarray(found.rows[0]), np.asarray(found.similarities)
        return list(zip(rows.tolist(), similarities[0].tolist(), strict=True))

    def together(self, column: int, size: int) -> tuple[np.ndarray, int]:
        """Documents that carry a label and each other one `[N]`, and the label."""
        rows = self.labels[(self.labels == column).any(axis=1)]
        return np.bincount(rows[rows >= 0], minlength=size), len(rows)


def document_vectors(model: "Model", examples: Examples) -> np.ndarray:
    """Return the text encoder's unit vectors of documents, float32 `[M, D]`.

    Of a head that reads tokens, the mean of theirs.
    """

    def read(params: Params, batch: Batch, **_: object) -> jax.Array:
        vectors = model.classifier.text_vectors(params, batch)
        if vectors.ndim == 3:
            mask = jax.numpy.reshape(batch["token_mask"], vectors.shape[:2])
            vectors = masked_mean(vectors, mask)
        return vectors

    run = compile_probabilities(read, link=lambda vectors: vectors)
    size = min(BATCH_SIZE, len(examples))
    batches = own_batches(examples, batch_size=size)
    return unit(predict_probabilities(run, model.params, batches))


def training_documents(
    model: "Model", *, say: Say = lambda line: None
) -> tuple[TrainingDocuments | None, str]:
    """The documents that a model was trained on, read anew once and then kept.

    They are kept in the work directory as train_vectors.npz, under the fingerprint of
    the documents and the encoder.

    Returns:
        The documents; or None, and a sentence that says why.
    """
    # What was kept of an earlier call, for the same model and documents.
    try:
        known = model.workdir.data().get("train", "")
    except (WorkdirError, OSError, ValueError):
        known = ""
    path = model.workdir.path / FILE
    key = _key(model, known)
    if (found := _read(path, key, len(model.labels))) is not None:
        return found, ""
    # Read anew; they must be the documents of training.
    started = time.perf_counter()
    try:
        layout = model.workdir.layout()
        corpus = read_corpus(model.config.data, tasks=_tasks(model), layout=layout)
    except (ValueError, OSError) as error:
        said = " ".join(str(error).split())
        return None, f"the training documents cannot be read any more: {said}"
    if known and fingerprint(corpus.train) != known:
        return None, (
            "the training documents are not those that this model was trained on, so "
            "none is named as the nearest"
        )
    if not corpus.train:
        return None, "there is no training document"
    # Vectors of them, kept where that can be written.
    found = _make(model, corpus.train)
    seconds = time.perf_counter() - started
    kept = f"kept as {path}"
    try:
        _write(path, key, found)
    except OSError as error:
        kept = f"not kept, as {path} cannot be written ({error.strerror})"
    documents = counted(len(found.ids), "training document")
    say(f"vectors of {documents}: {seconds:.1f} s, {kept}")
    return found, ""


def _tasks(model: "Model") -> Sequence[str]:
    tasks = model.label_space.tasks
    return tasks if len(tasks) > 1 else ()


def _make(model: "Model", documents: Sequence[Document]) -> TrainingDocuments:
    index = model.label_space.index
    sets = [[index[n] for n in d.labels if n in index] for d in documents]
    labels = np.full((len(sets), max(1, *map(len, sets), 1)), -1, np.int32)
    for row, columns in enumerate(sets):
        labels[row, : len(columns)] = columns
    vectors = document_vectors(model, model.encode(documents).examples)
    starts = [
        " ".join(d.text.split())[:SHOWN_CHARACTERS]
        if d.features is None
        else f"{len(d.features.ids)} features"
        for d in documents
    ]
    return TrainingDocuments(
        np.asarray([d.id for d in documents], np.str_),
        np.asarray(starts, np.str_),
        labels,
        vectors.astype(np.float16),
    )


def _key(model: "Model", known: str) -> str:
    """Return a digest of what the vectors depend on: documents, tokenizer, encoder."""
    digest = hashlib.sha256(f"1 {known} {model.tokenizer.fingerprint}".encode())
    digest.update("\x1f".join(model.labels).encode())
    if model.encoder is not None:
        digest.update(model.encoder.fingerprint.encode())
    encoder = model.params.get("text_encoder", {})
    for path, leaf in jax.tree_util.tree_leaves_with_path(encoder):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _read(path: Path, key: str, labels: int) -> TrainingDocuments | None:
    """Read the stored documents; None where they are others, absent or damaged."""
    with (
        contextlib.suppress(WorkdirError),
        read_npz(path, error=WorkdirError) as stored,
    ):
        if stored.text("key") == key:
            return TrainingDocuments(
                ids=stored.take("ids", "U", "M"),
                starts=stored.take("starts", "U", "M"),
                labels=stored.take("labels", "iu", "M", "P", low=-1, below=labels),
                vectors=stored.take("vectors", "f", "M", "D"),
            )
    return None


def _write(path: Path, key: str, found: TrainingDocuments) -> None:
    arrays = {name: getattr(found, name) for name in _FIELDS}
    write_npz(path, {"key": np.asarray(key), **arrays}, compressed=False)
