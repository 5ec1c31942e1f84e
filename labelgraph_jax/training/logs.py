"""Numbers of a run by step: `metrics.jsonl` and TensorBoard."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelgraph_jax.data.files import naming, parse_json, sync, write_text


class MetricsLog:
    """Numbers by step, in `metrics.jsonl` and `tensorboard/` of a work directory.

    `metrics.jsonl` holds one JSON object a line, each with `step`. TensorBoard's writer
    is imported at the first number.

    Args:
        workdir: the work directory; made where it is missing.
        tensorboard: whether to write TensorBoard's files too.
    """

    def __init__(self, workdir: str | Path, *, tensorboard: bool = True) -> None:
        self.workdir = Path(workdir)
        self.path = self.workdir / "metrics.jsonl"
        self._tensorboard = tensorboard
        self._purge_step: int | None = None
        self._writer: Any = None

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def truncate(self, step: int) -> None:
        """Forget every line after `step`, so that a resumed run logs no step twice.

        A half-written last line, left by a killed run, goes too.
        """
        self._purge_step = step + 1
        if not self.path.is_file():
            return
        kept = []
        # After a power cut anything may stand behind what was on the disk.
        for line in self.path.read_text("utf-8", errors="replace").splitlines():
            try:
                if parse_json(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue
        write_text(self.path, "".join(kept))

    def write(self, step: int, values: Mapping[str, object]) -> None:
        """Append one line; a number that is not finite is written as null."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        line = {"step": step} | {name: _finite(value) for name, value in values.items()}
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if not self._tensorboard:
            return
        if self._writer is None:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(
                str(self.workdir / "tensorboard"), purge_step=self._purge_step
            )
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Bring the lines onto the disk, and TensorBoard's files up to date."""
        if self.path.is_file():
            sync(self.path)
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Finish the files."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
