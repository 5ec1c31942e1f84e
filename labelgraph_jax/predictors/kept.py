"""Predictions for the test documents, kept beside the results.

A work directory has it in test_predictions.npz, so that a report need not score the
documents again. Up to `predictions.WHOLE` labels all probabilities are kept, of more
labels the best of each document.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.data.arrays import Archive
from labelgraph_jax.data.files import parse_json, read_npz, write_npz
from labelgraph_jax.predictors.memory.files import read_added
from labelgraph_jax.predictors.predictions import KeptPredictions
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError

FILE = "test_predictions.npz"


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
    """Write test_predictions.npz, whole or not at all.

    Args:
        place: the work directory.
        kept: from `Predictions.kept`.

    Raises:
        OSError: it cannot be written.
    """
    arrays = {
        "stamp": stamp(place),
        "fingerprint": kept.fingerprint,
        "documents": json.dumps(kept.documents),
        "ids": kept.ids,
        "probabilities": kept.probabilities,
        "decided": np.packbits(kept.decided, axis=1),
        "known": np.packbits(kept.known, axis=1),
        "truth_starts": kept.truth.indptr,
        "truth_labels": kept.truth.indices,
        "labels": kept.labels,
        "rest": kept.rest,
    }
    write_npz(place.path / FILE, arrays)


def read_kept(place: Workdir) -> KeptPredictions | None:
    """Read what `save_kept` wrote; None if it does not belong to the current model.

    Raises:
        WorkdirError: the file is damaged.
    """
    path = place.path / FILE
    if not path.is_file():
        return None
    labels = len(place.labels()) + len(read_added(place))
    with read_npz(path, error=WorkdirError, sizes={"N": labels}) as stored:
        if stored.text("stamp") != stamp(place):
            return None
        return _kept(path, stored, labels)


def _kept(path: Path, stored: Archive, labels: int) -> KeptPredictions:
    # The documents, and the ids of their labels in range.
    if int(stored.take("labels", "iu")) != labels:
        raise WorkdirError(
            f"{path}: labels must be those of the model, {labels:,}, got "
            f"{stored['labels']:,}"
        )
    ids = stored.take("ids", "iu", "M", "K", low=-1, below=labels)
    documents = parse_json(stored.text("documents"))
    listed = isinstance(documents, list) and all(isinstance(d, str) for d in documents)
    if not listed or len(documents) != len(ids):
        raise WorkdirError(f"{path}: documents must be {len(ids):,} ids in a list")
    # Truth as a sparse matrix; decided and known labels from bits.
    truth_labels = stored.take("truth_labels", "iu", "T", low=0, below=labels)
    starts = stored.rows("truth_starts", of=len(truth_labels), rows="M")
    truth = csr_array(
        (np.ones(len(truth_labels), np.float32), truth_labels, starts),
        shape=(len(ids), labels),
    )
    decided, known = (
        np.unpackbits(
            stored.take(name, "u", "M", -(-ids.shape[1] // 8), below=256),
            axis=1,
            count=ids.shape[1],
        ).astype(bool)
        for name in ("decided", "known")
    )
    return KeptPredictions(
        ids=ids,
        probabilities=stored.take("probabilities", "f", "M", "K", low=0, below=1.0001),
        labels=labels,
        truth=truth,
        known=known,
        decided=decided,
        documents=tuple(documents),
        fingerprint=stored.text("fingerprint"),
        rest=stored.take("rest", "f", "M", finite=False),
    )
