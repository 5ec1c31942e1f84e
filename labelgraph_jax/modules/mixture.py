"""One body for several tasks: shared-bottom, mixtures, cross-stitch, towers on top.

What is computed with the parameters is `functional.mixture`.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float

from labelgraph_jax.functional.losses.tasks import Task, output_count
from labelgraph_jax.functional.mixture.experts import (
    cross_stitch,
    draw_gate_keep,
    expert_access,
    gate_weights,
    mix_weighted,
    normalise_experts,
    pairwise_squared_distance,
)
from labelgraph_jax.functional.trees import Params

MixtureKind = Literal[
    "single_task",
    "shared_bottom",
    "omoe",
    "mmoe",
    "ple",
    "cross_stitch",
    "l2_constrained",
]
MIXTURE_KINDS: tuple[MixtureKind, ...] = get_args(MixtureKind)
GATED: tuple[MixtureKind, ...] = ("omoe", "mmoe", "ple")
"""Kinds that have gates and experts."""
GATES = "gates"
"""Collection that holds the gate weights of a call which asks for it (`mutable`)."""

# Fan-in and fan-out of each expert alone, whatever their number.
_PER_EXPERT = nn.initializers.variance_scaling(
    2.0, "fan_in", "truncated_normal", in_axis=0, out_axis=2, batch_axis=(1,)
)
_GATE = nn.initializers.variance_scaling(
    1.0, "fan_avg", "uniform", in_axis=0, out_axis=(1, 2)
)
_STITCH_SELF = 0.9


class Stack(nn.Module):
    """E networks of one shape side by side, ReLU after each layer.

    They read the same rows `[B, D]`, or one vector of each row per network `[B, E, D]`.
    The first layer over the same rows is one matrix product `[B, D] x [D, E * F]`;
    every kernel is `[in, E, out]`, so that axis 1 can be sharded over devices.

    Attributes:
        count: E.
        hidden: units of each layer.
        stitched: mix the networks' units after each layer (cross-stitch).
        normalised: bring each network's units to one scale before their ReLU.
    """

    count: int
    hidden: tuple[int, ...]
    dropout_rate: float = 0.0
    stitched: bool = False
    normalised: bool = False

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "B *networks D"], *, deterministic: bool = True
    ) -> Float[Array, "B E F"]:
        """Return the output of each network for each row."""
        for number, units in enumerate(self.hidden):
            features = inputs.shape[-1]
            kernel = self.param(
                f"kernel_{number}", _PER_EXPERT, (features, self.count, units)
            )
            bias = self.param(
                f"bias_{number}", nn.initializers.zeros, (self.count, units)
            )
            product = "bd,deu->beu" if inputs.ndim == 2 else "bed,deu->beu"
            products = jnp.einsum(product, inputs, kernel.astype(inputs.dtype))
            if self.normalised:
                # Around 1, so that weight decay leaves the scale as it is.
                scale = 1.0 + self.param(
                    f"scale_{number}", nn.initializers.zeros, (self.count, units)
                )
                inputs = nn.relu(normalise_experts(products, scale, bias))
            else:
                inputs = nn.relu(products + bias.astype(inputs.dtype))
            inputs = nn.Dropout(self.dropout_rate)(inputs, deterministic=deterministic)
            if self.stitched:
                stitch = self.param(f"stitch_{number}", _near_identity, self.count)
                inputs = cross_stitch(inputs, stitch)
        return inputs


def _near_identity(key: Array, count: int) -> Float[Array, "T T"]:
    """Mostly a task's own features, the rest shared evenly: rows sum to one."""
    own = _STITCH_SELF if count > 1 else 1.0
    others = (1.0 - own) / max(count - 1, 1)
    return jnp.full((count, count), others) + (own - others) * jnp.eye(count)


