"""KuaiRand-Pure: what users of a video app did with the videos they were shown.

A log, not labelled texts: it comes as tables of inputs and targets, not as a `Corpus`.
Part of the standard log, 25 April to 8 May 2022.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from labelgraph_jax.data.corpora.sources import Layout, Source, files_in, find_folder
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.files import cache_folder
from labelgraph_jax.data.readers.fields import shown
from labelgraph_jax.data.tables.files import Table, read_table

FIRST_DATE, FIRST_TEST_DATE = 20220425, 20220501

_USERS, _VIDEOS = "user_features_pure.csv", "video_features_basic_pure.csv"
SOURCE = Source(
    name="kuairand_pure_part",
    home="https://zenodo.org/records/10439422",
    protocols=("time",),
    layouts=(
        Layout(("log_val.csv", "log_test.csv", _USERS, _VIDEOS)),
        Layout(("log_standard_4_22_to_5_08_pure.csv", _USERS, _VIDEOS)),
    ),
    sizes={"time": (73_580, 21_204, 133_545)},
)


class LoggedTask(NamedTuple):
    """What a user may do with a video, as a target.

    Attributes:
        name: its column in the tables.
        kind: `binary`, or `squared` (a real value).
        group: `engagement` or `satisfaction`, the two kinds of aim of RecSys 2019.
    """

    name: str
    kind: Literal["binary", "squared"]
    group: Literal["engagement", "satisfaction"]


TASKS = (
    LoggedTask("click", "binary", "engagement"),
    LoggedTask("long_view", "binary", "engagement"),
    LoggedTask("watch_time", "squared", "engagement"),
    LoggedTask("like", "binary", "satisfaction"),
    LoggedTask("follow", "binary", "satisfaction"),
    LoggedTask("comment", "binary", "satisfaction"),
    LoggedTask("forward", "binary", "satisfaction"),
    LoggedTask("profile_visit", "binary", "satisfaction"),
)
_FLAGS = {
    "click": "is_click",
    "long_view": "long_view",
    "like": "is_like",
    "follow": "is_follow",
    "comment": "is_comment",
    "forward": "is_forward",
    "profile_visit": "is_profile_enter",
}

_CODES = tuple(f"onehot_feat{n}" for n in range(1, 12))
_SWITCHES = tuple(f"onehot_feat{n}" for n in (0, *range(12, 18)))
_COUNTS = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
_RANGES = tuple(f"{name}_range" for name in _COUNTS)
_YES_NO = ("is_live_streamer", "is_video_author")

QUERY_COLUMNS = (
    *("user_id", "user_active_degree", *_RANGES, *_CODES),
    *(*_COUNTS, *_YES_NO, *_SWITCHES),
)
"""What is known of the user."""
CANDIDATE_COLUMNS = (
    *("video_id", "author_id", "video_type", "upload_type", "music_type", "tag"),
    *("duration", "aspect"),
)
"""What is known of the video."""
CONTEXT_COLUMNS = ("hour", "tab", "video_age")
"""What is known of the moment: hour of the day, page of the app, age of the video."""
CATEGORICAL_COLUMNS = (
    *("user_id", "user_active_degree", *_RANGES, *_CODES),
    *("video_id", "author_id", "video_type", "upload_type", "music_type", "tag"),
    *("hour", "tab"),
)
"""Those of the above that are names, not amounts."""
INPUT_COLUMNS = (*QUERY_COLUMNS, *CANDIDATE_COLUMNS, *CONTEXT_COLUMNS)


@dataclasses.dataclass(frozen=True)
class KuaiRand:
    """The log in three parts, one after the other in time.

    Attributes:
        train, validation, test: tables of `INPUT_COLUMNS`, one column per task of
            `TASKS` (NaN where not annotated) and `date` and `time_ms`; a row is a video
            that was shown to a user.
        users: the query columns of every user of the app, in the order of `user_id`.
        videos: the candidate columns of every video, in the order of `video_id`.
        late: rows left out of train and of validation because a later part had begun.
    """

    train: Table
    validation: Table
    test: Table
    users: Table
    videos: Table
    late: tuple[int, int]


def load_kuairand(
    data_dir: str | Path | None = None, *, validation_days: int = 1
) -> KuaiRand:
    """Reads the log and joins the features of users and videos to it.

    The test part begins on 1 May 2022; validation is the last `validation_days` days
    before it. Days are the log's own `date`. Around midnight its days overlap by the
    clock for up to an hour: rows of a part that are not earlier than the first row of
    the next part are left out, so that nothing is predicted from its future.

    Columns are those of the files, but for: amounts (numbers of follows, fans and
    friends, days since registration) as log(1 + n); `duration` as log(1 + seconds), of
    the log, 0 seconds being missing; `aspect` as log(width / height); `video_age` in
    days since upload; `is_live_streamer` as 0 or 1. Left out: music_id (a value of its
    own for nearly every video) and what has one value only.

    `watch_time` is log(1 + seconds played), and missing where nothing was played:
    feeds that play by themselves count every impression, lists of covers only what was
    opened. The other tasks are 0 or 1 and annotated everywhere.

    Args:
        data_dir: a folder that holds a folder `kuairand_pure_part` with the four
            files; without it the folder that the variable LABELGRAPH_DATA names. The
            published log, of 22 April to 8 May, does as well: rows before 25 April
            are left out.
        validation_days: how many of the six training days become validation, 1 to 5.

    Raises:
        DataError: the files are nowhere, damaged, or not those of the log.

    Reference: Gao et al., KuaiRand, CIKM 2022. CC BY-SA 4.0.
    """
    if not 1 <= validation_days <= 5:
        raise DataError(
            "validation_days must lie in 1 .. 5: six days stand before the test part; "
            f"got {validation_days}"
        )
    downloads = cache_folder() / "downloads"
    folder = find_folder(SOURCE, "time", data_dir=data_dir, downloads_dir=downloads)
    files = files_in(SOURCE, "time", folder) or {}
    users, videos = _users(read_table(files[_USERS])), read_table(files[_VIDEOS])
    logs = [read_table(p) for name, p in files.items() if name.startswith("log_")]
    log = _in_time(logs)
    rows = _rows(log, users, videos)

    dates = np.unique(rows["date"])
    before = dates[dates < FIRST_TEST_DATE]
    if len(before) <= validation_days or not (dates >= FIRST_TEST_DATE).any():
        raise DataError(
            f"{log.name}: must hold rows of more than {validation_days} days before "
            f"{FIRST_TEST_DATE} and of later ones; got the dates "
            f"{dates.astype(int).tolist()}"
        )
    first_validation = before[-validation_days]
    part = np.digitize(rows["date"], [first_validation, FIRST_TEST_DATE])
    starts = [rows["time_ms"][part == p].min() for p in (1, 2)]
    in_time = [(part == p) & (rows["time_ms"] < starts[p]) for p in (0, 1)]
    table = Table(log.name, rows)
    return KuaiRand(
        train=table.select(in_time[0]),
        validation=table.select(in_time[1]),
        test=table.select(part == 2),
        users=users,
        videos=_video_features(videos),
        late=(
            int((part == 0).sum() - in_time[0].sum()),
            int((part == 1).sum() - in_time[1].sum()),
        ),
    )


def inputs_of(table: Table) -> Table:
    """The columns that may be read to predict, without targets and times."""
    columns = {name: table.column(name) for name in INPUT_COLUMNS}
    return Table(table.name, columns, table.lines)


def targets_of(
    table: Table, tasks: Sequence[LoggedTask] = TASKS
) -> tuple[np.ndarray, np.ndarray]:
    """Targets float32 `[M, T]`, 0 where missing, and whether they are annotated."""
    values = np.stack([table.column(task.name) for task in tasks], axis=1)
    mask = ~np.isnan(values)
    return np.where(mask, values, 0.0).astype(np.float32), mask


def _in_time(logs: Sequence[Table]) -> Table:
    """The logs as one, rows of the time span alone, by time."""
    names = (
        *("user_id", "video_id", "date", "hourmin", "time_ms", "tab"),
        *("play_time_ms", "duration_ms", *_FLAGS.values()),
    )
    for log in logs:
        for name in names:
            _check_numbers(log, name, flags=name in _FLAGS.values())
    columns = {n: np.concatenate([log.column(n) for log in logs]) for n in names}
    order = np.argsort(columns["time_ms"], kind="stable")
    order = order[columns["date"][order] >= FIRST_DATE]
    where = ", ".join(log.name for log in logs)
    return Table(where, {name: values[order] for name, values in columns.items()})


def _check_numbers(table: Table, name: str, *, flags: bool = False) -> None:
    values = table.column(name)
    wrong = np.ones(len(values), bool)
    if values.dtype != object:
        wrong = ~np.isin(values, (0, 1)) if flags else ~(values >= 0)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        wanted = "0 or 1" if flags else "a number from 0 on"
        raise DataError(
            f"{table.where(row)}: {name} must be {wanted}; got {shown(values[row])}"
        )


def _rows(log: Table, users: Table, videos: Table) -> dict[str, np.ndarray]:
    """Inputs and targets of every row of the log."""
    columns = log.columns
    features = _video_features(videos).columns
    of_user = _places(users, "user_id", columns["user_id"])
    of_video = _places(videos, "video_id", columns["video_id"])
    rows = {name: _joined(users.columns[name], of_user) for name in QUERY_COLUMNS}
    rows |= {name: _joined(features[name], of_video) for name in CANDIDATE_COLUMNS}
    # An id is known also where the features of its user or video are not.
    rows |= {name: columns[name] for name in ("user_id", "video_id", "tab", "date")}
    rows["duration"] = _log_seconds(columns["duration_ms"])
    rows["hour"] = columns["hourmin"] // 100
    uploaded = _joined(_days(videos, "upload_dt"), of_video)
    rows["video_age"] = columns["time_ms"] / 86_400_000 - uploaded
    rows["time_ms"] = columns["time_ms"]
    rows |= {name: columns[flag] for name, flag in _FLAGS.items()}
    rows["watch_time"] = _log_seconds(columns["play_time_ms"])
    order = (*INPUT_COLUMNS, *(t.name for t in TASKS), "date", "time_ms")
    return {name: rows[name] for name in order}


def _users(table: Table) -> Table:
    for name in _COUNTS:
        _check_numbers(table, name)
    columns: Mapping[str, np.ndarray] = {
        **{name: table.column(name) for name in QUERY_COLUMNS},
        **{name: np.log1p(table.column(name)) for name in _COUNTS},
        # The file says -124 where a user is no streamer.
        **{name: (table.column(name) == 1).astype(float) for name in _YES_NO},
    }
    return Table(table.name, columns, table.lines)


def _video_features(table: Table) -> Table:
    for name in ("server_width", "server_height"):
        _check_numbers(table, name)
    width, height = table.column("server_width"), table.column("server_height")
    with np.errstate(divide="ignore", invalid="ignore"):
        aspect = np.log(width / height)
    made = {
        "aspect": np.where(np.isfinite(aspect), aspect, np.nan),
        "duration": _log_seconds(table.column("video_duration")),
    }
    columns = {
        name: made[name] if name in made else table.column(name)
        for name in CANDIDATE_COLUMNS
    }
    return Table(table.name, columns, table.lines)


def _log_seconds(milliseconds: np.ndarray) -> np.ndarray:
    """log(1 + seconds); missing where there are none."""
    return np.where(milliseconds > 0, np.log1p(milliseconds / 1000), np.nan)


def _days(table: Table, name: str) -> np.ndarray:
    """Dates as days since 1970."""
    values = table.column(name)
    try:
        days = np.array([np.nan if v is None else _day(v) for v in values])
    except ValueError:
        raise DataError(
            f"{table.name}: {name} must hold dates as 2022-04-10; "
            f"got {shown(values[0])}"
        ) from None
    return days


def _day(value: object) -> float:
    return float(np.datetime64(str(value), "D").astype(np.int64))


def _places(table: Table, name: str, wanted: np.ndarray) -> np.ndarray:
    """The row of each id in a table of distinct ids, -1 where it is not there."""
    _check_numbers(table, name)
    ids = table.column(name)
    order = np.argsort(ids, kind="stable")
    if (np.diff(ids[order]) == 0).any():
        raise DataError(f"{table.name}: {name} must differ from row to row")
    at = np.minimum(np.searchsorted(ids[order], wanted), len(ids) - 1)
    return np.where(ids[order][at] == wanted, order[at], -1)


def _joined(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`values[rows]`, missing where the row is -1."""
    joined = values[np.maximum(rows, 0)].copy()
    joined[rows < 0] = None if values.dtype == object else np.nan
    return joined
