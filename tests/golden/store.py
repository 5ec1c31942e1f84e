"""Writes what the golden tests compare with: `python -m tests.golden.store`.

The work directories of `legacy.tar.xz` come from version 0.6.0, and what is stored of
them holds later versions to 0.6.0. The numbers of new runs are those of 0.6.0 but for
what CHANGELOG names, so:

    python -m tests.golden.store            rewrites numbers.json; only where a change
                                            of numbers is meant, and said in CHANGELOG
    python -m tests.golden.store --legacy   also rewrites legacy.tar.xz and legacy.json;
                                            refused unless the package is 0.6.0

Both take minutes, from the root of a checkout. The runs are made in `HOME`, a place
that is nobody's, since a work directory names its files by absolute paths.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import tarfile
from pathlib import Path

import labelgraph_jax as lg
from tests.golden import cases, legacy
from tests.xla import flags

STORED = Path(__file__).parent


def main() -> None:
    # As the tests compile: other programs round otherwise.
    os.environ["XLA_FLAGS"] = flags(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--legacy", action="store_true")
    with_legacy = parser.parse_args().legacy
    if with_legacy and lg.__version__ != legacy.VERSION:
        raise SystemExit(f"legacy runs are of {legacy.VERSION}, not {lg.__version__}")
    home = Path(legacy.HOME)
    home.mkdir()  # must be absent
    before = Path.cwd()
    try:
        os.chdir(home)
        os.environ["XDG_CACHE_HOME"] = str(home / "cache")
        cases.write_inputs(home)
        numbers = {n: cases.golden_numbers(n, cases.train(n)) for n in cases.CASES}
        cases.write_numbers(STORED / "numbers.json", numbers)
        if with_legacy:
            write_archive(STORED / legacy.ARCHIVE)
            found = {name: legacy.legacy_numbers(name) for name in legacy.CASES}
            cases.write_numbers(STORED / "legacy.json", found)
    finally:
        os.chdir(before)
        shutil.rmtree(home)


def write_archive(path: Path) -> None:
    """The work directories as they are, and the files that their test splits need."""
    names = [cases.place(name) for name in legacy.CASES]
    with tarfile.open(path, "w:xz", preset=9) as archive:
        for top in (Path("data"), *names):
            for file in sorted(top.rglob("*")):
                if file.is_file() and not legacy.is_left_out(file):
                    content = file.read_bytes()
                    entry = tarfile.TarInfo(file.as_posix())
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    main()
