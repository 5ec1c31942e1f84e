"""Finished parts of a study, kept in a folder: a study that was stopped goes on."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.pod import whole

FORMAT = 1
"""Raise it where the same identity would give other numbers."""

Part = dict[str, np.ndarray]


class Store:
    """Arrays by the identity of what made them.

    Args:
        folder: where they are kept.
        say: told what is computed.

    Attributes:
        seconds: that all parts asked for took to compute, now or earlier.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        self.seconds = 0.0

    def part(
        self, title: str, identity: Mapping[str, Any], compute: Callable[[], Part]
    ) -> Part:
        """What `compute` gives, from the folder if it was computed before.

        Seconds of the computation are kept beside it as `wall_seconds`.
        """
        text = json.dumps({"format": FORMAT, **identity}, sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:24]
        path = self.folder / f"{key}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as arrays:
                part = {name: arrays[name] for name in arrays.files}
            self.seconds += float(part["wall_seconds"])
            return part
        started = time.perf_counter()
        part = dict(compute())
        part["wall_seconds"] = np.float64(time.perf_counter() - started)
        self.seconds += float(part["wall_seconds"])
        self.say(f"{title}: {part['wall_seconds']:.0f} s")
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole(path) as unfinished, unfinished.open("wb") as stream:
            np.savez(stream, **part)
        return part
