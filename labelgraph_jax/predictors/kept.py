"""What a model made of the test documents, kept beside its results.

A work directory has it in test_predictions.npz, so that a report need not score the
documents again. Up to `predictions.WHOLE` labels all probabilities are kept, of more
labels the best of each document.
"""

import hashlib
import json
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.data.files import read_npz, write_npz
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
    """What `save_kept` wrote; None where nothing fits the model that stands there now.

    Raises:
        WorkdirError: the file is damaged.
    """
    path = place.path / FILE
    if not path.is_file():
        return None
    with read_npz(path, error=WorkdirError) as stored:
        return _kept(stored) if str(stored["stamp"]) == stamp(place) else None


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
        ids=ids,
        probabilities=stored["probabilities"],
        labels=int(stored["labels"]),
        truth=truth,
        known=known,
        decided=decided,
        documents=tuple(json.loads(str(stored["documents"]))),
        fingerprint=str(stored["fingerprint"]),
        rest=stored["rest"],
    )
