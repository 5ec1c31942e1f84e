"""Work directories that version 0.6.0 wrote: which, how they are unpacked and asked."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

from tests.golden import cases

VERSION = "0.6.0"
HOME = "/tmp/labelgraph-0.6.0"
"""Where the runs were made: what their configurations name data files by."""
ARCHIVE = "legacy.tar.xz"
CASES = (
    "bag of n-grams",
    "cnn",
    "frozen encoder",
    "fine-tuned encoder",
    "label chunks",
    "memory of documents",
    "memory of an encoder",
    "ensemble",
    "label sets with a mixture",
    "taxonomy",
    "table",
)
RESUMED = "bag of n-grams"


def is_left_out(file: Path) -> bool:
    """Curves, reports and locks, which no later command reads.

    And the optimizer's state of the runs that no test goes on with, which takes most of
    the room.
    """
    resumed = file.is_relative_to(cases.place(RESUMED))
    return (
        "tensorboard" in file.parts
        or "report" in file.parts
        or file.name in ("report.html", ".lock")
        or ("opt_state" in file.parts and not resumed)
    )


def unpack(folder: Path, names: tuple[str, ...] = CASES) -> None:
    """Unpacks data and runs; their configurations then name the data in `folder`.

    All else stays as 0.6.0 wrote it, checkpoints with their checksums above all.
    """
    tops = ("data", *(cases.place(name).as_posix() for name in names))
    with tarfile.open(Path(__file__).with_name(ARCHIVE)) as archive:
        members = [
            member
            for member in archive
            if any(member.name.startswith(f"{top}/") for top in tops)
        ]
        # Python 3.11.3 and before know no filter; the archive is our own.
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, members, filter="data")
        else:
            archive.extractall(folder, members)
    for path in folder.rglob("config.json"):
        text = path.read_text(encoding="utf-8")
        # A checkpoint's own configuration is under its checksum.
        if HOME in text and "checkpoints" not in path.parts:
            path.write_text(text.replace(HOME, str(folder)), encoding="utf-8")


def legacy_numbers(name: str) -> dict[str, Any]:
    """What `evaluate` and `predict` say of a run in the current directory."""
    workdir = cases.place(name)
    return {
        "evaluation": cases.evaluation(workdir),
        "predictions": cases.predictions(name, workdir),
    }


def forget_the_end(workdir: Path) -> None:
    """Makes of a finished run one that was killed after its first epoch."""
    checkpoints = workdir / "checkpoints"
    first, last = sorted(
        (path for path in checkpoints.iterdir() if path.name.isdecimal()),
        key=lambda path: int(path.name),
    )
    shutil.rmtree(last)
    best = cases.read_json(first / "step" / "data.json")["best"]
    (checkpoints / "best.json").write_text(json.dumps(best), encoding="utf-8")
    for name in ("results.json", "thresholds.json", "test_predictions.npz"):
        (workdir / name).unlink()
