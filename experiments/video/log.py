"""KuaiRand's log as arrays: what a ranker reads, what it learns, whose rows."""

import dataclasses
import hashlib
from typing import NamedTuple

import numpy as np

from experiments.video.kuairand import (
    CANDIDATE_COLUMNS,
    CATEGORICAL_COLUMNS,
    INPUT_COLUMNS,
    TASKS,
    KuaiRand,
    inputs_of,
    targets_of,
)
from labelgraph_jax.data.tables.files import Table
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.functional.losses.tasks import Task

FEWEST_ROWS = 3
"""Values in fewer training rows share their column's bucket for the unseen."""

RANKING_TASKS = tuple(Task(task.name, task.kind) for task in TASKS)
GROUPS = {
    group: tuple(task.name for task in TASKS if task.group == group)
    for group in ("engagement", "satisfaction")
}
WATCH = [task.name for task in TASKS].index("watch_time")
TABS = ("tab 1", "tab 0", "other tabs")
"""Pages of the app, as groups of the shallow tower; the log names no device."""


class Rows(NamedTuple):
    """Some rows of the log.

    Attributes:
        categories: int32 `[M, C]`.
        numbers: float32 `[M, Q]`.
        targets, target_mask: `[M, T]`; watch time in standard deviations.
        users, videos: whose they are `[M]`.
        tabs: index into `TABS` `[M]`.
    """

    categories: np.ndarray
    numbers: np.ndarray
    targets: np.ndarray
    target_mask: np.ndarray
    users: np.ndarray
    videos: np.ndarray
    tabs: np.ndarray

    def select(self, rows: np.ndarray) -> "Rows":
        """Some of the rows."""
        return Rows(*(array[rows] for array in self))


@dataclasses.dataclass(frozen=True)
class RankingLog:
    """The log in three parts, one after the other in time.

    Attributes:
        train, validation, test: the parts.
        cardinalities: of the categorical columns.
        candidate_categories, candidate_numbers: which columns describe the video.
        watch_mean, watch_scale: of log(1 + seconds), over training rows.
        unseen: share of test rows whose value is in the bucket for the unseen.
        late: rows left out because a later part had begun.
    """

    train: Rows
    validation: Rows
    test: Rows
    cardinalities: tuple[int, ...]
    candidate_categories: np.ndarray
    candidate_numbers: np.ndarray
    watch_mean: float
    watch_scale: float
    unseen: dict[str, float]
    late: tuple[int, int]

    def fingerprint(self) -> str:
        """Changes with anything that a model reads or learns."""
        whole = hashlib.sha256()
        for part in (self.train, self.validation, self.test):
            for array in part:
                whole.update(np.ascontiguousarray(array).tobytes())
        return whole.hexdigest()[:16]


def ranking_log(log: KuaiRand, *, most_rows: int = 0) -> RankingLog:
    """Encodes the log; the schema and all scales come from training rows alone.

    Args:
        log: from `load_kuairand`.
        most_rows: take the first rows of each part only; all when 0.
    """
    parts = [log.train, log.validation, log.test]
    if most_rows:
        parts = [part.select(slice(most_rows)) for part in parts]
    schema = TableSchema.infer(
        inputs_of(parts[0]),
        categorical=CATEGORICAL_COLUMNS,
        numeric=[n for n in INPUT_COLUMNS if n not in CATEGORICAL_COLUMNS],
        min_count=FEWEST_ROWS,
    )
    watched = parts[0].column("watch_time")
    mean, scale = float(np.nanmean(watched)), float(np.nanstd(watched))
    train, validation, test = (_rows(part, schema, mean, scale) for part in parts)
    unseen = schema.encode(inputs_of(parts[2])).unseen
    names = [c.name for c in schema.numeric]
    names += [c.name for c in schema.numeric if c.missing]
    of_video = {*CANDIDATE_COLUMNS, "video_age"}
    return RankingLog(
        train=train,
        validation=validation,
        test=test,
        cardinalities=schema.cardinalities,
        candidate_categories=np.array([c.name in of_video for c in schema.categorical]),
        candidate_numbers=np.array([name in of_video for name in names]),
        watch_mean=mean,
        watch_scale=scale,
        unseen={n: sum(c.values()) / len(parts[2]) for n, c in unseen.items()},
        late=log.late,
    )


def _rows(part: Table, schema: TableSchema, mean: float, scale: float) -> Rows:
    encoded = schema.encode(inputs_of(part))
    targets, mask = targets_of(part)
    targets[:, WATCH] = np.where(
        mask[:, WATCH], (targets[:, WATCH] - mean) / scale, 0.0
    )
    tab = part.column("tab")
    return Rows(
        categories=encoded.categories,
        numbers=encoded.numbers,
        targets=targets,
        target_mask=mask,
        users=part.column("user_id").astype(np.int64),
        videos=part.column("video_id").astype(np.int64),
        tabs=np.select([tab == 1, tab == 0], [0, 1], 2).astype(np.int32),
    )
