"""The train step of a model that reads few rows of a large table at a time.

Of the tables the step sees the rows that its batch reads, brought to the present; the
others catch up when they are read, or when all of the table is wanted. The results are
those of `make_train_step` with `make_optimizer`, up to rounding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int

from labelgraph_jax.functional.trees import Leaf
from labelgraph_jax.training.objectives import Batch, Params
from labelgraph_jax.training.optimizer import PathPredicate, at_step
from labelgraph_jax.training.partners import joined, queue_of
from labelgraph_jax.training.row_optimizer import RowAdamW, SkippedSteps, TableRows
from labelgraph_jax.training.step import (
    GradientFn,
    Metrics,
    TrainState,
    apply_updates,
    path_string,
)

Advanced = tuple[
    tuple[Int[Array, ""], Params, optax.OptState], dict[str, TableRows], Metrics
]
"""The result of `RowStep.advance`."""


@dataclass(frozen=True)
class LookedUp:
    """Parameters with a row per id, of which a batch reads those of its ids.

    Attributes:
        trained: paths of tables `[V, D]` that are learned.
        fixed: paths of what else has a row per id, `[V, ...]`, and stays as it is.
    """

    trained: tuple[str, ...]
    fixed: tuple[str, ...] = ()


class Averages(NamedTuple):
    """Optimizer state of a table in a checkpoint, see `TableRows`.

    Attributes:
        mu, nu, last_step: as of `TableRows`.
        behind: how far the bits of the values, not caught up, lie from those of the
            parameters: zeros after a validation, which all rows catch up for.
    """

    mu: Array | np.ndarray
    nu: Array | np.ndarray
    last_step: Array | np.ndarray
    behind: Array | np.ndarray


class RowOptState(NamedTuple):
    """The optimizer's part of a `TrainState`.

    Attributes:
        rest: of `make_optimizer`, of everything but the tables.
        tables: by path.
        origin: the steps that were done when the averages began.
    """

    rest: optax.OptState
    tables: dict[str, Averages]
    origin: Array | np.ndarray


class RowState(NamedTuple):
    """A `TrainState` as it lies on the devices.

    Attributes:
        step: steps done.
        params: without the tables, in whose places None stands.
        rest: as of `RowOptState`.
        tables: by path, not caught up.
        fixed: by path.
        skipped: what rows catch up by.
    """

    step: Int[Array, ""]
    params: Params
    rest: optax.OptState
    tables: dict[str, TableRows]
    fixed: dict[str, Array]
    skipped: SkippedSteps


@dataclass(frozen=True)
class RowStep:
    """The pure parts of a step, for `compile_row_step`.

    A step is two programs, `advance` and `write`: as one, XLA for CPUs takes twice as
    long.

    Attributes:
        gradient_of: from `make_gradient`.
        optimizer: from `make_optimizer`, which leaves the tables out (`is_table`).
        rule: moves the rows.
        looked_up: which parameters are tables.
        is_frozen: as of `make_train_step`.
    """

    gradient_of: GradientFn
    optimizer: optax.GradientTransformation
    rule: RowAdamW
    looked_up: LookedUp
    is_frozen: PathPredicate | None = None

    def init(self, params: Params) -> TrainState:
        """The state before the first step."""
        tables = {}
        for path, values in _at(params, self.looked_up.trained).items():
            zeros, size = np.zeros(np.shape(values), np.float32), len(values)
            behind = np.zeros(np.shape(values), np.int32)
            tables[path] = Averages(zeros, zeros, np.zeros(size, np.int32), behind)
        origin = np.zeros((), np.int32)
        opt_state = RowOptState(self.optimizer.init(params), tables, origin)
        return TrainState(jnp.zeros((), jnp.int32), params, opt_state)

    def split(self, state: TrainState) -> RowState:
        """Return the part of a state on the host that goes to the devices."""
        of_tables = _at(state.params, self.looked_up.trained)
        tables = {}
        for path, averages in state.opt_state.tables.items():
            bits = np.asarray(of_tables[path], np.float32).view(np.int32)
            values = (bits + np.asarray(averages.behind)).view(np.float32)
            tables[path] = TableRows(values, *averages[:-1])
        fixed = _at(state.params, self.looked_up.fixed)
        return RowState(
            state.step,
            _put(state.params, dict.fromkeys([*tables, *fixed])),
            state.opt_state.rest,
            tables,
            fixed,
            self.rule.skipped(int(state.opt_state.origin)),
        )

    def join(self, state: RowState) -> TrainState:
        """The state with all parameters caught up, as it is saved."""
        caught_up = self.settle(state).tables
        tables = {}
        for path, rows in state.tables.items():
            behind = _bits(rows.values) - _bits(caught_up[path].values)
            tables[path] = Averages(*rows[1:], behind)
        params = {path: rows.values for path, rows in caught_up.items()} | state.fixed
        opt_state = RowOptState(state.rest, tables, state.skipped.origin)
        return TrainState(state.step, _put(state.params, params), opt_state)

    def settle(self, state: RowState) -> RowState:
        """The same state with all rows caught up."""
        tables = {
            path: self.rule.catch_up(rows, state.step, state.skipped)
            for path, rows in state.tables.items()
        }
        return state._replace(tables=tables)

    def advance(
        self,
        step: Int[Array, ""],
        params: Params,
        rest: optax.OptState,
        state: RowState,
        rows: Int[Array, " U"],
        batch: Batch,
        axis_name: str | None = None,
    ) -> Advanced:
        """One step, but for the writing of the rows.

        Args:
            step: of the state; it may be donated.
            params: of the state; they may be donated.
            rest: of the state; it may be donated.
            state: of it only what else is there is read.
            rows: that the global batch reads, ascending, each once.
            batch: this device's part of it.
            axis_name: under pmap.

        Returns:
            New step, params and rest; the rows as they now are, by table; metrics.
        """
        touched = {
            path: self.rule.catch_up(_read(table, rows), step, state.skipped)
            for path, table in state.tables.items()
        }
        values = {path: table.values for path, table in touched.items()}
        values |= {path: table[rows] for path, table in state.fixed.items()}
        whole = _put(params, values)
        queue = queue_of(rest)
        gradient, metrics, newest = self.gradient_of(
            whole, batch, step, axis_name, queue
        )
        # Clipped with all others; of tables the gradient comes back.
        updates, rest = self.optimizer.update(gradient, rest, whole)
        rest = joined(rest, newest)
        touched = {
            path: self.rule.update(touched[path], found, step, state.skipped)
            for path, found in _at(updates, tuple(touched)).items()
        }
        params = _put(
            apply_updates(whole, updates, self.is_frozen), dict.fromkeys(values)
        )
        return (step + 1, params, rest), touched, metrics

    def write(
        self,
        tables: dict[str, TableRows],
        rows: Int[Array, " U"],
        touched: dict[str, TableRows],
    ) -> dict[str, TableRows]:
        """The tables with some rows anew; they may be donated."""
        return jax.tree.map(
            lambda table, new: (
                jnp.asarray(table)
                .at[rows]
                .set(
                    new,
                    unique_indices=True,
                    indices_are_sorted=True,
                    mode="promise_in_bounds",
                )
            ),
            tables,
            touched,
        )

    def anew(self, opt_state: RowOptState, step: int) -> RowOptState:
        """A fresh optimizer state after so many steps, as `at_step`."""
        tables = {
            path: averages._replace(last_step=np.full_like(averages.last_step, step))
            for path, averages in opt_state.tables.items()
        }
        rest = at_step(opt_state.rest, step)
        return RowOptState(rest, tables, np.asarray(step, np.int32))

    def from_dense(
        self, dense: Mapping[str, Leaf], like: RowOptState, step: int
    ) -> RowOptState:
        """The optimizer's state of a run that moved all rows at every step.

        Args:
            dense: leaves of the state of `make_optimizer` by their paths.
            like: a state of this form.
            step: steps done.
        """

        def averages(path: str, like: Averages) -> Averages:
            mu, nu = (
                next(leaf for name, leaf in dense.items() if name.endswith(end))
                for end in (f"/mu/{path}", f"/nu/{path}")
            )
            return like._replace(
                mu=mu, nu=nu, last_step=np.full_like(like.last_step, step)
            )

        rest = jax.tree_util.tree_map_with_path(
            lambda path, _: dense[path_string(path)], like.rest
        )
        tables = {path: averages(path, of) for path, of in like.tables.items()}
        return RowOptState(rest, tables, like.origin)


def _read(table: TableRows, rows: Array) -> TableRows:
    return jax.tree.map(
        lambda array: (
            jnp.asarray(array)
            .at[rows]
            .get(unique_indices=True, indices_are_sorted=True, mode="promise_in_bounds")
        ),
        table,
    )


def _bits(array: Array) -> Array:
    return jax.lax.bitcast_convert_type(array, jnp.int32)


def _at(tree: Params, paths: tuple[str, ...]) -> dict[str, Array]:
    """The leaves of a tree at some paths."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    by_path = {path_string(path): leaf for path, leaf in leaves}
    return {path: by_path[path] for path in paths}


def _put(tree: Params, leaves: Mapping[str, Leaf | None]) -> Params:
    """A tree with other leaves, or None, at some paths."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaves.get(path_string(path), leaf),
        tree,
        is_leaf=lambda leaf: leaf is None,
    )
