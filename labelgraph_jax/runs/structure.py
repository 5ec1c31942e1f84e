"""Knowledge about labels beside documents, as terms of the training loss."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.config import HIERARCHY_WEIGHTS, RULES_LEARNED, Config
from labelgraph_jax.data.batches.batches import BatchPlan, Examples
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.data.labels.taxonomy import closed_share
from labelgraph_jax.functional.checks import is_positive
from labelgraph_jax.functional.structure.hierarchy import (
    hierarchy_contrast,
    hierarchy_loss,
    recursive_regularisation,
)
from labelgraph_jax.functional.structure.overlap import label_overlap, overlap_contrast
from labelgraph_jax.functional.structure.rules import rule_loss
from labelgraph_jax.functional.structure.shield import shield_loss
from labelgraph_jax.predictors.hierarchy import lacking_ancestors
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.rules import rules_of
from labelgraph_jax.predictors.structure import (
    HierarchyChoice,
    choose_hierarchy,
    kinds_of,
)
from labelgraph_jax.runs.problem import Say
from labelgraph_jax.training.objectives import (
    ApplyFn,
    Batch,
    LossFn,
    LossSum,
    Params,
    multi_label_objective,
)
from labelgraph_jax.training.partners import (
    Partners,
    PartnersObjective,
    all_partners,
)


class Vectors(NamedTuple):
    """Logits of a batch, and what they are made of."""

    logits: jax.Array
    documents: jax.Array
    labels: jax.Array
    products: jax.Array


Term = Callable[[Vectors, Batch, jax.Array], jax.Array]
"""The sum over a batch's documents of what a term of the loss adds."""
PARTNERS = 256
"""Documents that each is compared with, earlier ones where a batch has fewer."""
BATCHES = 20
"""Batches whose documents are compared for the share of pairs that overlap partly."""


def with_structure(
    config: Config,
    labels: LabelSpace,
    classifier: Classifier,
    objective: Callable[[ApplyFn], LossFn],
) -> LossFn:
    """Add to a loss what is known of the labels, or use that of a hierarchy instead.

    The terms of a document count beside the sum over its labels.

    Args:
        config: resolved settings.
        labels: of the network.
        classifier: the network.
        objective: the loss without these terms, of a network.
    """
    # The loss of labels: as given, or that of a hierarchy or of a shield.
    terms = _terms(config, labels)
    if config.hierarchy.kind == "consistent":
        loss = partial(hierarchy_loss, parents=labels.parent_pairs())
        objective = partial(multi_label_objective, loss=loss)
    if classifier.shield is not None:
        loss = partial(shield_loss, clauses=classifier.shield)
        objective = partial(multi_label_objective, loss=loss)
    if not terms and not config.loss.contrast:
        return objective(classifier.apply)

    # Terms read logits, or vectors of documents and labels.
    def label_shape(params: Params) -> tuple[int, int]:
        count, features = jax.eval_shape(classifier.label_side, params)[0].shape
        return features, count

    reads_vectors = config.loss.contrast > 0 or config.hierarchy.weight is not None
    reads_vectors |= config.hierarchy.kind in HIERARCHY_WEIGHTS

    def losses(
        params: Params,
        batch: Batch,
        key: jax.Array,
        queue: Partners | None = None,
        axis_name: str | None = None,
    ) -> tuple[LossSum, Partners]:
        if reads_vectors:
            made = classifier.factors(params, batch, key=key, train=True)
            products = made.documents @ made.labels.T
            logits = products + made.bias
            vectors = Vectors(logits, made.documents, made.labels, products)
        else:
            logits = classifier.apply(params, batch, key=key, train=True)
            vectors = Vectors(logits, logits, logits, logits)
        # The loss of labels, the terms, and the contrast of documents.
        loss_sum, weight_sum = objective(lambda *_, **__: logits)(params, batch, key)
        more = [term(vectors, batch, key) for term in terms]
        every = jnp.ones(len(vectors.documents), bool)
        mask = jnp.asarray(batch.get("example_mask", every))
        own = Partners(vectors.documents, is_positive(batch["targets"]), mask)
        if config.loss.contrast:
            contrast, _ = overlap_contrast(
                vectors.documents,
                batch["targets"],
                **all_partners(own, queue, axis_name),
                label_vectors=vectors.labels,
                label_products=vectors.products,
                example_mask=mask,
            )
            more.append(config.loss.contrast * contrast)
        return (jnp.sum(jnp.stack([loss_sum, *more])), weight_sum), own

    if config.loss.contrast:
        return PartnersObjective(losses, queue_size(config), label_shape)
    return lambda params, batch, key: losses(params, batch, key)[0]


