"""What a table keeps of a run, so that no run is trained twice.

Probabilities of the validation and test documents, by which everything a table prints
is computed again: thresholds, metrics, intervals. They stay in the work folder.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.tables.corpus import save_arrays
from labelgraph_jax.config import Config, to_dict

RUN_FORMAT = 1
"""Raise it where what is stored, or the training behind it, gives other numbers."""


@dataclass(frozen=True)
class SeedRun:
    """One run of a cell.

    Attributes:
        seed: of the run.
        validation, test: scores of the documents, float32 `[M, N]`.
        parameters: how many numbers were learned or frozen.
        best_epoch, best_validation: of the selected checkpoint.
        seconds: of training and scoring; for runs trained together, their share.
        trained_together: how many runs trained at once.
        history: validation values, epoch by epoch.
    """

    seed: int
    validation: np.ndarray
    test: np.ndarray
    parameters: int
    best_epoch: int
    best_validation: float
    seconds: float
    trained_together: int
    history: list[float]


def run_key(config: Config, fingerprints: Mapping[str, str]) -> str:
    """Names a run by all that decides its probabilities, and nothing else.

    Thresholds act on finished probabilities, so cells that differ in them alone share
    their runs; where the data lies does not matter, what it is does.
    """
    settings = to_dict(config.resolved())
    del settings["threshold"]
    settings["data"].pop("data_dir")
    text = json.dumps([RUN_FORMAT, settings, dict(fingerprints)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class RunStore:
    """Finished runs in a folder, one .npz and one .json each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: str) -> SeedRun | None:
        """The finished run of that key, or None."""
        record = self.folder / f"{key}.json"
        if not record.is_file():
            return None
        values = json.loads(record.read_text(encoding="utf-8"))
        with np.load(self.folder / f"{key}.npz", allow_pickle=False) as stored:
            return SeedRun(**values["run"], **{n: stored[n] for n in stored.files})

    def save(self, key: str, run: SeedRun, config: Config) -> None:
        """Keeps a finished run; the record is written last, so it never lies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        scores = {"validation": run.validation, "test": run.test}
        save_arrays(self.folder / f"{key}.npz", scores)
        values: dict[str, Any] = {
            field.name: getattr(run, field.name)
            for field in dataclasses.fields(run)
            if field.name not in scores
        }
        record = {"run": values, "config": to_dict(config)}
        partial = self.folder / f"{key}.json.partial"
        partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
        partial.replace(self.folder / f"{key}.json")
