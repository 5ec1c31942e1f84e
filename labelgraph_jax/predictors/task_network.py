"""Several label sets through a mixture: the model and the objective of the settings."""

import dataclasses
from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.functional.losses.tasks import LOG_VARIANCE
from labelgraph_jax.modules.label_graph import LabelGraph
from labelgraph_jax.modules.magnet import TaskMagnet
from labelgraph_jax.modules.mixture import Mixture, l2_constraint
from labelgraph_jax.modules.parameters import log_odds
from labelgraph_jax.modules.text_encoder import TextEncoder
from labelgraph_jax.predictors.label_graph_file import LabelGraphArrays
from labelgraph_jax.predictors.loss_choice import choose_loss
from labelgraph_jax.training.objectives import (
    ApplyFn,
    LabelSet,
    LossFn,
    label_sets_objective,
)

TEXT_HIDDEN = (256,)
"""Units of an expert over a text, where the settings leave them open."""


def require_label_sets(config: Config, tasks: Mapping[str, np.ndarray]) -> None:
    """Refuse a mixture over documents with a single label set, or an empty one.

    Raises:
        ConfigError: there is nothing to share.
    """
    if len(tasks) < 2:
        raise ConfigError(
            f"mixture.kind='{config.mixture.kind}' shares an encoder between label "
            "sets: name several with data.task, for example --task topics,places or "
            "--task all"
        )
    for task, columns in tasks.items():
        if not len(columns):
            raise ConfigError(
                f"task {task}: no training document carries a label of it, so "
                "there is nothing for it to learn; leave it out of --task"
            )
    config.mixture.weights(tuple(tasks))


def build_task_magnet(
    config: Config,
    encoder: TextEncoder,
    make_label_graph: Callable[[int], LabelGraph],
    tasks: Mapping[str, np.ndarray],
) -> TaskMagnet:
    """The model of several label sets that a configuration describes.

    Args:
        config: the run's settings.
        encoder: the text encoder.
        make_label_graph: the width of the label vectors -> a label graph.
        tasks: the columns of each label set, see `LabelSpace.task_columns`.

    Raises:
        ConfigError: a single label set, or one without labels.
    """
    require_label_sets(config, tasks)
    settings = config.mixture
    towers = tuple(settings.towers or ())
    hidden = tuple(settings.hidden) or TEXT_HIDDEN
    width = (*hidden, *towers)[-1]
    return TaskMagnet(
        text_encoder=encoder,
        mixture=Mixture(
            tasks=len(tasks),
            hidden=hidden,
            dtype=jnp.dtype(config.training.compute_dtype),
            **settings.network(),
        ),
        label_graphs=tuple(make_label_graph(width) for _ in tasks),
        columns=tuple(tuple(int(c) for c in columns) for columns in tasks.values()),
        towers=towers,
        learn_weights=settings.learns_weights,
    )


def task_objective(
    config: Config, module: TaskMagnet, graph: LabelGraphArrays, apply_fn: ApplyFn
) -> LossFn:
    """The loss of several label sets: one loss per set, weighed as the settings say.

    Args:
        config: the run's settings.
        module: from `build_task_magnet`.
        graph: counts and priors of all labels.
        apply_fn: of the model.
    """
    settings = config.mixture
    sets = []
    for columns in map(np.asarray, module.columns):
        part = dataclasses.replace(
            graph, counts=graph.counts[columns], prior=graph.prior[columns]
        )
        sets.append(LabelSet(columns, choose_loss(config.loss, part)))
    weights = np.asarray(settings.task_weights or np.ones(len(sets)), np.float32)
    constrained = settings.kind == "l2_constrained"
    return label_sets_objective(
        apply_fn,
        sets,
        task_weights=weights,
        log_variance=(
            (lambda params: params[LOG_VARIANCE])
            if settings.weighting == "uncertainty"
            else None
        ),
        balance=settings.balance,
        constant=log_odds(jnp.asarray(graph.prior)),
        penalty=(
            (lambda params: settings.l2 * l2_constraint(params["mixture"]))
            if constrained
            else None
        ),
    )