class Mixture(nn.Module):
    """Rows `[B, D]` -> one vector per row and task `[B, T, F]`.

    Attributes:
        kind: `single_task` a network per task; `shared_bottom` one network for all;
            `omoe` experts mixed by one gate; `mmoe` by a gate per task; `ple`
            experts of each task beside the shared ones, and a gate per task over both;
            `cross_stitch` a network per task, mixed linearly after each layer;
            `l2_constrained` as single_task, with `l2_constraint` in the loss.
        tasks: T.
        hidden: units of each layer of an expert, of a task's network, or of the shared
            network.
        experts: E, of omoe and mmoe, and the shared ones of ple.
        own_experts: of ple, experts that each task has for itself.
        levels: layers of gated experts, of mmoe and ple, each with layers of `hidden`
            units. Between levels of ple every task has a mixture of its own, and a
            shared gate over all experts feeds the shared ones; with one level it is
            customised gate control (CGC). Every expert of a next level of mmoe reads a
            mixture of its own.
        expert_norm: see `functional.normalise_experts`; of kinds with gates.
        shared: units of layers below all of that, which every kind shares; the gates
            read what these give (RecSys 2019), or the rows (KDD 2018) where there is
            none.
        gate_dropout: see `functional.mix_experts`; drawn from the `dropout` key.
        dropout_rate: dropout after each hidden layer.
        dtype: of the products; gates, and sums over experts, are in float32 always.

    The gates have no bias: `softmax(x W)` as in KDD 2018. They start small, so that all
    experts are used at first. Those of further levels read the task's own mixture in
    ple, and in mmoe what those of the first level read.

    Reference: Ma et al., KDD 2018; Zhao et al., RecSys 2019; Misra et al., CVPR 2016;
    Tang et al., RecSys 2020 (ple). The gates between the levels of mmoe are ours.
    """

    kind: MixtureKind
    tasks: int
    hidden: tuple[int, ...] = (16,)
    experts: int = 8
    shared: tuple[int, ...] = ()
    gate_dropout: float = 0.0
    dropout_rate: float = 0.0
    dtype: Dtype = jnp.float32
    own_experts: int = 1
    levels: int = 1
    expert_norm: bool = False

    @property
    def has_gates(self) -> bool:
        """True where experts are mixed by gates."""
        return self.kind in GATED

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "B D"], *, deterministic: bool = True
    ) -> Float[Array, "B T F"]:
        """The tasks' vectors; gate weights `[B, T, E]` are sown as gates/weights."""
        self._check()
        gate_inputs, inputs = inputs, inputs.astype(self.dtype)
        if self.shared:
            shared = Stack(1, self.shared, self.dropout_rate, name="shared")
            inputs = shared(inputs, deterministic=deterministic)[:, 0]
            gate_inputs = inputs
        if self.has_gates:
            return self._gated(inputs, gate_inputs, deterministic)
        body = Stack(
            1 if self.kind == "shared_bottom" else self.tasks,
            self.hidden,
            self.dropout_rate,
            stitched=self.kind == "cross_stitch",
            name="experts",
        )
        outputs = body(inputs, deterministic=deterministic)
        shape = (inputs.shape[0], self.tasks, outputs.shape[-1])
        return jnp.broadcast_to(outputs, shape)

    def _gated(
        self,
        inputs: Float[Array, "B D"],
        gate_inputs: Float[Array, "B D"],
        deterministic: bool,
    ) -> Float[Array, "B T F"]:
        """Experts and gates, level by level."""
        ple = self.kind == "ple"
        own = self.own_experts if ple else 0
        access = expert_access(self.tasks, own, self.experts)
        mixed: Array = inputs
        for level in range(self.levels):
            suffix = f"_{level}" if level else ""
            if level and ple:  # every expert reads the mixture of its owner
                owners = [own] * self.tasks + [self.experts]
                mixed = jnp.repeat(mixed, np.asarray(owners), axis=1)
            stack = Stack(
                access.shape[1],
                self.hidden,
                self.dropout_rate,
                normalised=self.expert_norm,
                name=f"experts{suffix}",
            )
            outputs = stack(mixed, deterministic=deterministic)
            last = level + 1 == self.levels
            seen = access[: self.tasks] if last else access
            if not ple:  # one gate, one per task, or one per expert of the next level
                gates = self.experts if not last else self.tasks
                seen = access[-1:].repeat(1 if self.kind == "omoe" else gates, axis=0)
            weights = self._weights(suffix, gate_inputs, seen, deterministic)
            if last:
                self.sow(GATES, "weights", weights)
            mixed = mix_weighted(outputs, weights)
            if ple:
                gate_inputs = mixed
        shape = (mixed.shape[0], self.tasks, mixed.shape[-1])
        return jnp.broadcast_to(mixed, shape)

    def _weights(
        self,
        suffix: str,
        inputs: Float[Array, "B *gates D"],
        access: Bool[np.ndarray, "G E"],
        deterministic: bool,
    ) -> Float[Array, "B G E"]:
        """The gate weights of one level."""
        kernel = self.param(
            f"gate_kernel{suffix}", _GATE, (inputs.shape[-1], *access.shape)
        )
        if inputs.ndim == 3:  # of the last level the shared gate is left out
            inputs = inputs[:, : len(access)]
        product = "bd,dte->bte" if inputs.ndim == 2 else "btd,dte->bte"
        logits = jnp.einsum(product, inputs.astype(jnp.float32), kernel)
        keep = None if access.all() else jnp.broadcast_to(access, logits.shape)
        if self.gate_dropout and not deterministic:
            key = self.make_rng("dropout")
            rate = self.gate_dropout
            keep = draw_gate_keep(key, logits.shape, rate, access=keep)
        return gate_weights(logits, keep=keep)

    def _check(self) -> None:
        if self.kind not in MIXTURE_KINDS:
            raise ValueError(
                f"kind must be one of {list(MIXTURE_KINDS)}; got {self.kind!r}"
            )
        for name in ("tasks", "experts", "own_experts", "levels"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1; got {getattr(self, name)}"
                )
        if self.levels > 1 and self.kind not in ("mmoe", "ple"):
            raise ValueError(
                f"levels are of kind mmoe and ple; got levels={self.levels}, "
                f"kind={self.kind!r}"
            )
        if self.expert_norm and not self.has_gates:
            raise ValueError(
                f"expert_norm is of kinds with gates, {list(GATED)}; got {self.kind!r}"
            )
        if not self.hidden or min((*self.hidden, *self.shared)) < 1:
            raise ValueError(
                "hidden must name the units of one layer or more, each at least 1; got "
                f"hidden={self.hidden}, shared={self.shared}"
            )


