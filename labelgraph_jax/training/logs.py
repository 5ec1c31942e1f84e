"""What a run tells: `metrics.jsonl`, TensorBoard, and a line or a bar on the screen."""

import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelgraph_jax.data.files import write_text
from labelgraph_jax.training.progress import shown


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
        for line in self.path.read_text("utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue
        write_text(self.path, "".join(kept))

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one line; a number that is not finite is written as null."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        line = {"step": step} | {name: _finite(value) for name, value in values.items()}
        with self.path.open("a", encoding="utf-8") as file:
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
        """Bring TensorBoard's files up to date."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Finish the files."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Display:
    """Training on the screen: a bar on a terminal, a line per epoch elsewhere.

    Args:
      total_steps: where the bar ends.
      step: where it starts.
      enabled: False shows nothing at all.
    """

    def __init__(self, total_steps: int, step: int, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._total = total_steps
        self._bar: Any = None
        self._start = step
        self._mark = time.perf_counter()
        self._documents = 0.0
        self._rate = 0.0

    def __enter__(self) -> "Display":
        self._alone = shown(False)
        self._alone.__enter__()
        if self._enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]}"),
                TextColumn("{task.fields[rate]} documents/s"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(
                "training", total=self._total, completed=self._start, loss="-", rate="-"
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._alone.__exit__(None, None, None)
        if self._bar is not None:
            self._bar.stop()

    def advance(self, step: int, loss: float, documents: float) -> None:
        """One step is done."""
        if self._bar is None:
            return
        self._documents += documents
        elapsed = time.perf_counter() - self._mark
        if elapsed >= 1.0:
            self._rate = self._documents / elapsed
            self._mark, self._documents = time.perf_counter(), 0.0
        rate = f"{self._rate:,.0f}" if self._rate else "-"
        self._bar.update(self._task, completed=step, loss=f"{loss:.4f}", rate=rate)

    def say(self, line: str) -> None:
        """A line above the bar, or by itself."""
        if not self._enabled:
            return
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=sys.stderr, flush=True)
