"""Runs on synthetic tasks, kept in a folder so that none is trained twice."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.benchmarks import measure
from experiments.mmoe.synthetic import SyntheticSpec
from experiments.mmoe.synthetic_runs import Runs, Sizes, Trainer
from experiments.pod import whole

RUN_FORMAT = 1
"""Raise it where the same settings give other numbers."""


class TimedRuns(NamedTuple):
    """Runs, and what they took.

    Attributes:
        runs: in the order asked for.
        seconds: on the clock, compilation included.
        cpu_seconds: of all cores together; less than `seconds` times the cores where
            other work ran beside.
    """

    runs: Runs
    seconds: float
    cpu_seconds: float


@dataclass
class Laboratory:
    """Trains what the folder does not hold yet.

    Attributes:
        folder: where runs are kept.
        spec: of the data.
        sizes: of every run.
        together: see `Trainer`.
        say: takes one line about what is going on.
    """

    folder: Path
    spec: SyntheticSpec
    sizes: Sizes
    together: int
    say: Callable[[str], None]
    _trainers: dict[str, Trainer] = field(default_factory=dict, init=False)

    def runs(
        self,
        model: str,
        seeds: Sequence[int],
        correlations: Sequence[float],
        learning_rates: Sequence[float],
    ) -> TimedRuns:
        """The runs of a model, one per seed; all that are missing train at once."""
        settings = {
            "format": RUN_FORMAT,
            "spec": self.spec._asdict(),
            "sizes": self.sizes._asdict(),
            "model": model,
            "seeds": list(seeds),
            "correlations": list(correlations),
            "learning_rates": list(learning_rates),
        }
        text = json.dumps(settings, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:24]
        path = self.folder / f"{name}.npz"
        if not path.is_file():
            kept = self._train(model, seeds, correlations, learning_rates)
            save(path, kept, settings)
            self.say(
                f"{model}, {len(seeds)} runs: {kept.seconds:.0f} s "
                f"({kept.cpu_seconds:.0f} s of processor)"
            )
        return load(path)

    def _train(self, model: str, *runs: Sequence[Any]) -> TimedRuns:
        clock, processor = time.perf_counter(), time.process_time()
        if model not in self._trainers:
            self._trainers[model] = Trainer(
                model, self.spec, self.sizes, together=self.together
            )
        trained = self._trainers[model](*runs)
        return TimedRuns(
            trained, time.perf_counter() - clock, time.process_time() - processor
        )


def save(path: Path, kept: TimedRuns, settings: dict[str, Any]) -> None:
    """Writes runs under their final name last, so that a file is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.array([kept.seconds, kept.cpu_seconds])
    with whole(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(settings) + "\n", encoding="utf-8")
    with whole(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **kept.runs._asdict(), times=times)


def load(path: Path) -> TimedRuns:
    """Reads what `save` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        runs = Runs(*(arrays[name] for name in Runs._fields))
        seconds, cpu_seconds = arrays["times"].tolist()
    return TimedRuns(runs, seconds, cpu_seconds)


def use_every_core() -> None:
    """One JAX device per core of the CPU; a JAX that runs already keeps its devices."""
    # Refused after the first computation; the runs then share what devices there are.
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", measure.cores())