class TaskTowers(nn.Module):
    """A small network per task, and its output columns: `[B, T, F]` -> `[B, O]`.

    Attributes:
        widths: output columns of each task.
        hidden: units of each layer of a tower; none leaves a linear output.
    """

    widths: tuple[int, ...]
    hidden: tuple[int, ...] = (8,)
    dropout_rate: float = 0.0

    @nn.compact
    def __call__(
        self, features: Float[Array, "B T F"], *, deterministic: bool = True
    ) -> Float[Array, "B O"]:
        """Logits, or values, of all tasks side by side, float32."""
        layers = Stack(len(self.widths), self.hidden, self.dropout_rate, name="layers")
        features = layers(features, deterministic=deterministic).astype(jnp.float32)
        outputs = []
        for task, width in enumerate(self.widths):
            initial = nn.initializers.lecun_normal()
            kernel = self.param(f"output_{task}", initial, (features.shape[-1], width))
            bias = self.param(f"output_bias_{task}", nn.initializers.zeros, (width,))
            outputs.append(features[:, task] @ kernel + bias)
        return jnp.concatenate(outputs, axis=-1)


class MultiTaskNetwork(nn.Module):
    """Rows `[B, D]` -> outputs of all tasks `[B, O]`: a mixture and its towers.

    Attributes:
        tasks: what is predicted (`functional.Task`).
        kind, hidden, experts, own_experts, levels, expert_norm: see `Mixture`.
        shared, gate_dropout, dropout_rate, dtype: see `Mixture`.
        towers: units of each layer of a task's tower.
    """

    tasks: tuple[Task, ...]
    kind: MixtureKind = "mmoe"
    hidden: tuple[int, ...] = (16,)
    experts: int = 8
    shared: tuple[int, ...] = ()
    towers: tuple[int, ...] = (8,)
    gate_dropout: float = 0.0
    dropout_rate: float = 0.0
    dtype: Dtype = jnp.float32
    own_experts: int = 1
    levels: int = 1
    expert_norm: bool = False

    @nn.compact
    def __call__(
        self, inputs: Float[Array, "B D"], *, deterministic: bool = True
    ) -> Float[Array, "B O"]:
        """Logits, or values, of all tasks side by side, float32."""
        output_count(self.tasks)  # refuses malformed tasks
        mixture = Mixture(
            kind=self.kind,
            tasks=len(self.tasks),
            hidden=self.hidden,
            experts=self.experts,
            own_experts=self.own_experts,
            levels=self.levels,
            expert_norm=self.expert_norm,
            shared=self.shared,
            gate_dropout=self.gate_dropout,
            dropout_rate=self.dropout_rate,
            dtype=self.dtype,
            name="mixture",
        )
        towers = TaskTowers(
            tuple(task.width for task in self.tasks),
            self.towers,
            self.dropout_rate,
            name="towers",
        )
        features = mixture(inputs, deterministic=deterministic)
        return towers(features, deterministic=deterministic)


def l2_constraint(params: Params) -> Float[Array, ""]:
    """Sum over pairs of tasks of the squared distance between their networks.

    Args:
        params: of a `Mixture` of kind `l2_constrained` (or of a network that holds one
            as `mixture`).

    Raises:
        ValueError: there is no such part.
    """
    params = params.get("mixture", params)
    if "experts" not in params:
        raise ValueError(
            "l2_constraint takes the parameters of a Mixture; got a tree with "
            f"{sorted(params)}"
        )
    total = jnp.float32(0.0)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params["experts"]):
        is_kernel = jax.tree_util.keystr(path).find("kernel") >= 0
        total += pairwise_squared_distance(leaf, 1 if is_kernel else 0)
    return total


def gate_weights_of(variables: Mapping[str, Params]) -> Float[Array, "B T E"] | None:
    """The gate weights that a call with `mutable=GATES` left, or None without gates."""
    leaves = jax.tree.leaves(variables.get(GATES, {}))
    return leaves[-1] if leaves else None
