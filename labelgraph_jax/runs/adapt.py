"""A run whose model will read documents of another distribution than it learns from."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.config import Config, ConfigError, DataConfig
from labelgraph_jax.config.adapt import without_document_vectors
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.batches.unlabelled import unlabelled_part
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.readers.texts import read_texts
from labelgraph_jax.functional.few_labels.pseudo_labels import (
    pseudo_labels,
    shrunk_prior,
)
from labelgraph_jax.functional.losses.elementwise import binary_cross_entropy
from labelgraph_jax.predictors.adapted import AdaptChoice, save_shift
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.many_labels import label_chunk
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.compare import FEWEST
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.lsa import lsa_vectors
from labelgraph_jax.runs.problem import Say
from labelgraph_jax.training.adaptation import KINDS, MOVING, fit_adapted, prior_odds
from labelgraph_jax.training.adaptation_choice import (
    COLLAPSED,
    choose_adaptation,
    information,
)
from labelgraph_jax.training.domains import (
    DOMAIN,
    PROJECTED,
    alignment,
    domain_parameters,
    domain_probe,
)
from labelgraph_jax.training.hosts import on_first
from labelgraph_jax.training.objectives import Batch, LossFn, Params, added_objective

MOST = 3_000
"""Documents of each side that a choice or a probe reads, drawn at random."""
DIMENSIONS = 100
"""Of the vectors of words that a choice reads."""
SHOWN = 10
"""Labels whose frequency moved most that the results name."""
UNSEEN = "no target label was used"
COLLAPSE = (
    "the adversary won: target predictions have collapsed to the prior; give a smaller "
    "adapt.weight, or adapt.kind='none'"
)


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """The way in which a run adapts to its target documents.

    Attributes:
        kind: one of `KINDS`.
        about: `asked`, `kind`, `reason`, and with `auto` what was measured.
        examples: target documents as the network reads them; of self-training with the
            targets that are learned.
        second: whether training reads them beside the labelled documents.
    """

    kind: str
    about: AdaptChoice
    examples: Examples

    @property
    def second(self) -> Examples | None:
        """Target documents that stand beside the source's in each batch, if any do."""
        return self.examples if self.kind in (*MOVING, "self") else None


def with_target(corpus: Corpus, config: DataConfig) -> Corpus:
    """The corpus with the target documents that the settings name, without labels.

    Raises:
        DataError: they cannot be read, or are too few.
    """
    if not config.target:
        return corpus
    # Target texts; their labels are looked for only to say that they are not read.
    source = dataclasses.replace(
        config, data=config.target, validation="", test="", task="", taxonomy=""
    )
    found = read_texts(config.target, options=config)
    if any(d.features is not None for d in found):
        raise DataError(f"{config.target}: must hold texts, got rows of features")
    try:
        given = read_corpus(source, split=False).train
    except DataError:  # without labels, as it should be
        given = ()
    different = {d.text.strip() for d in found}
    if len(different) < FEWEST:
        raise DataError(
            f"{config.target}: to adapt a model there must be at least {FEWEST} "
            f"different target texts, got {len(different)}"
        )
    # What is worth a note: labels, or texts that are all known.
    notes = list(corpus.notes)
    if labelled := sum(1 for d in given if d.labels):
        documents = counted(
            labelled, "target document has labels", "target documents have labels"
        )
        notes.append(f"{documents}, which are not read: {UNSEEN}")
    known = {d.text.strip() for d in corpus.train}
    if different <= known:
        notes.append(
            "every target text is a training text: source and target are the same, and "
            "there is nothing to adapt to"
        )
    bare = tuple(Document(d.id, d.text, (), source=d.source) for d in found)
    return dataclasses.replace(corpus, target=bare, notes=tuple(notes))


