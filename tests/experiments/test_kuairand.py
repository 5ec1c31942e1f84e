"""The log of KuaiRand: joined, in time, and what is wrong with a broken copy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments.video.kuairand import (
    INPUT_COLUMNS,
    TASKS,
    inputs_of,
    load_kuairand,
    targets_of,
)
from labelgraph_jax.data.documents import DataError

DAY = 86_400_000
START = 1_650_816_000_000  # 25 April, as the log counts days
LOG = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,"
    "is_forward,is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,"
    "comment_stay_time,is_profile_enter,is_rand,tab"
)
RANGES = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
USERS = ",".join(
    ["user_id,user_active_degree,is_live_streamer,is_video_author"]
    + [f"{name},{name}_range" for name in RANGES]
    + [f"onehot_feat{n}" for n in range(18)]
)
VIDEOS = (
    "video_id,author_id,video_type,upload_dt,upload_type,visible_status,"
    "video_duration,server_width,server_height,music_id,music_type,tag"
)


def row(day: int, **fields: object) -> str:
    """A row of the log, `day` days after 25 April, at noon."""
    date = 20220425 + day if day < 6 else 20220501 + day - 6
    values = dict.fromkeys(LOG.split(","), 0)
    values |= {"user_id": 1, "video_id": 5, "date": date, "hourmin": 1200, "tab": 1}
    values |= {"time_ms": START + day * DAY + DAY // 2, "duration_ms": 9_000}
    return ",".join(str(v) for v in (values | fields).values())


def user(number: int) -> str:
    counts = [field for n in (0, 3, 20, 99) for field in (n, f"[{n};{n}]")]
    switches = [1.0, *range(1, 12), *["" if number == 2 else 1.0] * 6]
    fields = [number, "full_active", -124 if number == 1 else 1, 1, *counts, *switches]
    return ",".join(str(field) for field in fields)


def video(number: int, date: str = "2022-04-20") -> str:
    return f"{number},7,NORMAL,{date},Web,0.0,8000.0,720.0,1440.0,55,9.0,39"


ROWS = [row(day, user_id=1 + day % 2, video_id=5 + day % 3) for day in range(8)]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a copy of the log; parts are given as lists of rows."""

    def written(**parts: list[str]) -> Path:
        folder = tmp_path / "kuairand_pure_part"
        folder.mkdir(exist_ok=True)
        files = {
            "log_val": [LOG, *parts.get("before", ROWS[:6])],
            "log_test": [LOG, *parts.get("after", ROWS[6:])],
            "user_features_pure": [USERS, *parts.get("users", [user(1), user(2)])],
            "video_features_basic_pure": [
                VIDEOS,
                *parts.get("videos", [video(n) for n in (5, 6, 7)]),
            ],
        }
        for name, lines in files.items():
            (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
        return tmp_path

    return written


def test_the_parts_follow_each_other_in_time(write: Write) -> None:
    log = load_kuairand(write())
    assert [len(p) for p in (log.train, log.validation, log.test)] == [5, 1, 2]
    assert log.late == (0, 0)
    two = load_kuairand(write(), validation_days=2)
    assert two.validation.column("date").tolist() == [20220429, 20220430]
    assert two.train.column("time_ms").max() < two.validation.column("time_ms").min()


def test_rows_that_are_later_than_the_next_part_begins_are_left_out(
    write: Write,
) -> None:
    noon = START + DAY // 2
    late = [row(4, time_ms=noon + 5 * DAY), row(5, time_ms=noon + 7 * DAY)]
    log = load_kuairand(write(before=ROWS[:6] + late))
    assert log.late == (1, 1)
    assert [len(p) for p in (log.train, log.validation, log.test)] == [5, 1, 2]


def test_users_and_videos_are_joined_and_unknown_ones_have_missing_features(
    write: Write,
) -> None:
    log = load_kuairand(write(after=[row(6, user_id=2), row(7, user_id=9, video_id=8)]))
    assert tuple(inputs_of(log.test).columns) == INPUT_COLUMNS
    known, unknown = ({n: log.test.column(n)[i] for n in INPUT_COLUMNS} for i in (0, 1))
    assert known["user_id"] == 2 and known["author_id"] == 7 and known["hour"] == 12
    assert known["is_live_streamer"] == 1 and np.isnan(known["onehot_feat12"])
    np.testing.assert_allclose(known["follow_user_num"], 0)
    np.testing.assert_allclose(known["register_days"], np.log(100))
    np.testing.assert_allclose(known["aspect"], np.log(0.5))
    np.testing.assert_allclose(known["duration"], np.log(10))  # the log's, 9 s
    uploaded = np.datetime64("2022-04-20").astype(int)
    age = (START + 6.5 * DAY) / DAY - uploaded
    np.testing.assert_allclose(known["video_age"], age)
    assert unknown["user_id"] == 9 and unknown["video_id"] == 8
    assert unknown["user_active_degree"] is None and unknown["tag"] is not known["tag"]
    assert np.isnan(unknown["fans_user_num"]) and np.isnan(unknown["author_id"])
    assert log.users.column("is_live_streamer").tolist() == [0, 1]


def test_watch_time_is_missing_where_nothing_was_played(write: Write) -> None:
    after = [row(6, play_time_ms=4_000, is_click=1), row(7, is_forward=1)]
    targets, mask = targets_of(load_kuairand(write(after=after)).test)
    names = [task.name for task in TASKS]
    watch = names.index("watch_time")
    np.testing.assert_allclose(targets[:, watch], [np.log(5), 0], rtol=1e-6)
    assert mask[:, watch].tolist() == [True, False]
    assert np.delete(mask, watch, axis=1).all()
    assert targets[:, names.index("click")].tolist() == [1, 0]
    assert targets[:, names.index("forward")].tolist() == [0, 1]


def test_the_published_log_gives_the_same_rows(write: Write) -> None:
    root = write()
    expected = load_kuairand(root)
    folder = root / "kuairand_pure_part"
    early = row(0, date=20220424, time_ms=START - DAY)
    whole = folder / "log_standard_4_22_to_5_08_pure.csv"
    whole.write_text("\n".join([LOG, *reversed(ROWS), early]) + "\n")
    (folder / "log_val.csv").unlink()
    got = load_kuairand(root)
    for part in ("train", "validation", "test"):
        for name in (*INPUT_COLUMNS, *(task.name for task in TASKS)):
            np.testing.assert_array_equal(
                *(getattr(log, part).column(name) for log in (got, expected))
            )


def test_a_copy_that_is_not_there_is_told_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LABELGRAPH_DATA", raising=False)
    with pytest.raises(DataError, match=r"zenodo\.org/records/10439422"):
        load_kuairand()
    with pytest.raises(DataError, match=r"kuairand_pure_part must hold log_val\.csv"):
        load_kuairand(tmp_path)
    monkeypatch.setenv("LABELGRAPH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="LABELGRAPH_DATA must name a folder"):
        load_kuairand()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"after": [row(6), row(7, is_like=2)]},
            r"log_test.csv:3: is_like must be 0 or",
        ),
        ({"after": [row(6, user_id="x")]}, "log_test.csv:2: user_id must be a number"),
        (
            {"before": [row(1, play_time_ms=-1)]},
            "log_val.csv:2: play_time_ms must be a",
        ),
        ({"after": [row(5)]}, "of more than 1 days before 20220501 and of later ones"),
        ({"before": [row(5)]}, "of more than 1 days before 20220501 and of later ones"),
        ({"users": [user(1), user(1)]}, "user_id must differ from row to row"),
        ({"videos": [video(5, "April")]}, "upload_dt must hold dates as 2022-04-10"),
    ],
)
def test_a_broken_copy_is_refused_with_file_and_line(
    write: Write, parts: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_kuairand(write(**parts))


def test_a_file_without_a_column_is_refused_by_the_column_s_name(write: Write) -> None:
    root = write()
    path = root / "kuairand_pure_part" / "log_val.csv"
    path.write_text(path.read_text().replace("is_comment", "is_other"))
    with pytest.raises(DataError, match=r"log_val.csv: no column 'is_comment'"):
        load_kuairand(root)


@pytest.mark.parametrize("days", [0, 6])
def test_validation_takes_one_to_five_of_the_six_days(write: Write, days: int) -> None:
    with pytest.raises(DataError, match=f"must lie in 1 .. 5.*got {days}"):
        load_kuairand(write(), validation_days=days)
