"""What a hierarchy and rules are worth: from files to a page, restartable."""

import json
from pathlib import Path

import pytest

from experiments.label_structure import EKMAN, ROWS, main
from tests.tiny import made_documents, write_jsonl


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    data = write_jsonl(tmp_path / "mine.jsonl", made_documents(160, 1))
    taxonomy = tmp_path / "taxonomy.tsv"
    taxonomy.write_text("grain\twheat\tcorn\ntrade\toil\tship\n", encoding="utf-8")
    return [
        *("--corpora", str(data), "--taxonomy", str(taxonomy), "--quick"),
        *("--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")),
    ]


def test_every_row_of_a_hierarchy_is_measured_once(options, tmp_path, capsys):
    more = ["--draws", "2", "--shares", "0.5"]
    assert main([*options, *more]) == 0
    folder = tmp_path / "out"
    name = "label-structure-hierarchy-mine-quick"
    cells = json.loads((folder / f"{name}.json").read_text())["found"]["0.5"]
    assert list(cells) == list(ROWS)
    for row, cell in cells.items():
        assert len(cell["micro"]) == 2
        assert all(0 < value <= 100 for value in cell["micro"])
        assert (row == "flat") or len(cell["gains"]["macro"]) == 3
    page = (folder / f"{name}.md").read_text()
    assert page.count("| 50%: ") == len(ROWS)
    kept = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.json")
    }
    assert main([*options, *more, "--quiet"]) == 0
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


def test_exclusions_are_obeyed_beside_their_controls(options, tmp_path):
    more = ["--least-expected", "3", "--shares", "0.5", "1"]
    assert main([*options, "--part", "rules", *more]) == 0
    name = "label-structure-rules-mine-quick.json"
    rows = json.loads((tmp_path / "out" / name).read_text())["found"]["rows"]
    assert len(rows) == 8 and next(iter(rows)) == "50%: all mined"
    assert all(row["broken_after"] == 0 for row in rows.values())
    assert rows["all mined"]["exclusions"] == rows["random"]["exclusions"]


def test_all_documents_are_one_draw_with_an_interval_over_test_documents(
    options, tmp_path
):
    assert main([*options, "--shares", "1", "--rows", "flat", "consistent"]) == 0
    name = "label-structure-hierarchy-mine-quick.json"
    found = json.loads((tmp_path / "out" / name).read_text())["found"]["1"]
    assert [len(found[row]["macro"]) for row in ("flat", "consistent")] == [1, 1]
    difference, low, high = found["consistent"]["gains"]["micro"]
    assert low <= difference <= high
    assert "labels" not in found["flat"]


@pytest.mark.slow
def test_the_contrast_stands_beside_runs_of_as_much_time(options, tmp_path):
    assert main([*options, "--part", "contrast", "--draws", "1"]) == 0
    name = "label-structure-contrast-mine-quick"
    found = json.loads((tmp_path / "out" / f"{name}.json").read_text())["found"]
    assert list(found["rows"]) == ["without", "with", "without, as long"]
    assert found["rows"]["without, as long"][0]["epochs"] >= 2
    assert (
        "share some labels but not all" in (tmp_path / "out" / f"{name}.md").read_text()
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--rows", "none"], "--rows must be of flat"),
        (["--draws", "0"], "--draws must be at least 1"),
        (["--taxonomy", ""], "no label is above another"),
    ],
)
def test_bad_options_get_one_sentence(options, more, said, capsys):
    assert main([*options, *more]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_the_groups_of_goemotions_are_disjoint():
    every = [child for own in EKMAN.values() for child in own]
    assert len(every) == len(set(every)) == 21
    assert not set(every) & set(EKMAN)
