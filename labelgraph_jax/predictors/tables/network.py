"""The model and the objective of a run over a table, from its settings."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from labelgraph_jax.config import Config
from labelgraph_jax.config.table import task_weights
from labelgraph_jax.config.tasks import GATED
from labelgraph_jax.data.tables.schema import TableSchema
from labelgraph_jax.data.tables.targets import Target
from labelgraph_jax.functional.losses.tasks import LOG_VARIANCE, Task
from labelgraph_jax.functional.trees import Batch, Params
from labelgraph_jax.modules.mixture import (
    GATES,
    MultiTaskNetwork,
    gate_weights_of,
    l2_constraint,
)
from labelgraph_jax.modules.tables import TableEncoder, TableNetwork
from labelgraph_jax.training.objectives import (
    ApplyFn,
    LossFn,
    multi_task_objective,
)

DECIDED = ("binary", "multi_label")
"""Kinds of tasks whose columns are each decided by a threshold."""
# Shares that log-odds are taken of stay this far from 0 and 1.
PRIOR_FLOOR = 1e-4


@dataclass(frozen=True)
class TableClassifier:
    """A network over the rows of a table, as pure functions of its parameters.

    Attributes:
        module: the Flax module; it holds no parameters.
        targets: what every task predicts.
        widths: C and Q, the columns of categories and numbers.
    """

    module: TableNetwork
    targets: tuple[Target, ...]
    widths: tuple[int, int]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks, as losses and metrics read them."""
        return self.module.network.tasks

    def init(self, key: jax.Array) -> Params:
        """First parameters; outputs start at the shares that training has."""
        categories = jnp.zeros((1, self.widths[0]), jnp.int32)
        numbers = jnp.zeros((1, self.widths[1]), jnp.float32)
        # Compiled whole: array by array it takes longer than the first epoch.
        variables = jax.jit(self.module.init)({"params": key}, categories, numbers)
        params = variables["params"]
        towers = dict(params["network"]["towers"])
        shares = {target.name: target.prior for target in self.targets}
        for number, target in enumerate(self.targets):
            if target.given:  # the network says how likely it is after its parent
                whole = max(shares[target.given][0], PRIOR_FLOOR)
                prior = (min(target.prior[0] / whole, 1.0),)
                target = dataclasses.replace(target, prior=prior)
            towers[f"output_bias_{number}"] = jnp.asarray(
                constant_outputs(target), jnp.float32
            )
        return {**params, "network": {**params["network"], "towers": towers}}

    def apply(
        self,
        params: Params,
        batch: Batch,
        *,
        key: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        """Outputs `[B, O]` of a batch; with `train`, dropout from `key`."""
        outputs = self.module.apply(
            {"params": params},
            jnp.asarray(batch["categories"]),
            jnp.asarray(batch["numbers"]),
            batch.get("category_rows"),
            deterministic=not train,
            rngs={"dropout": key} if train and key is not None else None,
        )
        assert isinstance(outputs, jax.Array)
        return outputs

    @property
    def row_offsets(self) -> np.ndarray:
        """The first row of every column in the tables of categories, int32 `[C]`."""
        return self.module.encoder.row_offsets

    @property
    def hidden_tokens(self) -> None:
        """None: there are no tokens to count."""

    @property
    def has_gates(self) -> bool:
        """True if experts are mixed by gates."""
        return self.module.network.kind in GATED

    def gate_weights(self, params: Params, batch: Batch) -> jax.Array:
        """The gates' weights `[B, T, E]` for a batch, of a model that `has_gates`."""
        _, left = self.module.apply(
            {"params": params},
            jnp.asarray(batch["categories"]),
            jnp.asarray(batch["numbers"]),
            mutable=GATES,
        )
        weights = gate_weights_of(left)
        assert weights is not None
        return weights


def table_tasks(targets: Sequence[Target]) -> tuple[Task, ...]:
    """The tasks, as losses and metrics read them."""
    return tuple(Task(t.name, t.kind, t.width, t.given) for t in targets)


def constant_outputs(target: Target) -> np.ndarray:
    """The outputs that predict the shares of training, or its mean, for every row."""
    if target.kind == "squared":
        return np.zeros(1)
    prior = np.asarray(target.prior, np.float64)
    prior = np.clip(prior, PRIOR_FLOOR, 1.0 - PRIOR_FLOOR)
    if target.kind == "multi_class":
        return np.log(prior / prior.sum())
    return np.log(prior) - np.log1p(-prior)


def build_table_classifier(
    config: Config, schema: TableSchema, targets: Sequence[Target]
) -> TableClassifier:
    """The model that the settings, the columns and the tasks describe.

    Args:
        config: resolved settings.
        schema: of the inputs.
        targets: of the tasks.
    """
    settings = config.resolved().mixture
    network = MultiTaskNetwork(
        tasks=table_tasks(targets),
        hidden=tuple(settings.hidden),
        towers=tuple(settings.towers or ()),
        dtype=jnp.dtype(config.training.compute_dtype),
        **settings.network(),
    )
    module = TableNetwork(
        encoder=TableEncoder(
            schema.cardinalities,
            config.table.dim,
            small_start=True,
            bags=schema.bags,
        ),
        network=network,
        learn_weights=settings.learns_weights,
        wide=config.table.wide,
    )
    widths = (schema.category_width, schema.number_width)
    return TableClassifier(module, tuple(targets), widths)


def positive_weights(config: Config, targets: Sequence[Target]) -> np.ndarray | None:
    """Weights of positive cells, float32 `[O]`; None where none counts more.

    A column's weight is `loss.positive_weight`, and at most as many negatives as there
    are to a positive in training: common positives are not drowned by rare ones.
    """
    most = config.loss.positive_weight
    if most == 1.0:
        return None
    weights = []
    for target in targets:
        each = np.ones(target.width)
        if target.kind in DECIDED:
            share = np.clip(np.asarray(target.prior), PRIOR_FLOOR, 1.0 - PRIOR_FLOOR)
            each = np.minimum(np.maximum((1 - share) / share, 1.0), most)
        weights.append(each)
    return np.concatenate(weights).astype(np.float32)


def table_objective(
    config: Config, classifier: TableClassifier, apply: ApplyFn | None = None
) -> LossFn:
    """The loss of all tasks: one per task, weighed as the settings say.

    Args:
        config: resolved settings.
        classifier: the network.
        apply: in place of the network's own.
    """
    settings = config.mixture
    constrained = settings.kind == "l2_constrained"
    return multi_task_objective(
        apply or classifier.apply,
        classifier.tasks,
        positive_weight=positive_weights(config, classifier.targets),
        task_weights=np.asarray(task_weights(config), np.float32),
        log_variance=(
            (lambda params: params[LOG_VARIANCE])
            if settings.weighting == "uncertainty"
            else None
        ),
        balance=settings.balance,
        constant=np.concatenate([constant_outputs(t) for t in classifier.targets]),
        penalty=(
            (lambda params: settings.l2 * l2_constraint(params["network"]))
            if constrained
            else None
        ),
    )