def adaptation(
    config: Config,
    corpus: Corpus,
    train: Examples,
    target: Examples,
    known: AdaptChoice | None,
    say: Say,
) -> Adaptation:
    """Choose how to adapt, unless that is settled.

    Args:
        config: resolved settings.
        corpus: with target documents.
        train: its training documents as the network reads them.
        target: its target documents likewise.
        known: what was chosen when the run began, where it goes on.
        say: is told what was chosen, and why.

    Raises:
        ConfigError: labels so many that they are scored in chunks.
    """
    settings = config.adapt
    labels = train.targets.shape[1]
    same = {d.text.strip() for d in corpus.target} <= {
        d.text.strip() for d in corpus.train
    }
    # A kind that reads all scores needs them at once.
    chunked = label_chunk(config, labels) > 0
    if chunked and settings.kind not in ("auto", "none"):
        raise ConfigError(
            f"adapt.kind='{settings.kind}' reads the scores of all labels, and here "
            "labels are scored in chunks: adapt.kind must be 'none', or "
            "head.label_chunk 0"
        )
    about: AdaptChoice = known or {}
    vectors: tuple[np.ndarray, np.ndarray] | None = None

    def words() -> tuple[np.ndarray, np.ndarray]:
        nonlocal vectors
        if vectors is None:
            vectors = _by_words(corpus.train, corpus.target)
        return vectors

    # The kind: as it was settled before, as asked, or chosen by words.
    truth = _dense(train.targets)
    if not about:
        kind, reason = str(settings.kind), "it was asked for"
        measured: AdaptChoice = {}
        if not settings.weight:
            kind, reason = "none", "adapt.weight is 0"
        elif same:
            kind, reason = "none", "source and target are the same"
        elif kind == "auto":
            say("choosing how to adapt, by words, without a label of the target")
            kind, reason, measured = _chosen(config, chunked, *words(), truth)
        about = {
            "asked": settings.kind,
            "kind": kind,
            "reason": reason,
            "selection": UNSEEN,
            **measured,
        }
    # Say so; self-training also needs pseudo-labels of the target.
    documents = counted(len(corpus.target), "target document")
    say(f"adaptation to {documents}: {about['kind']}; {about['reason']}; {UNSEEN}")
    if about["kind"] == "self":
        target = _pseudo_labelled(target, *words(), truth)
    return Adaptation(about["kind"], about, target)


def _chosen(
    config: Config,
    chunked: bool,
    source: np.ndarray,
    target: np.ndarray,
    truth: np.ndarray,
) -> tuple[str, str, AdaptChoice]:
    if chunked:
        return "none", "labels are scored in chunks", {}
    seed = config.training.seed
    kinds = [kind for kind in KINDS if kind not in MOVING]
    if config.head.kind == "recurrent":
        kinds = ["none"]
    elif not without_document_vectors(config):
        kinds = list(KINDS)
    rng = np.random.default_rng(seed)
    near, far = (
        np.sort(rng.permutation(len(side))[:MOST]) for side in (source, target)
    )
    found = choose_adaptation(
        source[near], truth[near], target[far], jax.random.key(seed), kinds=kinds
    )
    return (
        found.kind,
        found.reason,
        {
            "domain_accuracy_of_words": round(found.accuracy, 4),
            "effective_documents": round(found.effective, 1),
            "gains": {
                kind: [round(value, 2) for value in gain]
                for kind, gain in found.gains.items()
            },
        },
    )


