"""A multi-task ranker on a real log: mixtures of experts, position bias (RecSys'19).

    python -m experiments.video_ranking --data-dir DIR

Writes OUT/video-ranking.{json,md,png} (shared-bottom against MMoE at equal
multiplications, with the gates) and OUT/position-bias.{json,md,png} (four ways to learn
from clicks that depend on position). The log is KuaiRand-Pure, DIR/kuairand_pure_part.
Finished parts are kept in the work folder: a study that was stopped goes on.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from experiments.pod import ALONE, Pod, end
from experiments.study import (
    commit,
    keep_compilations,
    progress,
    require_at_least_one,
    run_command,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arguments:
    """Rank videos by eight tasks at once, and measure it."""

    study: Literal["both", "mixtures", "position"] = "both"
    """mixtures: video-ranking; position: position-bias."""
    seeds: int = 5
    """Seeds 0, 1, ... of every cell."""
    epochs: int = 3
    """Of every run; validation chooses the one that counts."""
    data_dir: str = ""
    """Folder of local corpus copies; else LABELGRAPH_DATA."""
    resamples: int = 200
    """Bootstrap draws of the users of the test part."""
    quick: bool = False
    """A small part of the log, one epoch, one learning rate: does it run?"""
    out: str = "experiments/results"
    work: str = "workdirs/video"
    """Where finished parts are kept."""
    quiet: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code (2: an argument is wrong)."""
    return run_command("video_ranking", Arguments, run, arguments)


def run(chosen: Arguments, command: str, pod: Pod = ALONE) -> None:
    """Computes what is missing and writes the tables.

    Raises:
        ConfigError: an option out of its range.
        DataError: the log cannot be read.
    """
    require_at_least_one(chosen, "seeds", "epochs", "resamples")
    from experiments.store import Store
    from experiments.video.debiasing import position_parts, position_study
    from experiments.video.kuairand import load_kuairand
    from experiments.video.log import ranking_log
    from experiments.video.mixtures import (
        RATES,
        Study,
        mixture_parts,
        mixture_rates,
        mixture_study,
    )
    from experiments.video.pages import write_mixtures
    from experiments.video.position_page import write_position
    from experiments.video.simulation import Sizes, simulate
    from experiments.video.training import Plan

    keep_compilations(Path(chosen.work) / "compiled")
    log = pod.first_then_others(
        "log",
        lambda: ranking_log(
            load_kuairand(chosen.data_dir or None),
            most_rows=3_000 if chosen.quick else 0,
        ),
    )
    say = progress(pod, quiet=chosen.quiet)
    study = Study(
        log=log,
        store=Store(Path(chosen.work), say),
        plan=Plan(epochs=1 if chosen.quick else chosen.epochs),
        seeds=range(chosen.seeds),
        resamples=chosen.resamples,
        rates=RATES[:1] if chosen.quick else RATES,
    )
    sizes = Sizes(300, 100, 200) if chosen.quick else Sizes()
    if pod.several:
        first: list[Callable[[], object]] = []
        then: list[Callable[[], object]] = []
        if chosen.study != "mixtures":
            first.append(lambda: simulate(study, sizes))
            then += position_parts(study, sizes)
        if chosen.study != "position":
            first += mixture_rates(study)
            then += mixture_parts(study)
        pod.fill("searches for learning rates", first, lambda part: part())
        pod.fill("models", then, lambda part: part())
    if not pod.writes:
        return
    out = Path(chosen.out)
    out.mkdir(parents=True, exist_ok=True)
    if chosen.study != "position":
        study = dataclasses.replace(study, store=Store(Path(chosen.work), say))
        record = mixture_study(study)
        write_mixtures(record | _head(study, command, pod), out)
    if chosen.study != "mixtures":
        study = dataclasses.replace(study, store=Store(Path(chosen.work), say))
        record = position_study(study, sizes)
        write_position(record | _head(study, command, pod), out)


def _head(study: Any, command: str, pod: Pod) -> dict[str, Any]:
    """What stands over every table."""
    from experiments.collect import hardware

    return {
        "command": command,
        "commit": commit(),
        "hardware": pod.on(hardware()),
        "seconds": round(study.store.seconds, 1),
        "rows_train": len(study.log.train.users),
        "rows_validation": len(study.log.validation.users),
        "rows_test": len(study.log.test.users),
        "rows_late": list(study.log.late),
        "unseen_in_test": study.log.unseen,
        "epochs": study.plan.epochs,
        "resamples": study.resamples,
    }


if __name__ == "__main__":
    end(main)
