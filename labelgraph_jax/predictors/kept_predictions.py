"""What a model made of the test documents, kept beside its results.

A work directory has it in test_predictions.npz, so that a report need not score the
documents again. Up to `WHOLE` labels all probabilities are kept, of more labels the
best of each document.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.data.documents import Document
from labelgraph_jax.functional.metrics.ranked import ranked_hits
from labelgraph_jax.predictors.documents import fingerprint
from labelgraph_jax.predictors.memory.files import read_added
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError, replacing

FILE = "test_predictions.npz"
WHOLE = 1_000
"""Labels up to which every probability is kept."""
KEPT = 100
"""Labels of a document that are kept where there are more."""


@dataclass(frozen=True)
class KeptPredictions:
    """Probabilities, decisions and truth of M documents, K labels of each.

    Attributes:
        documents: the documents' ids.
        fingerprint: of the documents, see `prepare.fingerprint`.
        ids: label ids `[M, K]`, the most probable first.
        probabilities: theirs, float32 `[M, K]`.
        decided: which of them are predicted, bool `[M, K]`; no label outside is.
        known: which of them the document is annotated for, bool `[M, K]`.
        truth: the documents' labels, `[M, N]`, where annotated.
        rest: the sum of the probabilities that were not kept, float32 `[M]`; NaN where
            they were never made.
    """

    documents: tuple[str, ...]
    fingerprint: str
    ids: np.ndarray
    probabilities: np.ndarray
    decided: np.ndarray
    known: np.ndarray
    truth: csr_array
    rest: np.ndarray

    @property
    def labels(self) -> int:
        """N, how many labels the model has."""
        return int(self.truth.shape[1])

    @property
    def is_whole(self) -> bool:
        """Whether the probability of every label is here."""
        return self.ids.shape[1] == self.labels

    @property
    def hits(self) -> np.ndarray:
        """Which of the kept labels are true ones, bool `[M, K]`."""
        return ranked_hits(self.ids, self.truth.indptr, self.truth.indices)


def keep_dense(
    documents: Sequence[Document],
    probabilities: np.ndarray,
    decided: np.ndarray,
    truth: csr_array,
    mask: np.ndarray | None,
    *,
    kept: int = KEPT,
    whole: int = WHOLE,
) -> KeptPredictions:
    """Keeps the probabilities of all labels, or those of the best.

    Args:
        documents: M of them.
        probabilities: `[M, N]`.
        decided: bool `[M, N]`.
        truth: `[M, N]`.
        mask: bool `[M, N]`, True where the document is annotated; None where it is
            for every label.
        kept: labels of a document where there are more than `whole`; what is decided
            is always among them.
    """
    rows, labels = probabilities.shape
    count = labels
    if labels > whole:
        most = int(decided.sum(axis=1).max(initial=0))
        count = min(labels, max(kept, most))
    # Decided labels first, so that none of them is left out.
    first = np.where(decided, probabilities + 2.0, probabilities)
    if count < labels:
        ids = np.argpartition(-first, count - 1, axis=1)[:, :count]
    else:
        ids = np.broadcast_to(np.arange(labels), (rows, labels))
    best = np.take_along_axis(probabilities, ids, axis=1)
    order = np.lexsort((ids, -best), axis=1)
    ids = np.take_along_axis(ids, order, axis=1).astype(np.int32)
    best = np.take_along_axis(best, order, axis=1).astype(np.float32)
    known = np.ones(ids.shape, bool)
    if mask is not None:
        known = np.take_along_axis(mask, ids, axis=1)
        truth = csr_array(truth.multiply(mask))
        truth.eliminate_zeros()
    rest = probabilities.sum(axis=1, dtype=np.float64) - best.sum(axis=1)
    return KeptPredictions(
        tuple(document.id for document in documents),
        fingerprint(documents),
        ids,
        best,
        np.take_along_axis(decided, ids, axis=1),
        known,
        truth,
        np.maximum(rest, 0.0).astype(np.float32),
    )


def keep_ranked(
    documents: Sequence[Document],
    ids: np.ndarray,
    probabilities: np.ndarray,
    decided: np.ndarray,
    truth: csr_array,
) -> KeptPredictions:
    """Keeps the best labels of a model that never makes the others' probabilities.

    Args:
        documents: M of them.
        ids, probabilities, decided: of the best labels of each, `[M, K]`.
        truth: `[M, N]`.
    """
    count = min(ids.shape[1], max(KEPT, int(decided.sum(axis=1).max(initial=0))))
    return KeptPredictions(
        tuple(document.id for document in documents),
        fingerprint(documents),
        ids[:, :count].astype(np.int32),
        probabilities[:, :count].astype(np.float32),
        decided[:, :count],
        np.ones((len(ids), count), bool),
        truth,
        np.full(len(ids), np.nan, np.float32),
    )


def stamp(place: Workdir) -> str:
    """SHA-256 of what predictions depend on: checkpoint, thresholds, labels."""
    digest = hashlib.sha256()
    for path in (place.thresholds_path, place.checkpoints / "best.json"):
        digest.update(path.read_bytes() if path.is_file() else b"-")
        digest.update(b"\x1e")
    for name in (*place.labels().names, *read_added(place).names):
        digest.update(name.encode("utf-8", "surrogatepass") + b"\x1f")
    return digest.hexdigest()


def save_kept(place: Workdir, kept: KeptPredictions) -> None:
    """Writes test_predictions.npz, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    path = place.path / FILE
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            stamp=stamp(place),
            fingerprint=kept.fingerprint,
            documents=json.dumps(kept.documents),
            ids=kept.ids,
            probabilities=kept.probabilities,
            decided=np.packbits(kept.decided, axis=1),
            known=np.packbits(kept.known, axis=1),
            truth_starts=kept.truth.indptr,
            truth_labels=kept.truth.indices,
            labels=kept.labels,
            rest=kept.rest,
        )


def read_kept(place: Workdir) -> KeptPredictions | None:
    """What `save_kept` wrote; None where nothing fits the model that stands there now.

    Raises:
        WorkdirError: the file is damaged.
    """
    path = place.path / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored["stamp"]) != stamp(place):
                return None
            return _kept(stored)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise WorkdirError(f"{path}: cannot be read: {error}") from error
    except zlib.error as error:
        raise WorkdirError(f"{path}: cannot be read: {error}") from error


def _kept(stored: Any) -> KeptPredictions:
    ids = stored["ids"]
    labels = stored["truth_labels"]
    truth = csr_array(
        (np.ones(len(labels), np.float32), labels, stored["truth_starts"]),
        shape=(len(ids), int(stored["labels"])),
    )
    decided, known = (
        np.unpackbits(stored[name], axis=1, count=ids.shape[1]).astype(bool)
        for name in ("decided", "known")
    )
    return KeptPredictions(
        tuple(json.loads(str(stored["documents"]))),
        str(stored["fingerprint"]),
        ids,
        stored["probabilities"],
        decided,
        known,
        truth,
        stored["rest"],
    )
