"""Census-Income (KDD 2018, section 6): six models of one size on two pairs of tasks.

    python -m experiments.census_income

Reproduces tables 1 and 2 of the Multi-gate Mixture-of-Experts paper, but for tensor
factorisation. Every model has as many parameters as an MMoE of 8 experts of 8 units
(within 2 %), is tuned by 24 trials on validation, and its best setting is run with 20
seeds. Writes OUT/census-income-GROUP.json, .md and .png. About 25 minutes of processor
time a group (2 cores). Expected, group 1, MMoE: income 0.949, never married 0.994.

Runs are kept in the work folder: a call that was stopped goes on where it was.
"""

import dataclasses
import functools
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.pod import ALONE, Pod, end
from experiments.study import (
    commit,
    keep_compilations,
    progress,
    require_at_least_one,
    run_command,
)
from labelgraph_jax.config import ConfigError

MODELS = (
    *("single_task", "shared_bottom", "l2_constrained", "cross_stitch", "omoe", "mmoe"),
)
REFERENCE = "shared_bottom"
MAIN_GROUPS = ("group1", "group2")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare models for several tasks on Census-Income, and write down what comes."""

    groups: tuple[str, ...] = MAIN_GROUPS
    """group1 (income, never married), group2 (college, never married), or
    group2-bachelors, which counts from a bachelor's degree on."""
    models: tuple[str, ...] = MODELS
    """Which models; shared_bottom is always there."""
    seeds: int = 20
    """Seeds 0, 1, ... of every model's best setting."""
    epochs: int = 3
    """Of a final run; tuning takes 2 over half the rows."""
    together: int = 10
    """How many seeds train at once, on the same batches."""
    batch_size: int = 1024
    min_count: int = 20
    """Training rows that a value needs to be an input of its own."""
    resamples: int = 1000
    """Bootstrap draws."""
    quick: bool = False
    """See that everything works: 20,000 training rows, 2 seeds, 1 epoch, no tuning;
    file names end in -quick."""
    data_dir: str = ""
    """Folder of local corpus copies; else LABELGRAPH_DATA, else the public home."""
    out: str = "experiments/results"
    work: str = "workdirs/census_income"
    """Where runs are kept."""
    quiet: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code (2: an argument is wrong)."""
    return run_command("census_income", Arguments, compute, arguments)


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> None:
    """Trains what is missing, group by group, and writes each group down.

    Raises:
        ConfigError: an option that does not fit.
        DataError: the data set cannot be read.
    """
    _check(chosen)
    from experiments.census.cells import Laboratory
    from experiments.census.corpus import load_census_income
    from experiments.census.inputs import encode

    say = progress(pod, quiet=chosen.quiet)
    keep_compilations(Path(chosen.work) / "compiled")
    laboratory = Laboratory(Path(chosen.work), say)
    data = pod.first_then_others(
        "data", lambda: load_census_income(chosen.data_dir or None)
    )
    groups = list(dict.fromkeys(chosen.groups))

    @functools.cache
    def inputs_of(group: str) -> Any:
        return encode(data, group, min_count=chosen.min_count)

    started = time.perf_counter()
    pod.fill(
        "models of the groups",
        list(itertools.product(groups, names_of(chosen))),
        lambda cell: train(laboratory, inputs_of(cell[0]), cell[1], chosen),
    )
    for group in groups if pod.writes else ():
        record = measured(laboratory, inputs_of(group), chosen)
        record |= {
            "command": command,
            "hardware": pod.on(record["hardware"]),
            "seconds": round(time.perf_counter() - started, 1),
        }
        started = time.perf_counter()
        write(record, Path(chosen.out), quick=chosen.quick)


def names_of(chosen: Arguments) -> list[str]:
    """The models to compare, the reference among them."""
    return [name for name in MODELS if name in (*chosen.models, REFERENCE)]


def train(laboratory: Any, inputs: Any, model: str, chosen: Arguments) -> Any:
    """A model of one group, tuned and run; read where it was before."""
    plan = plan_of(chosen, len(inputs.splits["train"]["targets"]))
    return laboratory.cell(inputs, model, plan)


def measured(laboratory: Any, inputs: Any, chosen: Arguments) -> dict[str, Any]:
    """All numbers of one group."""
    from experiments.census.inputs import correlations
    from experiments.census.statistics import differences, gate_summary, task_rows
    from experiments.census.verdict import verdict
    from experiments.collect import hardware

    plan = plan_of(chosen, len(inputs.splits["train"]["targets"]))
    cells = [train(laboratory, inputs, name, chosen) for name in names_of(chosen)]
    reference = next(cell for cell in cells if cell.model == REFERENCE)
    gates = [summary for cell in cells if (summary := gate_summary(cell))]
    record: dict[str, Any] = {
        "experiment": "census_income",
        "group": inputs.group,
        "tasks": [task.name for task in inputs.tasks],
        "commit": commit(),
        "hardware": hardware(),
        "seeds": plan.seeds,
        "reference": REFERENCE,
        "resamples": chosen.resamples,
        "rows": {name: len(a["targets"]) for name, a in inputs.splits.items()},
        "inputs": {
            "columns": list(inputs.columns),
            "width": inputs.width,
            "min_count": chosen.min_count,
            "unseen": dict(inputs.unseen),
        },
        "correlation": correlations(inputs),
        "plan": dataclasses.asdict(plan),
        "note": f"{min(plan.together, plan.seeds)} seeds train together, on the same "
        "batches; seconds are a run's share. Tuning runs (seed 0) last "
        f"{plan.tuning.epochs} epochs over half the rows, which favours larger "
        f"learning rates than the {plan.final.epochs} epochs of the final runs over "
        "all of them; for all models alike.",
        "models": [
            {
                "model": cell.model,
                "shape": str(cell.shape),
                "chosen": dataclasses.asdict(cell.chosen),
                "parameters": cell.parameters,
                "tried": cell.tried,
                "auc": task_rows(cell, inputs.tasks),
                "best_epochs": [run.best_epoch for run in cell.runs],
                "seconds": [round(run.seconds, 2) for run in cell.runs],
            }
            for cell in cells
        ],
        "differences": differences(
            cells,
            reference,
            inputs.tasks,
            inputs.splits["test"]["targets"],
            resamples=chosen.resamples,
        ),
        "gates": gates,
    }
    spent = [run.seconds for cell in cells for run in cell.runs]
    spent += [trial["seconds"] for cell in cells for trial in cell.tried]
    record["training_seconds"] = round(sum(spent), 1)
    return record | {"verdict": verdict(record)}


def plan_of(chosen: Arguments, rows: int) -> Any:
    """How much is trained: everything, or a glance."""
    from experiments.census.cells import Plan
    from experiments.census.training import Schedule

    if chosen.quick:
        glance = Schedule(1, chosen.batch_size, 0.0, 20_000)
        return Plan(2, 2, glance, glance, tuned=False)
    return Plan(
        seeds=chosen.seeds,
        together=chosen.together,
        final=Schedule(chosen.epochs, chosen.batch_size, 0.0),
        tuning=Schedule(2, chosen.batch_size, 0.0, rows // 2),
    )


def write(record: dict[str, Any], out: Path, *, quick: bool) -> None:
    """Writes the JSON, the Markdown and the plot of a group."""
    from experiments.census.rendering import markdown, plot

    out.mkdir(parents=True, exist_ok=True)
    stem = f"census-income-{record['group']}" + ("-quick" if quick else "")
    numbers = json.dumps(record, indent=1) + "\n"
    (out / f"{stem}.json").write_text(numbers, encoding="utf-8")
    text = markdown(record)
    (out / f"{stem}.md").write_text(text, encoding="utf-8")
    plot(record, out / f"{stem}.png")
    print(text)


def _check(chosen: Arguments) -> None:
    """Everything about the options that can be said before data is read."""
    counts = "seeds", "epochs", "together", "batch_size", "min_count", "resamples"
    require_at_least_one(chosen, *counts)
    from experiments.census.corpus import group_tasks

    for group in chosen.groups:
        group_tasks(group)
    unknown = [name for name in chosen.models if name not in MODELS]
    if unknown:
        raise ConfigError(
            f"--models must be some of {', '.join(MODELS)}; got {unknown[0]!r}"
        )


if __name__ == "__main__":
    end(main)
