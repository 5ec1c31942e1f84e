"""Checkpoints: everything a run needs to go on, and parameters alone for the rest.

    checkpoints/<step>/{params,opt_state,step,data,config}   one folder per checkpoint
    checkpoints/<step>/checksums.json                        tells damage from health
    checkpoints/best.json                                    which step is the best one

One with its checksums is complete: they are written when all else is on the disk.
`step`, `data` and `config` are JSON. Nothing that is read can execute. A checkpoint
without `opt_state` and `data` holds parameters alone: it is read, not resumed.
"""

import json
import math
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree
from orbax.checkpoint import v1 as ocp

from labelgraph_jax.data.files import make_folder, sync_tree, write_json
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.training.checkpoint_files import (
    ITEMS,
    JSON_ITEMS,
    Best,
    CheckpointError,
    CheckpointMismatchError,
    DamagedCheckpointWarning,
    Restored,
    decode_json,
    encode_json,
    forget_items,
    has_checksums,
    load_items,
    nested_tree,
    orbax_context,
    read_best,
    remove,
    remove_leftovers,
    require_whole_everywhere,
    unwritten,
    write_checksums,
)
from labelgraph_jax.training.hosts import gather_text, is_first, together


class CheckpointStore:
    """The checkpoints of one run: the last few, and the best by a validation metric.

    A save returns once the arrays are copied; writing goes on behind it, and an error
    in it is raised by the next call. Old checkpoints go only after a new one is whole.

    Args:
        folder: where they are; made at the first save.
        metric: name of the metric that decides the best (higher is better).
        keep_last: how many of the newest are kept besides the best; with two, a damaged
            newest one costs the steps between the two, not the run.
        seconds_between: how long `save` with `if_due` waits after the last save; of a
            better checkpoint in between the parameters are held in memory until then.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        metric: str | None = None,
        keep_last: int = 2,
        seconds_between: float = 0.0,
    ) -> None:
        if keep_last < 1:
            raise ValueError(f"keep_last must be at least 1; got {keep_last}")
        self.folder = Path(folder).absolute()
        self.metric = metric
        self.keep_last = keep_last
        self.seconds_between = seconds_between
        self._saved_at = -math.inf
        self._held: tuple[int, dict[str, PyTree]] | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None
        self._best = read_best(self.folder, self.steps())
        self._context = orbax_context()

    def __enter__(self) -> "CheckpointStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(
            int(entry.name)
            for entry in self.folder.iterdir()
            if entry.is_dir() and entry.name.isdecimal()
        )

    def written(self) -> list[int]:
        """Steps of whole checkpoints, ascending; before 0.6 all, once one is best."""
        steps = self.steps()
        return self._checked() or (steps if self.best_step in steps else [])

    def _checked(self) -> list[int]:
        return [s for s in self.steps() if has_checksums(self.folder / str(s))]

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint; None before the first metric."""
        return None if self._best is None else self._best["step"]

    @property
    def best_metric(self) -> float | None:
        """Metric of the best checkpoint; None before the first metric."""
        return None if self._best is None else self._best["value"]

    def save(
        self,
        step: int,
        params: Params,
        opt_state: optax.OptState,
        data_state: object = None,
        config: Mapping[str, object] | None = None,
        *,
        metric: float | None = None,
        progress: Mapping[str, object] | None = None,
        if_due: bool = False,
    ) -> bool:
        """Save a checkpoint; it becomes the best where `metric` beats the best so far.

        Args:
            step: steps done; also the folder's name.
            params: a tree of arrays.
            opt_state: a tree of arrays.
            data_state: the data position: JSON values, or bytes within them.
            config: a JSON object, for `restore_all` to hand back.
            metric: validation value at this step; None where there was none.
            progress: JSON values that the loop needs to go on.
            if_due: only where `seconds_between` have passed since the last save.
                Several processes, whose clocks differ, save always.

        Returns:
            Whether it was saved.

        Raises:
            OSError: this save, or the writing of the one before it, failed.
        """
        best = self._best
        better = metric is not None and (best is None or metric > best["value"])
        if metric is not None and better and not math.isnan(metric):
            best = {"step": step, "value": float(metric), "metric": self.metric}
        record = {"step": step, "best": best, "progress": dict(progress or {})}
        items = {
            "params": nested_tree(params),
            "opt_state": nested_tree(opt_state),
            "step": record,
            "data": {"state": encode_json(data_state)},
            "config": dict(config or {}),
        }
        waited = time.monotonic() - self._saved_at
        if if_due and waited < self.seconds_between and jax.process_count() == 1:
            if best is not self._best:
                # The next step may take the buffers for its own.
                held = {name: items[name] for name in ("params", "step", "config")}
                held["params"] = jax.tree.map(jnp.copy, held["params"])
                self._held, self._best = (step, held), best
            return False
        if self._held is not None and self._held[0] == step:
            self._held = None  # this save holds more
        self.flush()
        self._write(step, items, best)
        self._saved_at = time.monotonic()
        return True

    def flush(self) -> None:
        """Write the best parameters that are held in memory, if there are any."""
        if self._held is not None:
            (step, items), self._held = self._held, None
            self._write(step, items, items["step"]["best"])

    def _write(self, step: int, items: Mapping[str, PyTree], best: Best | None) -> None:
        """Begin to write a checkpoint, after the one before it."""
        self.wait()
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
            remove_leftovers(self.folder)
            make_folder(self.folder)
        # A tree without a leaf (the state of plain SGD) has no folder.
        items = {n: item for n, item in items.items() if item or n in JSON_ITEMS}
        with self._context:
            response = ocp.save_checkpointables_async(
                self.folder / str(step), items, overwrite=True
            )
        self._best = best

        def finish() -> None:
            try:
                response.result()
            except (ValueError, RuntimeError) as error:
                raise unwritten(self.folder, step, self.steps(), error) from error
            self._finish(step, best)

        self._pending = self._writer.submit(finish)

    def wait(self) -> None:
        """Wait until the last save is on disk; raises what went wrong in it.

        Where several processes save, until process 0 has written what only it writes.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            together(pending.result)

    def close(self) -> None:
        """Wait, and let go of the writing thread."""
        try:
            self.wait()
        finally:
            if self._writer is not None:
                self._writer.shutdown()
                self._writer = None

    def restore_all(
        self,
        step: int | None = None,
        *,
        params: Params,
        opt_state: optax.OptState,
        alone: bool = False,
    ) -> Restored:
        """Restore a whole checkpoint: the newest readable one, or that of `step`.

        A damaged one is passed over with a `DamagedCheckpointWarning`.

        Args:
            step: None for the newest.
            params: a template: arrays, or `jax.ShapeDtypeStruct`s. A leaf goes where
                its template is: to its sharding, or to the host if it has none.
            opt_state: a template likewise.
            alone: where a finished run has kept the best parameters alone, give these;
                the optimizer's state and the data position are then None.

        Raises:
            CheckpointError: there is none, or none can be read.
            CheckpointMismatchError: it is of another model; says both sides.
        """
        self.wait()
        whole = not alone or any(map(self._is_whole, self.steps()))
        items = ITEMS if whole else ("params", "step", "config")
        last = "last" if whole else "best"
        candidates = together(
            lambda: self._candidates(last if step is None else step, whole=whole)
        )
        # One choice for all processes, also where one sees a file later than others.
        candidates = json.loads(gather_text(json.dumps(candidates))[0])
        loaded = self._first_readable(
            candidates,
            {"params": params, "opt_state": opt_state},
            items,
            agreed=True,
        )
        record = loaded["step"]
        self._set_best(record["best"])
        return Restored(
            record["step"],
            loaded["params"],
            loaded["opt_state"] if whole else None,
            decode_json(loaded["data"]["state"]) if whole else None,
            loaded["config"],
            record["progress"],
        )

    def restore_params(
        self, which: int | str = "best", *, template: Params | None = None
    ) -> Params:
        """Restore parameters alone, whatever devices and optimizer they came from.

        Args:
            which: "best", "last" or a step; "best" is the last where no metric decided.
            template: as in `restore_all`; without one, nested dicts of NumPy arrays.

        Raises:
            CheckpointError: there is none, or it cannot be read.
            CheckpointMismatchError: it does not fit the template.
        """
        self.wait()
        candidates = self._candidates(which)
        loaded = self._first_readable(candidates, {"params": template}, ("params",))
        return loaded["params"]

    def step_of(self, which: int | str = "best") -> int:
        """The step of "best", "last" or a step.

        Raises:
            CheckpointError: there is none.
        """
        return self._candidates(which)[0]

    def keep_parameters(self) -> None:
        """Leave nothing but the best checkpoint's parameters: the run has finished.

        Breaking off in the midst of it does no harm; it can be called again.
        """
        self.wait()
        if jax.process_index() != 0 or not self.steps():
            return
        best = self.step_of("best")
        for old in set(self.steps()) - {best}:
            remove(self.folder, str(old))
        forget_items(self.folder / str(best), ("opt_state", "data"))

    def _is_whole(self, step: int) -> bool:
        return (self.folder / str(step) / "data").is_dir()

    def _candidates(self, which: int | str, *, whole: bool = False) -> list[int]:
        steps = self.steps()
        if not steps:
            raise CheckpointError(f"no checkpoint in {self.folder}")
        if whole and not (steps := list(filter(self._is_whole, steps))):
            raise CheckpointError(
                f"the checkpoints in {self.folder} hold parameters alone: training "
                "cannot go on from them"
            )
        if which == "best" and self.best_step is not None:
            which = self.best_step
        if which in ("best", "last"):
            return steps[::-1]
        if which not in steps:
            raise CheckpointError(
                f"no checkpoint of step {which} in {self.folder}; there are {steps}"
            )
        return [int(which)]

    def _first_readable(
        self,
        candidates: list[int],
        templates: Mapping[str, PyTree],
        items: tuple[str, ...],
        *,
        agreed: bool = False,
    ) -> dict[str, PyTree]:
        # Versions before 0.6 wrote none.
        checked = bool(self._checked())
        for candidate in candidates:
            try:
                folder = self.folder / str(candidate)
                if agreed:
                    require_whole_everywhere(folder, items)
                return load_items(
                    folder, templates, items, self._context, checked=agreed or checked
                )
            except CheckpointMismatchError:
                raise
            except CheckpointError as error:
                if candidate == candidates[-1]:
                    raise
                if is_first():
                    warnings.warn(
                        f"{error}; the one before is used",
                        DamagedCheckpointWarning,
                        stacklevel=3,
                    )
        raise AssertionError("there is always a candidate")

    def _set_best(self, best: Best | None) -> None:
        """Go back to the best that a restored checkpoint knew."""
        if best == self._best:
            return
        self._best = best
        if jax.process_index() == 0:
            if best is None:
                (self.folder / "best.json").unlink(missing_ok=True)
            else:
                write_json(self.folder / "best.json", best)

    def _finish(self, step: int, best: Best | None) -> None:
        """Complete a save: write checksums and best step, delete old checkpoints."""
        if jax.process_index() != 0:
            return
        sync_tree(self.folder / str(step))
        write_checksums(self.folder / str(step), ITEMS)
        if best is not None:
            write_json(self.folder / "best.json", best)
        if not self._is_whole(step):
            return  # until a whole one stands, the run may go back to an earlier best
        steps = self.steps()
        # Later steps are of a run that was resumed before them.
        written = self.written()
        earlier = [s for s in written if s <= step and self._is_whole(s)]
        keep = set(earlier[-self.keep_last :])
        if best is not None:
            keep.add(best["step"])
        for old in set(steps) - keep:
            remove(self.folder, str(old))
