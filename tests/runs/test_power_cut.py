"""A power cut at any moment: what was on the disk is enough to go on."""

import os
import resource
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax.config import Config
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.runs.fit import fit
from labelgraph_jax.training.checkpoint import CheckpointStore, DamagedCheckpointWarning
from tests.tiny import tiny_config
from tests.zoo import Zoo

Names = dict[str, tuple[int, bool]]


class Disk:
    """A folder, and what of it would be left after a power cut.

    A file has the bytes that it had when it was last synced, none if it never was; a
    folder has the names that it had when *it* was. Nothing is credited that this
    process did not ask for: what libraries sync beside it does not count.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.lock, self.open = root, threading.Lock(), list[int]()
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, Names] = {}
        self.moments: list[tuple[dict[int, bytes], dict[int, Names], dict[int, Names]]]
        self.moments = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        whole = os.fsync

        def fsync(number: int) -> None:
            with self.lock:
                self.note(number)
            whole(number)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            yield
        for number in self.open:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def note(self, number: int) -> None:
        path = Path(f"/proc/self/fd/{number}").readlink()
        if not path.is_relative_to(self.root):
            return
        # The power may go just before.
        self.moments.append((dict(self.files), dict(self.folders), self.live()))
        inode = os.fstat(number).st_ino
        if path.is_dir():
            self.folders[inode] = names_in(path)
        else:
            self.files[inode] = path.read_bytes()
            self.open.append(os.dup(number))  # so that no other file gets its number

    def live(self) -> dict[int, Names]:
        found = {}
        # Another thread renames folders meanwhile, which os.walk passes over and
        # Path.rglob does not.
        for name, _, _ in os.walk(self.root):
            try:
                found[Path(name).stat().st_ino] = names_in(Path(name))
            except OSError:
                continue
        return found

    def image(self, moment: int, target: Path, *, names_first: bool) -> None:
        """What is left of a moment, in a folder.

        Args:
            moment: which of them.
            target: absent so far.
            names_first: all names had reached the disk, before what they name.
        """
        files, folders, live = self.moments[moment]
        chosen = live if names_first else folders

        def write(inode: int, folder: Path) -> None:
            folder.mkdir()
            for name, (inner, is_folder) in chosen.get(inode, {}).items():
                if is_folder:
                    write(inner, folder / name)
                else:
                    (folder / name).write_bytes(files.get(inner, b""))

        write(self.root.stat().st_ino, target)


def names_in(folder: Path) -> Names:
    return {e.name: (e.inode(), e.is_dir()) for e in os.scandir(folder)}


def settings(zoo: Zoo) -> Config:
    return tiny_config(zoo.data, training={"epochs": 4, "batch_size": 8})


def trained(config: Config, folder: Path) -> tuple[dict[str, Any], Any]:
    results = fit(config, folder, progress=False, run=RunConfig(checkpoint_every=2))
    with CheckpointStore(folder / "checkpoints") as store:
        params = store.restore_params("best")
    return results["test"]["metrics"], params


@pytest.mark.parametrize("cuts", [3, pytest.param(15, marks=pytest.mark.slow)])
def test_a_run_goes_on_from_what_a_power_cut_leaves(
    zoo: Zoo, tmp_path: Path, cuts: int
) -> None:
    config = settings(zoo)
    root = tmp_path / "disk"
    root.mkdir()
    disk = Disk(root)
    with disk.watched():
        metrics, params = trained(config, root / "run")
    chosen = np.linspace(0, len(disk.moments) - 1, cuts + 2).astype(int)[1:-1]
    with_checkpoints = 0
    for moment in chosen:
        for names_first in (False, True):
            image = tmp_path / f"{moment}-{names_first}"
            disk.image(moment, image, names_first=names_first)
            with_checkpoints += any(image.glob("run/checkpoints/*/checksums.json"))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DamagedCheckpointWarning)
                again, found = trained(config, image / "run")
            assert again == metrics, image
            for name, leaf in found.items():
                assert str(leaf) == str(params[name]), image
    assert with_checkpoints > cuts // 2


def test_a_half_written_first_checkpoint_is_none(zoo: Zoo, tmp_path: Path) -> None:
    config = settings(zoo)
    metrics, _ = trained(config, tmp_path / "whole")
    fit(config, tmp_path / "run", progress=False)
    for name in ("results.json", "manifest.json", "checkpoints/best.json"):
        (tmp_path / "run" / name).unlink()
    for path in (tmp_path / "run" / "checkpoints").rglob("*"):
        if path.name == "checksums.json":
            path.unlink()
        elif path.is_file():
            path.write_bytes(b"")
    assert trained(config, tmp_path / "run")[0] == metrics
