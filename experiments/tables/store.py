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

from experiments.pod import whole
from experiments.tables.corpus import save_arrays
from labelgraph_jax.config import Config, ConfigError, from_dict, to_dict

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


def identity(config: Config, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    """All that decides a run's probabilities, and nothing else, as JSON values.

    Thresholds act on finished probabilities, so cells that differ in them alone share
    their runs; where the data lies does not matter, what it is does.
    """
    settings = to_dict(config.resolved())
    del settings["threshold"]
    settings["data"].pop("data_dir")
    return {"format": RUN_FORMAT, "data": dict(fingerprints), "settings": settings}


def run_key(config: Config, fingerprints: Mapping[str, str]) -> str:
    """Names a run by its identity."""
    text = json.dumps(identity(config, fingerprints), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class RunStore:
    """Finished runs in a folder, one .npz and one .json each.

    A run is found by comparing settings, not names: a setting that did not exist when
    it was trained has its default, as in a stored work directory, and a default that
    has changed since does not pass for the old one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, config: Config, fingerprints: Mapping[str, str]) -> SeedRun | None:
        """The finished run with these settings on these documents, or None."""
        wanted = identity(config, fingerprints)
        for path in sorted(self.folder.glob("*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            try:
                stored = identity(from_dict(record["config"]), record["data"])
            except ConfigError:  # a setting that is gone
                continue
            if record["format"] == RUN_FORMAT and stored == wanted:
                with np.load(path.with_suffix(".npz"), allow_pickle=False) as scores:
                    parts = {name: scores[name] for name in scores.files}
                return SeedRun(**record["run"], **parts)
        return None

    def save(
        self, run: SeedRun, config: Config, fingerprints: Mapping[str, str]
    ) -> None:
        """Keeps a finished run; the record is written last, so it never lies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        key = run_key(config, fingerprints)
        scores = {"validation": run.validation, "test": run.test}
        save_arrays(self.folder / f"{key}.npz", scores)
        values: dict[str, Any] = {
            field.name: getattr(run, field.name)
            for field in dataclasses.fields(run)
            if field.name not in scores
        }
        record = {
            "format": RUN_FORMAT,
            "data": dict(fingerprints),
            "run": values,
            "config": to_dict(config),
        }
        with whole(self.folder / f"{key}.json") as partial:
            partial.write_text(json.dumps(record, indent=1), encoding="utf-8")
