"""Documents without labels beside the labelled ones.

What is learned from them, and what they changed.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.config.semi import require_unlabelled
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Corpus, DataError, Document, LabelSpace
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.predictors.documents import AnyTokenizer
from labelgraph_jax.predictors.few_labels import KINDS, LEAST_DOCUMENTS, choose_semi
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.network import INPUT_VECTORS, Classifier
from labelgraph_jax.predictors.static_encoder import StaticEncoder
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.lsa import lsa_vectors
from labelgraph_jax.runs.problem import Say
from labelgraph_jax.runs.rivals import decided_by, differences, label_f1
from labelgraph_jax.training.few_labels import Kind, PseudoTargets
from labelgraph_jax.training.objectives import Batch, LossFn, Params, added_objective
from labelgraph_jax.training.unlabelled import (
    adversarial_loss,
    pseudo_label_loss,
    teacher_targets,
)

DIMENSIONS = 200
"""Of document vectors where no pretrained encoder gives them."""
SHOWN = 3
"""Ids in a message."""
BANDS = (("1 to 4", 1, 4), ("5 to 19", 5, 19), ("20 or more", 20, np.inf))
"""Labels by their labelled training documents."""
SUPERVISED = "without the unlabelled documents"


@dataclass(frozen=True)
class Semi:
    """The documents without labels, and how a run learns from them.

    Attributes:
        kind: of `SemiConfig`, the chosen one; never auto.
        said: how it was chosen; empty where it was asked for.
        documents, examples: without labels; the targets of the examples are what they
            are thought to have.
        guess: what a linear head on document vectors thinks of them; None where nothing
            is learned.
    """

    kind: str
    said: str
    documents: tuple[Document, ...]
    examples: Examples
    guess: PseudoTargets | None

    @property
    def stream(self) -> Examples | None:
        """The documents that stand beside the labelled ones of a batch."""
        return None if self.guess is None else self.examples

    @property
    def _learned(self) -> np.ndarray:
        """Labels that a labelled document carries: of others nothing is learned."""
        assert self.guess is not None
        return self.guess.prior > 0

    def objective(
        self, labelled: LossFn, classifier: Classifier, weight: float
    ) -> LossFn:
        """The loss of the labelled documents, and what is added to it."""
        if self.guess is None:
            return labelled
        if self.kind == "vat":
            extra = adversarial_loss(
                classifier.apply, classifier.looked_up, INPUT_VECTORS, self._learned
            )
        else:
            extra = pseudo_label_loss(classifier.apply)
        return added_objective(labelled, extra, weight)

    def teacher(
        self, classifier: Classifier
    ) -> Callable[[Params, Batch], Batch] | None:
        """Return what puts the probabilities of averaged parameters into a batch."""
        if self.kind != "teacher":
            return None
        return teacher_targets(classifier.apply, self._learned)


def usable_documents(config: Config, corpus: Corpus, say: Say) -> tuple[Document, ...]:
    """The documents without labels that can be learned from.

    Raises:
        DataError: none is left, they stand in a split that measures, or there are too
            few labelled ones.
        ConfigError: settings for such documents, and there is none.
    """
    # Texts that are no training document, each of them once.
    given, name = corpus.unlabelled, config.data.unlabelled or corpus.name
    if not given and not config.data.unlabelled:
        require_unlabelled(config.semi)
        return ()
    known = {document.content for document in corpus.train}
    found = {d.content: d for d in given if d.text.strip() and d.content not in known}
    documents = tuple(found.values())
    if not documents:
        raise DataError(
            f"{name}: there must be a text without labels that is no training "
            f"document; got none of {counted(len(given), 'document')}"
        )
    # None may be measured on, unless that is allowed.
    measured = {
        d.content: f"{split} document {d.id}"
        for split in ("validation", "test")
        for d in corpus.splits[split]
    }
    leaks = [d for d in documents if d.content in measured]
    if leaks and not config.semi.allow_overlap:
        shown = ", ".join(f"{d.id} ({measured[d.content]})" for d in leaks[:SHOWN])
        more = f" and {len(leaks) - SHOWN:,} more" if len(leaks) > SHOWN else ""
        raise DataError(
            f"{name}: no text without labels must stand in the validation or test "
            f"split; got {shown}{more}; --semi.allow-overlap learns from them "
            "nevertheless"
        )
    # There must be labelled documents to judge by.
    if len(corpus.train) < LEAST_DOCUMENTS:
        raise DataError(
            f"{corpus.name}: documents without labels need at least {LEAST_DOCUMENTS} "
            f"labelled training documents, on which their worth is found out; got "
            f"{len(corpus.train)}"
        )
    if left_out := len(given) - len(documents):
        say(
            f"{name}: {counted(left_out, 'text is', 'texts are')} blank, given twice "
            "or a training document, and left out"
        )
    return documents


def document_vectors(
    config: Config,
    encoder: FrozenEncoder | StaticEncoder | None,
    tokenizer: AnyTokenizer,
    corpus: Corpus,
    others: Sequence[Document],
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of length 1 of the training documents and of others.

    They are of a pretrained or static encoder, or made by TF-IDF and a truncated SVD
    over both.
    """
    count, texts = len(corpus.train), [d.text for d in (*corpus.train, *others)]
    if encoder is not None and isinstance(tokenizer, Tokenizer):
        length = config.text.max_length
        vectors = encoder.document_vectors(texts, tokenizer, max_length=length)
    else:
        vectors = lsa_vectors(texts, dimensions=DIMENSIONS, seed=config.training.seed)
    return vectors[:count], vectors[count:]