def queue_size(config: Config) -> int:
    """Return how many documents of earlier steps those of a batch are compared with."""
    training = config.training
    return max(0, PARTNERS - training.batch_size // training.micro_batches)


def _terms(config: Config, labels: LabelSpace) -> list[Term]:
    terms: list[Term] = []
    # A hierarchy over the vectors of labels.
    pairs, kind = labels.parent_pairs(), config.hierarchy.kind
    weight = config.hierarchy.weight or HIERARCHY_WEIGHTS.get(kind, 0.0)
    if kind == "regularised":
        terms.append(
            lambda vectors, batch, key: (
                weight
                * recursive_regularisation(vectors.labels, pairs)
                * _documents(batch)
            )
        )
    elif kind == "contrast":
        terms.append(
            lambda vectors, batch, key: (
                weight
                * hierarchy_contrast(vectors.labels, pairs, key)
                * _documents(batch)
            )
        )
    # Rules as a loss; hard ones only where nothing else obeys them.
    rules = rules_of(config.rules, labels.names)
    if rules is not None and config.rules.kind in ("auto", "shield"):
        rules = rules.chosen(hard=False)
    if rules is not None and rules.rules and config.rules.kind in RULES_LEARNED:
        clauses, weights = rules.clauses, rules.weights
        terms.append(
            lambda vectors, batch, key: (
                config.rules.weight
                * rule_loss(
                    vectors.logits,
                    clauses,
                    weights=weights,
                    example_mask=batch.get("example_mask"),
                )[0]
            )
        )
    return terms


def _documents(batch: Batch) -> float | jax.Array:
    """Return the number of documents in a batch; the rest is padding."""
    mask = batch.get("example_mask")
    if mask is None:
        return float(len(batch["targets"]))
    return jnp.sum(mask, dtype=jnp.float32)


def hierarchy_of_run(
    config: Config,
    vectors: Callable[[], np.ndarray],
    train: Examples,
    labels: LabelSpace,
    say: Say,
) -> HierarchyChoice:
    """Choose what a run makes of its taxonomy, on its training documents.

    Args:
        config: resolved settings, with hierarchy.kind='auto'.
        vectors: gives those of the training documents.
        train: their labels.
        labels: of the network.
        say: takes what was chosen, and why.

    Raises:
        DataError: as `choose_hierarchy`.
    """
    targets = train.targets.toarray()
    if train.target_mask is not None:
        targets = targets * train.target_mask
    found = choose_hierarchy(
        vectors(),
        targets,
        labels.parent_pairs(),
        kinds=kinds_of(config),
        thresholds=config.threshold,
        seed=config.training.seed,
    )
    say(f"hierarchy: {found['said']}")
    return found


def structure_notes(
    config: Config, labels: LabelSpace, train: Examples, *, alone: bool = True
) -> Iterator[str]:
    """Sentences on how the training documents suit what is known of the labels.

    Args:
        config: resolved settings.
        labels: of the network.
        train: the training documents.
        alone: no unlabelled documents stand beside them.
    """
    pairs = labels.parent_pairs()
    if config.threshold.consistent and (
        note := lacking_ancestors(labels, train.targets.toarray(), train.target_mask)
    ):
        yield note
    if config.hierarchy.kind != "none":
        share = closed_share(train.targets, pairs)
        if share < 0.5:
            yield (
                f"only {share:.0%} of the labels below another stand on a document "
                "with one above them, so the hierarchy says little of these documents; "
                "--taxonomy-targets closed makes another task of them, in which "
                "ancestors are labels too"
            )
    if config.loss.contrast:
        training = config.training
        share = partly_overlapping(train, training.batch_size, training.seed)
        size = queue_size(config) if alone else 0
        earlier = f"; {size} documents of earlier steps join each batch" * (size > 0)
        yield (
            f"{share:.1%} of the pairs in a batch of {training.batch_size} share some "
            f"labels but not all, which is what --loss.contrast learns from{earlier}"
        )


def partly_overlapping(examples: Examples, batch_size: int, seed: int) -> float:
    """Return the share of the pairs of a batch whose label sets overlap, but differ.

    Args:
        examples: what is trained on; some batches of it are looked at.
        batch_size: of the run.
        seed: of the run.
    """
    plan = BatchPlan(examples, batch_size=batch_size, seed=seed)
    sets = csr_array(examples.targets)
    partly = pairs = 0
    for rows in plan.epoch(0)[:BATCHES]:
        own = np.asarray(sets[rows].toarray())
        overlap = np.asarray(label_overlap(own, own))
        upper = overlap[np.triu_indices(len(own), 1)]
        partly += int(((upper > 0) & (upper < 1)).sum())
        pairs += len(upper)
    return partly / max(pairs, 1)
