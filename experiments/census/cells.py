"""Tuning and final runs of one model, kept in a folder: nothing is trained twice."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.census.inputs import CensusInputs
from experiments.census.networks import Shape, parameter_count, shapes_of
from experiments.census.training import Schedule, Trained, Trial, train_together
from experiments.pod import whole

FORMAT = 1
"""Raise it where the training gives other numbers under the same settings."""
REFERENCE = Shape("mmoe", (8,), 8)
"""Its number of parameters is what every model has, within 2 %."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How models are tuned, and how the best setting of each is run.

    Attributes:
        seeds: final runs, seeds 0, 1, ...
        together: how many of them train at once, on the same batches.
        final, tuning: epochs, batches and rows of either.
        learning_rates: tried with each weight decay, or with each constraint.
        weight_decays: of all models but l2_constrained.
        constraints: weights of the squared distance of l2_constrained.
        tuned: without, the first shape and a setting in the middle are taken.
    """

    seeds: int
    together: int
    final: Schedule
    tuning: Schedule
    learning_rates: tuple[float, ...] = (0.003, 0.01, 0.02)
    weight_decays: tuple[float, ...] = (0.0, 0.1)
    constraints: tuple[float, ...] = (1e-4, 1e-2)
    tuned: bool = True


@dataclass(frozen=True)
class Cell:
    """A model with the best of its settings.

    Attributes:
        model: kind of the network.
        shape, chosen: the setting that validation chose; its seed says nothing.
        parameters: of the network, gates and outputs included.
        tried: every trial of the tuning: shape, rates, AUC of the main task on
            validation, seconds.
        runs: the final ones.
    """

    model: str
    shape: Shape
    chosen: Trial
    parameters: int
    tried: list[dict[str, Any]]
    runs: list[Trained]


class Laboratory:
    """Trains, and keeps what was trained, in `folder`."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder = folder
        self.say = say

    def cell(self, inputs: CensusInputs, model: Any, plan: Plan) -> Cell:
        """Tunes a model on validation and runs its best setting with every seed."""
        budget = parameter_count(REFERENCE, inputs.tasks, inputs.width)
        shapes = shapes_of(model, inputs.tasks, inputs.width, budget)
        trials = _trials(model, plan)
        tried: list[tuple[float, Shape, Trial, float]] = []
        if plan.tuned:
            for shape in shapes:
                runs = self.runs(inputs, shape, trials, plan.tuning, scores=False)
                tried += [
                    (max(run.history), shape, run.trial, run.seconds) for run in runs
                ]
                best = max(max(run.history) for run in runs)
                self.say(f"{inputs.group} {model} {shape}: {best:.4f}")
        else:
            tried = [(float("nan"), shapes[0], trials[len(trials) // 2], 0.0)]
        _, shape, chosen, _ = max(tried, key=lambda entry: entry[0])
        runs = []
        for start in range(0, plan.seeds, plan.together):
            seeds = range(start, min(start + plan.together, plan.seeds))
            again = [dataclasses.replace(chosen, seed=seed) for seed in seeds]
            runs += self.runs(inputs, shape, again, plan.final, scores=True)
        means = np.mean([run.test for run in runs], axis=0)
        self.say(f"{inputs.group} {model} {shape} {chosen}: test {means.round(4)}")
        return Cell(
            model=model,
            shape=shape,
            chosen=chosen,
            parameters=parameter_count(shape, inputs.tasks, inputs.width),
            tried=[_as_json(*entry) for entry in tried] if plan.tuned else [],
            runs=runs,
        )

    def runs(
        self,
        inputs: CensusInputs,
        shape: Shape,
        trials: Sequence[Trial],
        schedule: Schedule,
        *,
        scores: bool,
    ) -> list[Trained]:
        """Runs that train together; read where they were trained before."""
        identity = {
            "format": FORMAT,
            "group": inputs.group,
            "data": inputs.fingerprint,
            "shape": dataclasses.asdict(shape),
            "trials": [dataclasses.asdict(trial) for trial in trials],
            "schedule": dataclasses.asdict(schedule),
        }
        text = json.dumps(identity, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:24]
        path = self.folder / f"{inputs.group}-{shape.kind}-{key}.json"
        arrays = path.with_suffix(".npz")
        if path.is_file() and (arrays.is_file() or not scores):
            return _read(path, trials, scores)
        runs = train_together(inputs, shape, trials, schedule, scores=scores)
        self.folder.mkdir(parents=True, exist_ok=True)
        if scores:
            outputs: Any = [run.test_outputs for run in runs]
            with whole(arrays) as partial, partial.open("wb") as file:
                np.savez(file, test_outputs=np.stack(outputs))
        elsewhere = ("trial", "test_outputs")
        names = [f.name for f in dataclasses.fields(Trained) if f.name not in elsewhere]
        record = [{name: getattr(run, name) for name in names} for run in runs]
        with whole(path) as partial:  # written last, so that it never lies
            text = json.dumps({"identity": identity, "runs": record}, indent=1)
            partial.write_text(text, encoding="utf-8")
        return runs


def _read(path: Path, trials: Sequence[Trial], scores: bool) -> list[Trained]:
    record = json.loads(path.read_text(encoding="utf-8"))["runs"]
    outputs: Any = [None] * len(trials)
    if scores:
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
            outputs = stored["test_outputs"]
    return [
        Trained(trial=trial, test_outputs=scored, **run)
        for trial, scored, run in zip(trials, outputs, record, strict=True)
    ]


def _trials(model: str, plan: Plan) -> list[Trial]:
    """Every learning rate with every strength of the model's regulariser."""
    if model == "l2_constrained":
        return [
            Trial(0, rate, constraint=strength)
            for rate in plan.learning_rates
            for strength in plan.constraints
        ]
    return [
        Trial(0, rate, weight_decay=strength)
        for rate in plan.learning_rates
        for strength in plan.weight_decays
    ]


def _as_json(
    value: float, shape: Shape, trial: Trial, seconds: float
) -> dict[str, Any]:
    return {
        "shape": str(shape),
        "learning_rate": trial.learning_rate,
        "weight_decay": trial.weight_decay,
        "constraint": trial.constraint,
        "validation_auc": value,
        "seconds": round(seconds, 2),
    }