def learn_unlabelled(
    config: Config,
    corpus: Corpus,
    documents: tuple[Document, ...],
    labels: LabelSpace,
    examples: Examples,
    vectors: Callable[[], tuple[np.ndarray, np.ndarray]],
    say: Say,
) -> Semi:
    """Decide what is learned from documents without labels.

    Args:
        config: resolved settings.
        corpus: whose training documents are labelled.
        documents: those without labels.
        labels: of the model.
        examples: the same ones, as the model reads them.
        vectors: of the training documents and of these, for a linear head.
        say: takes what was found out.
    """
    # Refuse labels in chunks; leave where nothing is asked for.
    if examples.sparse_targets:
        raise ConfigError(
            "documents without labels need the scores of all labels: head.label_chunk "
            "must be 0"
        )
    semi, seed = config.semi, config.training.seed
    if semi.kind == "none" or not semi.weight:
        return Semi("none", "", documents, examples, None)
    # How to learn, cross-fitted on the labelled documents.
    targets = labels.targets(corpus.train)[0]
    mask = labels.target_mask(corpus.train)
    if mask is not None:
        targets = targets * mask
    own, others = vectors()
    tried: tuple[Kind, ...] = KINDS if semi.kind == "auto" else (semi.kind,)
    choice = choose_semi(
        own, targets, others, kinds=tried, seed=seed, thresholds=config.threshold
    )
    kind, said = tried[0], ""
    if semi.kind == "auto":
        kind, said = choice.kind, choice.said
        say(f"documents without labels: {said}")
    if kind == "none":
        return Semi("none", said, documents, examples, None)
    # What documents without labels are thought to have.
    guess = choice.pseudo[kind]
    if kind in ("cap", "graph"):
        examples = dataclasses.replace(
            examples, targets=guess.targets, target_weights=guess.weights
        )
    silent = [n for n, p in zip(labels.names, guess.prior, strict=True) if not p > 0]
    if silent:
        shown = ", ".join(silent[:SHOWN]) + ", ..." * (len(silent) > SHOWN)
        say(
            f"{counted(len(silent), 'label has', 'labels have')} no labelled document "
            f"and never {'gets' if len(silent) == 1 else 'get'} a pseudo-positive: "
            f"{shown}"
        )
    say(
        f"learning from {counted(len(documents), 'document')} without labels by "
        f"'{kind}', {semi.ratio} beside each labelled one"
    )
    return Semi(kind, said, documents, examples, guess)


def semi_results(semi: Semi, labels: Sequence[str], model: Model) -> dict[str, Any]:
    """Return what results.json says of the documents without labels.

    Of each label `prior` is its share of the labelled documents, drawn to the mean,
    `pseudo_positives` how many of the others it was thought to stand on, and
    `expected_precision` the share of these that is right, by labelled documents that
    were held back; `predicted` the share of the documents without labels that the
    trained model gives the label, `drift` that minus the prior.
    """
    found: dict[str, Any] = {
        "kind": semi.kind,
        "documents": len(semi.documents),
        "said": semi.said,
    }
    guess = semi.guess
    if guess is None:
        return found
    plain = dataclasses.replace(semi.examples, target_weights=None)
    predictions = model.predict_examples(semi.documents, plain).decide(model.decision)
    assert predictions.decided is not None
    predicted = np.asarray(predictions.decided).mean(axis=0)[: len(labels)]
    columns = {
        "prior": guess.prior,
        "pseudo_positives": guess.positives,
        "expected_precision": guess.precision,
        "predicted": predicted,
        "drift": predicted - guess.prior,
    }
    found["labels"] = {
        name: {key: _plain(values[i]) for key, values in columns.items()}
        for i, name in enumerate(labels)
    }
    return found


def _plain(value: np.number) -> float | None:
    if np.issubdtype(np.asarray(value).dtype, np.integer):
        return int(value)
    return None if np.isnan(value) else round(float(value), 4)


def compared(
    place: Workdir, supervised: Workdir, corpus: Corpus, labels: LabelSpace
) -> dict[str, Any]:
    """Compare a run with the same one without unlabelled documents, on the test split.

    Returns:
        `metrics` and `label_f1` of the other, `differences` to it with intervals, and
        these `bands` of labels by their labelled training documents.
    """
    truth = csr_array(labels.targets(corpus.test)[0])
    known = labels.target_mask(corpus.test)
    own, other = (decided_by(run, corpus.test) for run in (place, supervised))
    found = differences(own, {SUPERVISED: other}, truth, known)
    counts = labels.targets(corpus.train)[0].sum(axis=0)
    bands = {}
    for band, least, most in BANDS:
        columns = np.flatnonzero((counts >= least) & (counts <= most))
        if not len(columns) or not truth[:, columns].sum():
            continue
        cells = (csr_array(x[:, columns]) for x in (own, other, truth))
        mine, theirs, true = cells
        seen = None if known is None else known[:, columns]
        bands[band] = {
            "labels": len(columns),
            **differences(mine, {SUPERVISED: theirs}, true, seen)[SUPERVISED],
        }
    return {
        "metrics": {SUPERVISED: supervised.results()["test"]["metrics"]},
        "differences": found,
        "label_f1": {SUPERVISED: label_f1(other, truth, known)},
        "bands": bands,
    }
