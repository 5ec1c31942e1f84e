"""Statistics of a model's gates over many rows, and warnings about them."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from labelgraph_jax.functional.mixture.experts import (
    GateStatistics,
    GateSums,
    gate_statistics,
    gate_sums,
)
from labelgraph_jax.training.evaluate import Compiled, place_inputs
from labelgraph_jax.training.objectives import Batch, Params
from labelgraph_jax.training.parallel import (
    batch_sharding,
    make_mesh,
    place_whole,
    replicated_sharding,
)

POLARISED = 0.9
"""A task whose gates, over all rows, use little but one expert."""
UNUSED = 0.1
"""An expert that has less than this part of an even share."""
ALIKE = 0.9999
"""Cosine of two tasks' gates from which on they are one."""

GateFn = Callable[[Params, Batch], Float[Array, "B T E"]]


def compile_gate_sums(gate_fn: GateFn, mesh: Mesh | None = None) -> Compiled:
    """Compile `gate_fn(params, batch)` -> weights `[B, T, E]` into sums per host batch.

    Args:
        gate_fn: of a model without dropout.
        mesh: from `make_mesh`; all devices by default.
    """
    mesh = make_mesh() if mesh is None else mesh
    replicated, rows = replicated_sharding(mesh), batch_sharding(mesh)

    def sums(params: Params, batch: Batch) -> GateSums:
        return gate_sums(gate_fn(params, batch), batch["example_mask"])

    return Compiled(
        jax.jit(sums, in_shardings=(replicated, rows), out_shardings=replicated),
        partial(place_whole, mesh=mesh),
        partial(place_inputs, mesh=mesh),
    )


def collect_gate_statistics(
    sums_fn: Compiled,
    params: Params,
    batches: Iterable[Batch],
) -> GateStatistics:
    """The gates over all rows of some batches, as NumPy arrays.

    Args:
        sums_fn: from `compile_gate_sums`.
        params: of the model.
        batches: at least one.

    Raises:
        ValueError: there is no batch.
    """
    total: Any = None
    params = sums_fn.place_params(params)
    for batch in batches:
        sums = sums_fn.run(params, sums_fn.place_batch(batch))
        total = sums if total is None else jax.tree.map(jax.numpy.add, total, sums)
    if total is None:
        raise ValueError("there must be at least one batch to read gates of; got none")
    return jax.tree.map(np.asarray, gate_statistics(total))


def gate_warnings(statistics: GateStatistics, tasks: Sequence[str]) -> list[str]:
    """One sentence for everything about the gates that looks like a collapse.

    A task that has polarised on one expert; an expert that no task uses; gates of two
    tasks or more that are the same for all rows, so that they share one gate.

    Args:
        statistics: of rows that training has not seen, or has.
        tasks: their names; a single gate for all tasks (OMoE) goes by all names.
    """
    mean = np.asarray(statistics.mean_weights)
    gates, experts = mean.shape
    names = list(tasks) if gates == len(tasks) else [", ".join(tasks)]
    if experts < 2:
        return []
    warnings = [
        f"task {name}: its gate has polarised: expert {int(mean[t].argmax())} has "
        f"{mean[t].max():.0%} of the weight (try mixture.gate_dropout 0.1)"
        for t, name in enumerate(names)
        if statistics.polarisation[t] > POLARISED
    ]
    unused = np.flatnonzero(mean.max(axis=0) < UNUSED / experts)
    if len(unused):
        numbers = ", ".join(map(str, unused))
        warnings.append(
            f"{len(unused)} of {experts} experts have collapsed: no task gives "
            f"expert {numbers} a tenth of an even share"
        )
    # Weights that vary over rows may differ where their means agree.
    still = float(np.max(statistics.spread)) < 1e-3
    if gates > 1 and still and float(np.min(statistics.similarity)) > ALIKE:
        warnings.append(
            "the gates of all tasks are the same and do not read their input: the "
            "mixture works as one shared network"
        )
    return warnings


WATCHED_BATCHES = 16
"""Batches of validation rows whose gates are looked at after every epoch."""


class GateWatch:
    """Looks at the gates after every epoch and says, once each, what looks wrong.

    Args:
        gate_fn: as in `compile_gate_sums`.
        tasks: their names.
        say: takes a warning.
        mesh: from `make_mesh`; all devices by default.
    """

    def __init__(
        self,
        gate_fn: GateFn,
        tasks: Sequence[str],
        say: Callable[[str], None],
        mesh: Mesh | None = None,
    ) -> None:
        self._sums = compile_gate_sums(gate_fn, mesh)
        self._tasks = tuple(tasks)
        self._say = say
        self._said: set[str] = set()

    def __call__(self, params: Params, batches: Iterable[Batch]) -> dict[str, float]:
        """Look at the first batches.

        Returns:
            For the log `polarisation/<task>` of every gate, and `least_used_expert`:
            its share of an even share.
        """
        first = itertools.islice(batches, WATCHED_BATCHES)
        statistics = collect_gate_statistics(self._sums, params, first)
        for warning in gate_warnings(statistics, self._tasks):
            kind = warning.split(":")[0]
            if kind not in self._said:
                self._said.add(kind)
                self._say(f"warning: {warning}")
        gates, experts = statistics.mean_weights.shape
        names = self._tasks if gates == len(self._tasks) else ("all",)
        values = zip(names, statistics.polarisation, strict=True)
        least = float(statistics.mean_weights.max(axis=0).min()) * experts
        return {f"polarisation/{n}": float(v) for n, v in values} | {
            "least_used_expert": least
        }
