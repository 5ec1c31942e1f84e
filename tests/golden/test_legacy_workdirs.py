"""Work directories that version 0.6.0 wrote are read, and give the numbers they gave.

`legacy.tar.xz` holds them as they were written, `legacy.json` what 0.6.0's `evaluate`
and `predict` said of them; `store` made both.
"""

import lzma
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.golden import cases, legacy

FOLDER = Path(__file__).parent
NUMBERS: dict[str, Any] = cases.read_json(FOLDER / "legacy.json")
PLACE = re.compile(rb"/(?:work|root|home)/")


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("name", legacy.CASES)
def test_a_run_of_version_0_6_0_is_evaluated_and_predicts_as_it_did(
    name: str, inside: Path
) -> None:
    legacy.unpack(inside, (name,))
    found = legacy.legacy_numbers(name)
    told = cases.differences(NUMBERS[name], found, cases.TOLERANCE)
    assert not told, "\n".join(told[:20])


def test_a_run_that_version_0_6_0_began_goes_on_to_the_same_end(inside: Path) -> None:
    legacy.unpack(inside, (legacy.RESUMED,))
    workdir = cases.place(legacy.RESUMED)
    legacy.forget_the_end(workdir)
    cases.write_small(Path("data"))
    assert cases.train(legacy.RESUMED) == workdir
    assert (workdir / "checkpoints" / "6").is_dir()
    found = legacy.legacy_numbers(legacy.RESUMED)
    told = cases.differences(NUMBERS[legacy.RESUMED], found, cases.TOLERANCE)
    # Thresholds are fitted otherwise since; the network must be the same.
    decided = re.compile(
        r"\.(evaluation\.test\.(decision|metrics\b)|predictions.+\[1\])"
    )
    told = [line for line in told if not decided.match(line)]
    assert not told, "\n".join(told[:20])


def test_unpacking_changes_nothing_but_where_the_data_lies(inside: Path) -> None:
    legacy.unpack(inside)
    for name in legacy.CASES:
        text = (cases.place(name) / "config.json").read_text(encoding="utf-8")
        assert legacy.HOME not in text
        assert str(inside) in text
    assert not any(path.is_symlink() for path in inside.rglob("*"))
    assert {path.name for path in inside.iterdir()} == {"data", "runs"}


def test_the_archive_is_small_and_names_no_place_where_it_was_made(
    inside: Path,
) -> None:
    stored = FOLDER / legacy.ARCHIVE
    assert stored.stat().st_size < 300_000
    assert not PLACE.search(lzma.decompress(stored.read_bytes()))
    legacy.unpack(inside)
    for path in inside.rglob("*.npz"):
        unpacked = path.with_suffix("")
        shutil.unpack_archive(path, unpacked, "zip")
        for part in unpacked.iterdir():
            assert not PLACE.search(part.read_bytes())