def _by_words(
    source: Sequence[Document], target: Sequence[Document]
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of the words of both sides, of one decomposition."""
    texts = [document.text for document in (*source, *target)]
    vectors = lsa_vectors(texts, dimensions=DIMENSIONS)
    return vectors[: len(source)], vectors[len(source) :]


def _dense(targets: np.ndarray | csr_array) -> np.ndarray:
    dense = targets.toarray() if hasattr(targets, "toarray") else targets
    return np.asarray(dense, np.float32)


def _pseudo_labelled(
    examples: Examples, source: np.ndarray, target: np.ndarray, truth: np.ndarray
) -> Examples:
    """Target documents with the labels that a linear teacher of words is surest of."""
    key = jax.random.key(0)
    teacher = fit_adapted("self", source, truth, target, key)
    prior = shrunk_prior(truth.sum(axis=0), len(truth))
    found = pseudo_labels(teacher.probabilities(target), prior)
    return dataclasses.replace(
        examples,
        targets=np.asarray(found.targets),
        target_mask=np.asarray(found.target_mask),
    )


def first_parameters(
    params: Params,
    config: Config,
    classifier: Classifier,
    how: Adaptation | None,
    batch: Batch,
    key: jax.Array,
) -> Params:
    """The first parameters, with those of a classifier of domains if there is one."""
    if how is None or how.kind != "adversarial":
        return params
    shape = jax.eval_shape(classifier.document_side, params, batch).shape
    read = PROJECTED if config.adapt.conditional else shape[-1]
    return {**params, DOMAIN: domain_parameters(read, jax.random.fold_in(key, 2))}


def adapted_objective(
    objective: LossFn, config: Config, classifier: Classifier, how: Adaptation | None
) -> LossFn:
    """The objective with what the target documents add to it."""
    if how is None or how.second is None:
        return objective
    settings, labels = config.adapt, len(classifier.graph.counts)
    if how.kind == "self":

        def learned(params: Params, batch: Batch, key: jax.Array) -> jax.Array:
            part = unlabelled_part(batch)
            logits = classifier.apply(params, part, key=key, train=True)
            loss_sum, cells = binary_cross_entropy(
                logits,
                part["targets"],
                target_mask=part["target_mask"],
                example_mask=part["example_mask"],
            )
            return loss_sum / jax.numpy.maximum(cells, 1.0)

        return added_objective(objective, learned, settings.weight)

    def vectors(
        params: Params, batch: Batch, *, key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        found = classifier.factors(params, batch, key=key, train=True)
        logits = found.documents @ found.labels.T + found.bias
        return found.documents, logits

    extra = alignment(
        vectors,
        how.kind,
        labels=labels,
        weight=settings.weight,
        conditional=settings.conditional,
    )
    return added_objective(objective, extra)


def correct_priors(
    place: Workdir, model: LabelModel, corpus: Corpus, how: Adaptation
) -> bool:
    """Keep in a work directory what a correction of label frequencies adds to logits.

    Returns:
        Whether there is one: the model is to be loaded again.
    """
    if how.kind != "prior":
        return False
    scores = model.predict_examples(corpus.target, how.examples).probabilities
    odds = prior_odds(scores, np.asarray(model.classifier.graph.prior, np.float32))
    on_first(lambda: save_shift(place, model.labels, odds))
    return True


def adaptation_results(model: Model, corpus: Corpus, how: Adaptation) -> AdaptChoice:
    """Return what results.json says of an adaptation, measured without a target label.

    Args:
        model: trained, and corrected.
        corpus: with target documents.
        how: the run adapts.
    """
    found: AdaptChoice = {**how.about, "target_documents": len(corpus.target)}
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(corpus.train))[:MOST])
    near = [corpus.train[i] for i in rows]
    far_rows = np.sort(rng.permutation(len(corpus.target))[:MOST])
    far = [corpus.target[i] for i in far_rows]
    key = jax.random.key(0)
    before = _by_words(near, far)
    accuracy: dict[str, float] = {"words": domain_probe(*before, key)[0]}
    if not model.label_chunk and model.config.head.kind == "product":
        if model.config.mixture.kind == "none":
            network = model.network
            assert isinstance(network, LabelModel)
            after = [network.read(side) for side in (near, far)]
            accuracy["document_vectors"] = domain_probe(after[0], after[1], key)[0]
        mean = model.predict_proba([d.text for d in far])
        own = model.predict_proba([d.text for d in near])
        moved = np.argsort(-np.abs(mean.mean(axis=0) - own.mean(axis=0)))[:SHOWN]
        found["predicted_shares"] = {
            model.labels[i]: [
                round(float(own[:, i].mean()), 4),
                round(float(mean[:, i].mean()), 4),
            ]
            for i in moved
        }
        if how.kind in MOVING and information(mean) < COLLAPSED * information(own):
            found["warning"] = COLLAPSE
    found["domain_accuracy"] = {k: round(v, 4) for k, v in accuracy.items()}
    return found


def sentence(found: AdaptChoice) -> str:
    """One sentence on an adaptation, from what results.json says of it."""
    accuracy = found["domain_accuracy"]
    after = accuracy.get("document_vectors")
    told = f"tells the domains apart by words with accuracy {accuracy['words']:.2f}"
    if after is not None:
        told += f", by the model's document vectors with {after:.2f}"
    return (
        f"adaptation {found['kind']} ({found['asked']} was asked for; "
        f"{found['reason']}; {found['selection']}); a fresh classifier {told}"
    )
