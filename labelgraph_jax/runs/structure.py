"""What is known of labels beside documents, in training: terms of the loss."""

from collections.abc import Callable

import jax

from labelgraph_jax.config import Config
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.functional.structure.rules import rule_loss
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.rules import rules_of
from labelgraph_jax.training.objectives import ApplyFn, Batch, LossFn, LossSum, Params


def with_structure(
    config: Config,
    labels: LabelSpace,
    classifier: Classifier,
    objective: Callable[[ApplyFn], LossFn],
) -> LossFn:
    """Add to a loss what is known of the labels.

    The terms of a document count beside the sum over its labels.

    Args:
        config: resolved settings.
        labels: of the network.
        classifier: the network.
        objective: the loss without these terms, of a network.
    """
    rules = rules_of(config.rules, labels.names)
    if rules is not None and config.rules.kind != "loss":
        rules = rules.chosen(hard=False) if config.rules.kind == "auto" else None
    if rules is None or not rules.rules:
        return objective(classifier.apply)
    clauses, weights = rules.clauses, rules.weights

    def loss_fn(params: Params, batch: Batch, key: jax.Array) -> LossSum:
        logits = classifier.apply(params, batch, key=key, train=True)
        loss_sum, weight_sum = objective(lambda *_, **__: logits)(params, batch, key)
        more, _ = rule_loss(
            logits, clauses, weights=weights, example_mask=batch.get("example_mask")
        )
        return loss_sum + config.rules.weight * more, weight_sum

    return loss_fn
