"""The multi-task ranking model: what a user would do with each of many candidates."""

from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

from labelgraph_jax.functional.losses.conditional import joint_outputs
from labelgraph_jax.functional.losses.tasks import (
    Task,
    output_count,
    task_slices,
)
from labelgraph_jax.functional.ranker.position_bias import (
    NO_POSITION,
    add_position_logits,
    drop_positions,
    position_logits,
)
from labelgraph_jax.modules.mixture import MixtureKind, MultiTaskNetwork
from labelgraph_jax.modules.tables import TableEncoder

PositionUse = Literal["ignored", "feature", "shallow_tower"]
POSITION_USES: tuple[PositionUse, ...] = get_args(PositionUse)


class ShallowTower(nn.Module):
    """Logits that a position adds to some tasks, whatever stands there.

    One learned number per task for every pair of position and group, that of "no
    position" among them: a model linear in crossed features, the wide part. All start
    at zero.

    Attributes:
        positions: places that are told apart; those further down count as the last.
        groups: kinds of device, or pages of the app, each with a bias of its own.
        tasks: K, how many tasks feel positions.
        drop_rate: probability that training forgets a row's position (`dropout` key).
    """

    positions: int
    groups: int = 1
    tasks: int = 1
    drop_rate: float = 0.1

    @nn.compact
    def __call__(
        self,
        positions: Int[Array, " B"],
        groups: Int[Array, " B"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "B K"]:
        """Logits to add, from positions numbered from 1; 0 is none."""
        shape = (self.groups, self.positions + 1, self.tasks)
        table = self.param("bias", nn.initializers.zeros, shape)
        if self.drop_rate and not deterministic:
            key = self.make_rng("dropout")
            positions = drop_positions(key, positions, self.drop_rate)
        return position_logits(table, positions, groups)


class LinearRows(nn.Module):
    """A linear model of categories and numbers, all of whose weights start at zero.

    Attributes:
        cardinalities: of the categorical columns.
        outputs: O.
    """

    cardinalities: tuple[int, ...]
    outputs: int

    @nn.compact
    def __call__(
        self, categories: Int[Array, "B C"], numbers: Float[Array, "B Q"]
    ) -> Float[Array, "B O"]:
        """Sum of the weights of a row's categories, and its numbers times theirs."""
        zeros = nn.initializers.zeros
        kernel = self.param("kernel", zeros, (numbers.shape[-1], self.outputs))
        linear = numbers @ kernel
        if self.cardinalities:
            ends = np.cumsum(self.cardinalities)
            offsets = np.asarray([0, *ends[:-1]], np.int32)
            table = self.param("categories", zeros, (int(ends[-1]), self.outputs))
            linear += jnp.take(table, categories + offsets, axis=0).sum(axis=1)
        return linear


class Ranker(nn.Module):
    """Rows (a user, a candidate, a moment) -> outputs of all tasks `[B, O]`.

    Categories become vectors, numbers stand beside them; a shared layer, a mixture of
    experts above it and a tower per task follow (the deep part). The wide part is a
    linear model of the same inputs, and a shallow tower that takes position bias away:
    it is added to the logits of the tasks that feel positions, and serving leaves it at
    "no position".

    Attributes:
        tasks: what is predicted, of mixed kinds (`functional.Task`).
        cardinalities: of the categorical columns, user and video ids among them; id 0
            of each is for what training did not know.
        dim: features per category.
        kind, hidden, experts, own_experts, levels, expert_norm, shared, towers: see
            `MultiTaskNetwork`.
        gate_dropout, dropout_rate: see `MultiTaskNetwork`. The experts stand on the
            shared layer, which the gates read too.
        wide: add a linear model of categories and numbers.
        position: what becomes of the positions that rows come with: `ignored`, a
            `feature` of the deep part, or the `shallow_tower`'s input.
        positions, groups: see `ShallowTower`.
        biased: names of the tasks whose outputs the shallow tower adds to; each must
            have one column.
        position_dropout: probability that training forgets a row's position.

    Reference: Zhao et al., Recommending what video to watch next: a multitask ranking
    system, RecSys 2019. The shallow tower gives every biased task a number of its own
    where the paper has one for all, since places do not weigh on a click and on
    a long view alike.
    """

    tasks: tuple[Task, ...]
    cardinalities: tuple[int, ...]
    dim: int = 8
    kind: MixtureKind = "mmoe"
    hidden: tuple[int, ...] = (32,)
    experts: int = 8
    shared: tuple[int, ...] = (64,)
    towers: tuple[int, ...] = (16,)
    gate_dropout: float = 0.1
    dropout_rate: float = 0.0
    wide: bool = True
    position: PositionUse = "ignored"
    positions: int = 10
    groups: int = 1
    biased: tuple[str, ...] = ()
    position_dropout: float = 0.1
    own_experts: int = 1
    levels: int = 1
    expert_norm: bool = False

    @nn.compact
    def __call__(
        self,
        categories: Int[Array, "B C"],
        numbers: Float[Array, "B Q"],
        positions: Int[Array, " B"] | None = None,
        groups: Int[Array, " B"] | None = None,
        *,
        deterministic: bool = True,
    ) -> Float[Array, "B O"]:
        """Logits, or values, of all tasks side by side, float32.

        Args:
            categories: ids, each below the cardinality of its column.
            numbers: standardised numbers.
            positions: from 1, the top; 0, or None for all rows, is no position.
            groups: of the rows, 0 .. groups - 1; None is group 0.
            deterministic: False draws dropout, from the stream `dropout`.
        """
        # Features of a row, and its position where that is a feature.
        columns = self._biased_columns()
        if positions is None:
            positions = jnp.full(categories.shape[0], NO_POSITION, jnp.int32)
        features = TableEncoder(self.cardinalities, self.dim, name="encoder")(
            categories, numbers
        )
        deep = features
        if self.position == "feature":
            place = self._place(positions, groups, deterministic)
            deep = jnp.concatenate([features, place], axis=-1)
        # The network of all tasks, and a linear part beside it.
        outputs = MultiTaskNetwork(
            tasks=self.tasks,
            kind=self.kind,
            hidden=self.hidden,
            experts=self.experts,
            own_experts=self.own_experts,
            levels=self.levels,
            expert_norm=self.expert_norm,
            shared=self.shared,
            towers=self.towers,
            gate_dropout=self.gate_dropout,
            dropout_rate=self.dropout_rate,
            name="network",
        )(deep, deterministic=deterministic)
        if self.wide:
            linear = LinearRows(self.cardinalities, outputs.shape[-1], name="wide")
            outputs += linear(categories, numbers)
        # The bias of the position, which the shallow tower adds to some tasks.
        if columns:
            logits = ShallowTower(
                *(self.positions, self.groups, len(columns), self.position_dropout),
                name="shallow_tower",
            )(positions, groups, deterministic=deterministic)
            outputs = add_position_logits(outputs, logits, columns)
        return joint_outputs(outputs, self.tasks)

    def _place(
        self,
        positions: Int[Array, " B"],
        groups: Int[Array, " B"] | None,
        deterministic: bool,
    ) -> Float[Array, "B F"]:
        """Position and group, crossed, as one more category of the deep part."""
        if self.position_dropout and not deterministic:
            key = self.make_rng("dropout")
            positions = drop_positions(key, positions, self.position_dropout)
        place = jnp.clip(positions, NO_POSITION, self.positions)
        crossed = place if groups is None else groups * (self.positions + 1) + place
        size = (self.positions + 1) * self.groups
        encoder = TableEncoder((size,), self.dim, name="position_feature")
        return encoder(crossed[:, None], jnp.zeros((len(place), 0)))

    def _biased_columns(self) -> tuple[int, ...]:
        """The output columns that the shallow tower adds to."""
        # Refuse what is wrong by itself.
        output_count(self.tasks)  # refuses malformed tasks
        if self.position not in POSITION_USES:
            raise ValueError(
                f"position must be one of {list(POSITION_USES)}; got {self.position!r}"
            )
        if self.positions < 1 or self.groups < 1:
            raise ValueError(
                "positions and groups must be at least 1; got "
                f"{self.positions} and {self.groups}"
            )
        # Names are for the shallow tower alone, which needs them.
        if self.position != "shallow_tower":
            if self.biased:
                raise ValueError(
                    "biased names what the shallow tower adds to; position is "
                    f"{self.position!r}, got biased={self.biased}"
                )
            return ()
        if not self.biased or len(set(self.biased)) < len(self.biased):
            raise ValueError(
                "the shallow tower needs the names of the tasks that it adds to, each "
                f"once; got biased={self.biased}"
            )
        # The column of every named task, which must be its only one.
        found = dict(zip(self.tasks, task_slices(self.tasks), strict=True))
        wide = {t.name: s.start for t, s in found.items() if t.width == 1}
        for name in self.biased:
            if name not in wide:
                raise ValueError(
                    "the shallow tower adds to tasks of one column, which are "
                    f"{list(wide)}; got {name!r}"
                )
        return tuple(wide[name] for name in self.biased)
