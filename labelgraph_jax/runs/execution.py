"""A run on the machines it is given: processes, devices, batches, and one lock."""

import dataclasses
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import jax
from jax.sharding import Mesh

from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.data.batches.batches import Batch, Examples
from labelgraph_jax.data.files import code_fingerprint
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError, settings_text
from labelgraph_jax.runs.lock import WorkdirLock, holder
from labelgraph_jax.training.compiled_step import (
    CompiledStep,
    compile_train_step,
    compile_train_step_pmap,
)
from labelgraph_jax.training.hosts import (
    Hosts,
    gather_text,
    initialise,
    is_first,
    on_first,
    require_same,
    together,
)
from labelgraph_jax.training.local_batches import own_batches
from labelgraph_jax.training.parallel import (
    MODEL_AXIS,
    make_mesh,
    parse_mesh,
    process_rows,
    state_sharding,
)
from labelgraph_jax.training.signals import (
    Stop,
    StoppedError,
    StopRequestedError,
    stop_on_signals,
)
from labelgraph_jax.training.step import TrainState, TrainStep
from labelgraph_jax.training.throughput import ProfileSteps

SHARED_SECONDS = 10.0
"""Seconds that a network file system may take to show a file of process 0."""

Say = Callable[[str], None]
Value = TypeVar("Value")


@dataclasses.dataclass
class Execution:
    """Settings and signals of a run in progress.

    Attributes:
        settings: how it is carried out.
        stop: a signal's wish.
        say: takes a line; silent but on process 0.
    """

    settings: RunConfig
    stop: Stop
    say: Say

    def mesh(self) -> Mesh:
        """The devices as the settings lay them out.

        Raises:
            ConfigError: they do not fit the devices, or each other.
        """
        try:
            data, model = parse_mesh(self.settings.mesh)
            if self.settings.parallel == "pmap" and model > 1:
                raise ConfigError(
                    "--parallel pmap copies the model to every device: --mesh must not "
                    f"have model={model}; use --parallel jit"
                )
            return make_mesh(data=data, model=model)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(
                f"--mesh {self.settings.mesh or '(all)'}: {error}"
            ) from error

    @property
    def profile(self) -> ProfileSteps | None:
        """The steps to trace.

        Raises:
            ConfigError: they are not written FIRST:LAST.
        """
        try:
            return ProfileSteps.parse(self.settings.profile)
        except ValueError as error:
            raise ConfigError(f"--profile: {error}") from error

    def check(self, batch_size: int, micro_batches: int) -> None:
        """Refuse settings that do not fit the devices, before any work is done.

        Raises:
            ConfigError: the mesh, the steps to trace, or the batch size.
        """
        mesh, _ = self.mesh(), self.profile
        try:
            process_rows(batch_size // micro_batches, mesh)
        except ValueError as error:
            what = "training.batch_size"
            if micro_batches > 1:
                what += f" ({batch_size}) in {micro_batches} training.micro_batches"
            raise ConfigError(f"{what}: {error}") from error

    def check_model(self, init: Callable[[], Params]) -> None:
        """Refuse a model that cannot be split as the mesh asks, before any work.

        Args:
            init: gives the parameters; only their shapes are computed.

        Raises:
            ConfigError: nothing of it can be split.
        """
        mesh = self.mesh()
        if MODEL_AXIS not in mesh.shape:
            return
        try:
            state_sharding(jax.eval_shape(init), mesh)
        except ValueError as error:
            raise ConfigError(f"--mesh {self.settings.mesh}: {error}") from error

    def compile(self, step: TrainStep, mesh: Mesh, like: TrainState) -> CompiledStep:
        """The train step for the run's devices."""
        if self.settings.parallel == "pmap":
            return compile_train_step_pmap(step)
        return compile_train_step(step, mesh, like=like)

    def evaluation_batches(
        self, examples: Examples | TableExamples, *, batch_size: int
    ) -> Iterator[Batch]:
        """`own_batches`, between two of which a run can be stopped."""
        for batch in own_batches(examples, batch_size=batch_size):
            yield batch
            self.stop.check()

    def first_then_others(self, task: Callable[[], Value]) -> Value:
        """Run a task on process 0, then on the others: they find what it has cached."""
        value: Any = None
        for turn in (True, False) if jax.process_count() > 1 else (True,):
            mine = is_first() == turn
            found = together(task if mine else lambda: None)
            value = found if mine else value
        return value

    @contextmanager
    def holding(self, place: Workdir) -> Iterator[None]:
        """The work directory, made and locked, for as long as this lasts.

        Raises:
            WorkdirError: another run holds it, or not all processes see the same one;
                on every process.
        """
        lock = WorkdirLock(place.path)

        def take() -> None:
            place.path.mkdir(parents=True, exist_ok=True)
            lock.__enter__()

        try:
            on_first(take)
            _require_shared(place)
            yield
        finally:
            if is_first():
                lock.__exit__()


@contextmanager
def executing(settings: RunConfig, say: Say) -> Iterator[Execution]:
    """Join the other processes, and come to an orderly end when told to stop.

    Raises:
        StoppedError: a signal came; says how far the run had come.
        HostsError: the processes cannot be one run.
    """
    initialise(
        Hosts(
            settings.coordinator,
            settings.processes,
            settings.process_id,
            settings.timeout,
        )
    )
    with stop_on_signals() as stop:
        here = say if is_first() else lambda line: None
        execution = Execution(settings, stop, here)
        try:
            yield execution
        except StopRequestedError:
            raise StoppedError(stop.by, stop.where) from None


def require_free(place: Workdir) -> None:
    """Refuse a work directory that a live run holds, before any work is done.

    Raises:
        WorkdirError: it says which.
    """
    owner = holder(place.path)
    if owner is not None:
        raise WorkdirError(
            f"{place.path}: another run is at work here ({owner}); wait for it, stop "
            "it, or choose another --workdir"
        )


def require_one_run(config: Config, settings: RunConfig) -> None:
    """Compare settings and code of all processes.

    Raises:
        HostsError: they differ; names what, and where.
    """
    same = dataclasses.replace(settings, process_id=None)
    require_same(
        {
            "the configuration": settings_text(config),
            "the run's settings": repr(same),
            "the code of labelgraph_jax": code_fingerprint(),
            "the version of jax": jax.__version__,
        }
    )


def require_same_data(data: Mapping[str, str]) -> None:
    """Compare the documents that all processes read.

    Raises:
        HostsError: they differ.
    """
    require_same({f"the {name} data": value for name, value in data.items()})


def _require_shared(place: Workdir) -> None:
    """Every process must see the folder that process 0 writes to."""
    if jax.process_count() == 1:
        return
    token = place.path / f".shared-{os.getpid()}"
    name = uuid.uuid4().hex
    if is_first():
        token.write_text(name, encoding="utf-8")
    told = gather_text(f"{token.name} {name}" if is_first() else "")[0].split()

    def look() -> None:
        seen = place.path / told[0]
        end = time.monotonic() + SHARED_SECONDS
        while not seen.is_file() and time.monotonic() < end:
            time.sleep(0.2)
        if not seen.is_file() or seen.read_text(encoding="utf-8") != told[1]:
            raise WorkdirError(
                f"{place.path}: is not the folder that process 0 sees under this name; "
                "a work directory must lie on storage that all workers share"
            )

    try:
        together(look)
    finally:
        if is_first():
            token.unlink(missing_ok=True)
