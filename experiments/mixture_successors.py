"""MMoE's successors beside it: PLE, ESMM, several levels, balanced gradients.

    python -m experiments.mixture_successors --study kuairand --data-dir DIR
    python -m experiments.mixture_successors --study census --data-dir DIR

`kuairand`: eight tasks of a video log, at the multiplications of MMoE with eight
experts (experts are narrower where there are more of them). `census`: income and never
married of Census-Income, at the same measure. Gradient boosting, one model a task, is
the rival. Every row is a difference from MMoE over the same seeds, with the interval
when rows (of users, where there are users) and seeds are both drawn again. Writes
OUT/mixture-successors-STUDY.json and .md; runs are kept in the work folder.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from experiments.pod import ALONE, Pod, end
from experiments.study import (
    Options,
    commit,
    keep_compilations,
    progress,
    require_at_least_one,
    run_command,
    write_record,
)
from labelgraph_jax.config import ConfigError

REFERENCE = "mmoe"
CELLS: dict[str, dict[str, Any]] = {
    "shared_bottom": {"kind": "shared_bottom"},
    "mmoe": {"kind": "mmoe", "experts": 8},
    "cgc": {"kind": "ple", "levels": 1},
    "ple": {"kind": "ple", "levels": 2},
    "esmm": {"kind": "mmoe", "experts": 8, "conditional": True},
    "mmoe2": {"kind": "mmoe", "experts": 8, "levels": 2},
    "mmoe-norm": {"kind": "mmoe", "experts": 8, "expert_norm": True},
    "ple-norm": {"kind": "ple", "levels": 2, "expert_norm": True},
    "uncertainty": {"kind": "mmoe", "experts": 8, "weighting": "uncertainty"},
    "gradnorm": {"kind": "mmoe", "experts": 8, "weighting": "gradnorm"},
    "project": {"kind": "mmoe", "experts": 8, "weighting": "project"},
    "boosting": {},
}
"""Settings of every row; those of a mixture, `conditional` (ESMM's targets) and the
weighting of the tasks' losses."""
TITLES = {
    "shared_bottom": "shared bottom",
    "mmoe": "MMoE, 8 experts",
    "cgc": "CGC (PLE of 1 level), an expert a task and 4 shared",
    "ple": "PLE, 2 levels, an expert a task and 4 shared",
    "esmm": "ESMM: MMoE, conditional targets",
    "mmoe2": "MMoE of 2 levels",
    "mmoe-norm": "MMoE, experts normalised",
    "ple-norm": "PLE, 2 levels, experts normalised",
    "uncertainty": "MMoE, losses weighed by uncertainty",
    "gradnorm": "MMoE, gradients of one norm",
    "project": "MMoE, conflicts projected away",
    "boosting": "gradient boosting, a model a task",
}
OWN_RATE = ("shared_bottom", "mmoe", "cgc", "ple", "esmm")
"""Rows whose learning rate validation chooses; the others take MMoE's, or PLE's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments(Options):
    """Compare what came after MMoE with it, on real rows."""

    study: Literal["kuairand", "census"] = "kuairand"
    cells: tuple[str, ...] = tuple(CELLS)
    """Which rows; mmoe is always there. esmm is of kuairand alone."""
    seeds: int = 5
    """Seeds 0, 1, ... of every row."""
    epochs: int = 3
    """Of every run; validation chooses the one that counts."""
    rates: tuple[float, ...] = (0.002, 0.004, 0.008)
    """Learning rates that are tried on validation, with a seed used for nothing else;
    a single one is taken."""
    rows: int = 0
    """Training rows that are used, half as many for validation and twice as many for
    the test, from a fixed draw; all when 0."""
    data_dir: str = ""
    """Folder of local corpus copies; else LABELGRAPH_DATA."""
    resamples: int = 200
    """Bootstrap draws."""
    quick: bool = False
    """A small part of the rows, one epoch, one learning rate: does it run?"""
    work: str = "workdirs/successors"
    """Where finished parts are kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code (2: an argument is wrong)."""
    return run_command("mixture_successors", Arguments, compute, arguments)


def compute(chosen: Arguments, command: str, pod: Pod = ALONE) -> None:
    """Trains what is missing and writes the table.

    Raises:
        ConfigError: an option out of its range.
        DataError: the rows cannot be read.
    """
    require_at_least_one(chosen, "seeds", "epochs", "resamples")
    for cell in chosen.cells:
        if cell not in CELLS or (cell == "esmm" and chosen.study == "census"):
            raise ConfigError(
                f"--cells must be of {', '.join(CELLS)} (esmm with kuairand alone), "
                f"got {cell!r}"
            )
    if chosen.rows < 0 or not all(rate > 0 for rate in chosen.rates):
        raise ConfigError(
            "--rows must be at least 0 and --rates above 0, got "
            f"{chosen.rows} and {list(chosen.rates)}"
        )
    from experiments.collect import hardware
    from experiments.store import Store
    from experiments.successors.page import markdown
    from experiments.successors.study import rows_of

    keep_compilations(Path(chosen.work) / "compiled")
    say: Callable[[str], None] = progress(pod, quiet=chosen.quiet)
    store = Store(Path(chosen.work), say)
    names = [name for name in CELLS if name in (*chosen.cells, REFERENCE)]
    if chosen.study == "census" and "esmm" in names:
        names.remove("esmm")
    record = rows_of(chosen, names, store)
    if not pod.writes:
        return
    record |= {
        "command": command,
        "commit": commit(),
        "hardware": pod.on(hardware()),
        "seconds": round(store.seconds, 1),
        "seeds": chosen.seeds,
        "epochs": chosen.epochs,
        "resamples": chosen.resamples,
    }
    name = f"mixture-successors-{record['study']}" + "-quick" * chosen.quick
    write_record(chosen.out, name, record, markdown(record))


if __name__ == "__main__":
    end(main)
