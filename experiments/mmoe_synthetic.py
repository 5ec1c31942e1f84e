"""KDD 2018, sections 3 and 5: how tasks' relatedness and models' losses go together.

    python -m experiments.mmoe_synthetic --preset google-research

Shared-bottom, OMoE and MMoE of equal size on pairs of tasks of a known correlation
(`experiments.mmoe.synthetic`), 200 seeds a cell; every seed has its own tasks,
examples and first parameters. The runs of a cell train together under `vmap`. Writes
OUT/mmoe-synthetic-PRESET.md, .json and .png: mean loss over the steps, histograms and
medians of the final loss, the spread of shared-bottom tested against MMoE's, and the
paper's claims, each answered with numbers.

2 cores: 17 minutes of both (3 models x 3 correlations x 200 seeds, and the search for
learning rates). Finished cells are kept in the work folder: a run that was stopped
goes on with the next one.

Expected by the paper: all models do better on related tasks, MMoE loses least on
unrelated ones, and the losses of shared-bottom vary most. The results beside this
script say what came out.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks import measure
from experiments.collect import hardware
from experiments.mmoe.synthetic import directions_for, preset
from experiments.mmoe.synthetic_findings import findings
from experiments.mmoe.synthetic_report import markdown, plot
from experiments.mmoe.synthetic_runs import (
    EXPERT_UNITS,
    EXPERTS,
    MODELS,
    TASKS,
    TOWER_UNITS,
    Sizes,
    parameter_count,
    shared_units,
)
from experiments.mmoe.synthetic_statistics import (
    Cell,
    Draws,
    cell_rows,
    trainability_rows,
)
from experiments.mmoe.synthetic_store import Laboratory, TimedRuns, use_every_core
from experiments.pod import ALONE, Pod, end
from experiments.study import commit, keep_compilations, progress, run_command
from labelgraph_jax.config import ConfigError

FIRST_TUNING_SEED = 1_000_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train the models of KDD 2018 on tasks of a known correlation."""

    preset: str = "google-research"
    """What the paper leaves open of the data: google-research, keras-mmoe or zoo."""
    seeds: int = 200
    """Runs of every cell: seeds 0, 1, ..."""
    correlations: tuple[float, ...] = (0.5, 0.9, 1.0)
    """Cosines of the two tasks' weights."""
    cells: tuple[str, ...] = ()
    """Some cells only, as MODEL:CORRELATION, for example mmoe:0.5; all where none is
    named."""
    learning_rates: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    """Of Adam; chosen for each model by the mean loss of other seeds."""
    tuning_seeds: int = 8
    """Seeds per correlation and rate of that choice."""
    epochs: int = Sizes().epochs
    """Points of the curves."""
    steps: int = Sizes().steps
    """Steps between two points."""
    batch: int = Sizes().batch
    """New examples of every step."""
    held_out: int = Sizes().held_out
    """New examples for the final loss."""
    features: int = Sizes().features
    """d of the inputs."""
    together: int = 4
    """Runs under one vmap on each device."""
    resamples: int = 2000
    """Bootstrap draws."""
    name: str = ""
    """Name of the result files after `mmoe-synthetic-`; the preset's where empty."""
    out: str = "experiments/results"
    work: str = "workdirs/mmoe-synthetic"
    """Where finished cells are kept."""
    quick: bool = False
    """Few seeds and steps: a look at the whole in a minute, no result."""
    quiet: bool = False

    def resolved(self) -> "Arguments":
        """With what `quick` stands for."""
        if not self.quick:
            return self
        return dataclasses.replace(
            self,
            seeds=min(self.seeds, 8),
            tuning_seeds=min(self.tuning_seeds, 2),
            epochs=min(self.epochs, 4),
            steps=min(self.steps, 50),
            held_out=min(self.held_out, 1024),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code (2: an argument is wrong)."""

    def page_written(chosen: Arguments, command: str, pod: Pod) -> None:
        record = compute(chosen.resolved(), command, pod)
        if record:
            write(record, Path(chosen.out))

    return run_command(
        "mmoe_synthetic", Arguments, page_written, arguments, before=use_every_core
    )


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> dict[str, Any] | None:
    """Trains what is missing and returns all numbers; None but on process 0.

    Raises:
        ConfigError: an option out of its range, an unknown cell.
        DataError: an unknown preset, an impossible correlation.
        FloatingPointError: a loss is not finite.
    """
    cells = check(chosen)
    use_every_core()
    keep_compilations(Path(chosen.work) / "compiled")
    sizes = Sizes(
        chosen.features, chosen.batch, chosen.steps, chosen.epochs, chosen.held_out
    )
    say = progress(pod, quiet=chosen.quiet)
    laboratory = Laboratory(
        Path(chosen.work), preset(chosen.preset), sizes, chosen.together, say
    )
    models = list(dict.fromkeys(model for model, _ in cells))
    timed: list[TimedRuns] = []

    def search(model: str) -> dict[str, Any]:
        return choose_rate(laboratory, model, chosen, timed)

    def train(cell: Cell) -> TimedRuns:
        model, correlation = cell
        say(f"{model} at correlation {correlation:g}")
        return laboratory.runs(
            model,
            range(chosen.seeds),
            [correlation] * chosen.seeds,
            [searches[model]["chosen"]] * chosen.seeds,
        )

    pod.fill("searches for learning rates", models, search)
    timed.clear()
    searches = {model: search(model) for model in models}
    pod.fill("cells", cells, train)
    if not pod.writes:
        return None
    results = {cell: train(cell) for cell in cells}
    timed += results.values()
    draws = Draws(
        {cell: kept.runs.losses.mean(axis=1) for cell, kept in results.items()},
        chosen.resamples,
    )
    return {
        "name": chosen.name or chosen.preset,
        "preset": chosen.preset,
        "command": command,
        "commit": commit(),
        "hardware": pod.on(hardware()),
        "cores": measure.cores(),
        "seconds": round(sum(kept.seconds for kept in timed), 1),
        "cpu_seconds": round(sum(kept.cpu_seconds for kept in timed), 1),
        "runs": sum(len(kept.runs.losses) for kept in timed),
        "seeds": chosen.seeds,
        "tuning_seeds": chosen.tuning_seeds,
        "resamples": chosen.resamples,
        "together": chosen.together,
        "spec": laboratory.spec._asdict(),
        "sizes": sizes._asdict(),
        "shared_units": shared_units(chosen.features),
        "counted": counted_weights(chosen.features),
        "parameters": {m: parameter_count(m, chosen.features) for m in MODELS},
        "learning_rates": searches,
        "cells": described_cells(draws, results, searches),
        "trainability": trainability_rows(
            draws,
            [p for p in sorted(chosen.correlations) if _complete(results, p)],
        ),
        "findings": findings(draws, chosen.correlations) if _full(results) else [],
    }


def check(chosen: Arguments) -> list[Cell]:
    """The cells to train; refuses what cannot be run before anything is.

    Raises:
        ConfigError: an option out of its range, an unknown cell.
        DataError: an unknown preset, an impossible correlation.
    """
    for name, least in {
        "seeds": 2,
        "tuning_seeds": 1,
        "epochs": 1,
        "steps": 1,
        "batch": 1,
        "held_out": 1,
        "features": len(TASKS),
        "together": 1,
        "resamples": 1,
    }.items():
        if getattr(chosen, name) < least:
            flag = name.replace("_", "-")
            raise ConfigError(
                f"--{flag} must be at least {least}, got {getattr(chosen, name)}"
            )
    if not chosen.correlations or not chosen.learning_rates:
        raise ConfigError("--correlations and --learning-rates must name a value each")
    for rate in chosen.learning_rates:
        if not (math.isfinite(rate) and rate > 0):
            raise ConfigError(f"--learning-rates must be positive, got {rate}")
    preset(chosen.preset)
    for correlation in chosen.correlations:
        directions_for(correlation, len(TASKS))
    cells = {
        f"{model}:{correlation:g}": (model, float(correlation))
        for correlation, model in itertools.product(
            sorted(set(chosen.correlations)), MODELS
        )
    }
    for name in chosen.cells:
        if name not in cells:
            raise ConfigError(
                f"--cells: no cell {name!r}; there are {', '.join(cells)}"
            )
    return [cell for name, cell in cells.items() if name in (chosen.cells or cells)]


def choose_rate(
    laboratory: Laboratory, model: str, chosen: Arguments, timed: list[TimedRuns]
) -> dict[str, Any]:
    """The learning rate with the smallest mean loss over all correlations.

    It is chosen on seeds that no cell has; what that took is added to `timed`.
    """
    rates = sorted(set(chosen.learning_rates))
    if len(rates) == 1:
        return {"chosen": rates[0], "losses": []}
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + chosen.tuning_seeds)
    plan = list(itertools.product(rates, sorted(set(chosen.correlations)), seeds))
    kept = laboratory.runs(
        model,
        [seed for _, _, seed in plan],
        [correlation for _, correlation, _ in plan],
        [rate for rate, _, _ in plan],
    )
    timed.append(kept)
    means = kept.runs.losses.mean(axis=1).reshape(len(rates), -1).mean(axis=1)
    losses = [[rate, float(mean)] for rate, mean in zip(rates, means, strict=True)]
    return {"chosen": rates[int(means.argmin())], "losses": losses}


def counted_weights(features: int) -> dict[str, int]:
    """Weights of experts and towers as the paper counts them: 13,056 for d = 100."""
    towers = TOWER_UNITS * len(TASKS)
    mixture = features * EXPERT_UNITS * EXPERTS + EXPERT_UNITS * towers
    shared = shared_units(features) * (features + towers)
    return {"shared-bottom": shared, "omoe": mixture, "mmoe": mixture}


def described_cells(
    draws: Draws, results: dict[Cell, TimedRuns], searches: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row per cell, with its curve, its final losses and what it took."""
    variances = {cell: kept.runs.variances for cell, kept in results.items()}
    rows = cell_rows(draws, variances)
    for row, kept in zip(rows, results.values(), strict=True):
        curves = kept.runs.curves
        row |= {
            "learning_rate": searches[row["model"]]["chosen"],
            "seconds": round(kept.seconds, 1),
            "cpu_seconds": round(kept.cpu_seconds, 1),
            "curve_mean": _rounded(curves.mean(axis=0)),
            "curve_sd": _rounded(curves.std(axis=0, ddof=1)),
            "losses": _rounded(kept.runs.losses.mean(axis=1)),
            "task_losses": _rounded(kept.runs.losses.mean(axis=0)),
        }
    return rows


def _complete(results: dict[Cell, TimedRuns], correlation: float) -> bool:
    return all((model, correlation) in results for model in MODELS)


def _full(results: dict[Cell, TimedRuns]) -> bool:
    return all(_complete(results, correlation) for _, correlation in results)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in values]


def write(record: dict[str, Any], out: Path) -> None:
    """Writes the page, the numbers and the figure."""
    out.mkdir(parents=True, exist_ok=True)
    stem = f"mmoe-synthetic-{record['name']}"
    record = {**record, "figure": f"{stem}.png"}
    numbers = json.dumps(record) + "\n"
    (out / f"{stem}.json").write_text(numbers, encoding="utf-8")
    text = markdown(record)
    (out / f"{stem}.md").write_text(text, encoding="utf-8")
    plot(record, out / f"{stem}.png")
    print(text)


if __name__ == "__main__":
    end(main)
