"""Rows of the table of streams, on a small one."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import streams, streams_corpora
from experiments.streams import ROWS, Tally, blocks, main
from experiments.streams_corpora import Stream
from tests.experiments.test_kuairand import Write, write  # noqa: F401
from tests.experiments.test_kuairand import row as logged


def small() -> Stream:
    """Two periods of 40 documents; the second brings a label."""
    rng = np.random.default_rng(0)
    periods = np.repeat([1, 2], 40)
    labels = [np.array([n % 3] if n < 50 else [n % 4]) for n in range(80)]
    vectors = rng.normal(size=(80, streams.DIMENSIONS)).astype(np.float32) * 0.05
    for row, own in enumerate(labels):
        vectors[row, own] += 1
    return Stream(vectors, labels, periods, 16, ("a", "b", "c", "d"))


def keep(stream: Stream, folder: Path) -> None:
    np.savez(
        folder / "stream-reuters21578.npz",
        vectors=stream.vectors,
        labels=np.concatenate(stream.labels),
        counts=[len(own) for own in stream.labels],
        periods=stream.periods,
        first=stream.first,
        names=np.array(stream.names),
    )


@pytest.mark.slow
def test_every_row_is_measured_and_kept(tmp_path: Path, capsys) -> None:
    keep(small(), tmp_path)
    options = ["--corpora", "reuters21578", "--out", str(tmp_path)]
    options += ["--work", str(tmp_path)]
    assert main(options) == 0
    rows = json.loads((tmp_path / "streams-reuters21578.json").read_text())["rows"]
    assert tuple(rows) == tuple(ROWS)
    assert rows["online"]["micro"] > rows["frozen"]["micro"] >= 0
    assert rows["memory 1 MiB"]["compilations"] == 1
    page = (tmp_path / "streams-reuters21578.md").read_text()
    assert "| memory 16 MiB, distillation |" in page
    capsys.readouterr()
    assert main(options) == 0
    assert "memory" not in capsys.readouterr().err  # read again, not computed


def test_blocks_do_not_cross_periods_and_come_after_the_first() -> None:
    assert list(blocks(small())) == [range(16, 40), range(40, 80)]


def test_a_tally_tells_new_labels_from_missed_ones() -> None:
    stream = small()
    tally = Tally(stream)
    for rows in blocks(stream):
        tally.add(rows, [stream.labels[row][stream.labels[row] < 3] for row in rows])
    missed, unborn = tally.total[2:, 3]
    assert missed == unborn > 0
    found = tally.results(lambda rows: [stream.labels[row] for row in rows])
    assert found["known_micro"] == 1.0 > found["micro"]
    assert found["backward_transfer"] > 0


@pytest.mark.parametrize(
    "options, said",
    [
        (
            ["--corpora", "moon"],
            "--corpora must be of reuters21578, eurlex57k, kuairand, got moon",
        ),
        (["--rows", "none"], "--rows must be of frozen, online, "),
    ],
)
def test_a_bad_option_is_one_sentence(tmp_path, capsys, options, said) -> None:
    assert main([*options, "--out", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_stories_are_in_the_order_of_their_seconds(tmp_path: Path) -> None:
    import io
    import tarfile

    def story(number: int, date: str) -> str:
        return (
            f'<REUTERS TOPICS="YES" LEWISSPLIT="TRAIN" NEWID="{number}"><DATE>{date}'
            "</DATE><TOPICS><D>corn</D></TOPICS><TEXT><TITLE>maize</TITLE></TEXT>"
            "</REUTERS>\n"
        )

    text = story(1, "26-FEB-1987 15:01:02.79") + story(2, "26-FEB-1987 15:01:01.20")
    text += story(3, "no date at all")
    folder = tmp_path / "reuters21578"
    folder.mkdir()
    with tarfile.open(folder / "reuters21578_sgml.tar.xz", "w:xz") as archive:
        entry = tarfile.TarInfo("reut2-000.sgm")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text.encode()))
    found = streams_corpora._reuters(str(tmp_path))
    assert [d.id for _, d in sorted(found, key=lambda pair: pair[0])] == ["2", "3", "1"]


def test_what_users_did_comes_by_day_and_no_later_amount_is_known(
    write: Write,  # noqa: F811
    tmp_path: Path,
) -> None:
    before = [logged(day, is_click=1) for day in range(6)]
    after = [logged(6, is_like=1, long_view=1), logged(7, play_time_ms=9_000)]
    data = write(before=before, after=after)
    found = streams_corpora.stream_of(
        "kuairand", tmp_path / "kept", data_dir=str(data), say=lambda line: None
    )
    named = [[found.names[n] for n in own] for own in found.labels]
    assert named == [["click"]] * 6 + [["long_view", "like"], []]
    assert np.diff(found.periods).tolist() == [1] * 7
    assert found.first == 1
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=1e-5)
    # The video gets older, and is as old as none of the first fifth was.
    ages = found.vectors[:, 15]
    assert ages[0] == 0 and (np.diff(ages) > 0).all()
    alone = write(before=before, after=after[:1])
    other, _, _ = streams_corpora._watched("kuairand", str(alone))
    np.testing.assert_array_equal(other, found.vectors[:7])
