"""A model, a text -> why these labels."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from labelgraph_jax.config import ConfigError
from labelgraph_jax.config.settings import short, whole_number
from labelgraph_jax.config.wording import nearest_names
from labelgraph_jax.data.documents import Document
from labelgraph_jax.functional.many_labels.label_lists import scores_at
from labelgraph_jax.inspection.explain.attribute import METHODS, Method
from labelgraph_jax.inspection.explain.explanation import Explanation
from labelgraph_jax.inspection.explain.label_explanation import (
    LabelExplanation,
    MemoryShare,
    NearDocument,
)
from labelgraph_jax.inspection.explain.neighbours import (
    Received,
    named_neighbours,
    received_by,
    why_no_neighbours,
)
from labelgraph_jax.inspection.explain.training_documents import (
    TrainingDocuments,
    document_vectors,
    training_documents,
)
from labelgraph_jax.inspection.explain.words import WordSums, explain_words
from labelgraph_jax.inspection.titles import title_of_number
from labelgraph_jax.modules.magnet import Magnet
from labelgraph_jax.predictors.documents import Texts
from labelgraph_jax.predictors.network import MODEL_INPUTS
from labelgraph_jax.runs.restore import require_model
from labelgraph_jax.training.local_batches import own_batches

if TYPE_CHECKING:
    from labelgraph_jax.predictors.model import Model

STEPS = 32
NEIGHBOURS = 5
DOCUMENTS = 5

Say = Callable[[str], None]


class ExplainError(ValueError):
    """A request for an explanation that cannot be given."""


def explain(
    model: "Model",
    text: Texts | Document,
    labels: Sequence[str] | None = None,
    *,
    top_k: int = 0,
    method: Method = "integrated-gradients",
    steps: int = STEPS,
    neighbours: int = NEIGHBOURS,
    documents: int = DOCUMENTS,
    say: Say = lambda line: None,
) -> Explanation:
    """Explain the predictions of a model for one document.

    Args:
        model: from `lg.load`; it reads texts, or features.
        text: one text, or of a model that reads features one row of them.
        labels: which labels to explain, predicted or not; those predicted by default,
            and the most probable one where none is.
        top_k: in place of them the k most probable labels.
        method: integrated-gradients, which adds up; or gradient-x-input, one gradient.
        steps: points on the path; doubled, up to 512, until it adds up.
        neighbours: labels to name that a label receives from; 0 for none.
        documents: training documents to name; 0 for none. The first call encodes
            all training documents and keeps their vectors in the work directory.
        say: takes one line about what takes its time.

    Raises:
        ExplainError: no text, several, no word that could be explained; a label that
            the model does not have; a method that is unknown, or a negative number.
        DataError: the text is not one that the model can read, or it is no model of
            texts.
    """
    # The document, and the labels to explain.
    require_model(model, "explain")
    _check(method, steps, top_k, neighbours, documents)
    document = _one_document(model, text)
    notes: list[str] = []
    chosen, probabilities, predicted = _choose(model, document, labels, top_k, notes)
    trained = len(model.classifier.graph.counts)
    columns = np.asarray([model.label_space.index[name] for name in chosen])
    known = columns[columns < trained]
    # What each word adds to the logits of trained labels.
    traced, sums, read, without = explain_words(
        model, document, known, method=method, steps=steps
    )
    if not traced.names:
        notes.append(
            "no word of this text is known to the model: all that speaks is "
            "what it says of any document"
        )
    by_column = dict(zip(known.tolist(), sums, strict=True))
    # What labels receive from others, and the nearest training documents.
    received = received_by(model, known) if neighbours else {}
    store, near = _training(model, document, documents, notes, say)
    vector = _document_vector(model, document) if received else None
    # Every label by itself.
    found = tuple(
        _label(
            model,
            int(column),
            predicted=name in predicted,
            probability=probabilities[name],
            sums=by_column.get(int(column)),
            received=received.get(int(column)),
            neighbours=neighbours,
            store=store,
            vector=vector,
            memory=_memory_share(model, document, int(column), by_column),
        )
        for name, column in zip(chosen, columns, strict=True)
    )
    if neighbours and not received:
        notes.append(why_no_neighbours(model))
    gates = _gates(model, document)
    return Explanation(
        text=document.text,
        spans=traced.words,
        words=traced.names,
        labels=found,
        documents=near,
        gates=gates,
        read=read,
        baseline=without,
        notes=tuple(notes),
    )


def _check(
    method: str, steps: int, top_k: int, neighbours: int, documents: int
) -> None:
    if not isinstance(method, str) or method not in METHODS:
        raise ExplainError(
            f"method must be one of {', '.join(METHODS)}, got {method!r}"
        )
    counts = {"top_k": top_k, "neighbours": neighbours, "documents": documents}
    try:
        whole_number(steps, "steps")
        for name, count in counts.items():
            whole_number(count, name, 0)
    except ConfigError as error:
        raise ExplainError(str(error)) from None


def _one_document(model: "Model", text: Texts | Document) -> Document:
    documents = model.documents(text)  # type: ignore[arg-type]
    if len(documents) != 1:
        raise ExplainError(
            f"one document is explained at a time, got {len(documents)}; "
            "`labelgraph predict` takes many"
        )
    document = documents[0]
    empty = document.features is None and not document.text.strip()
    if empty or (document.features is not None and not len(document.features.ids)):
        raise ExplainError("the document is empty: there is nothing to explain")
    return document


def _choose(
    model: "Model",
    document: Document,
    labels: Sequence[str] | None,
    top_k: int,
    notes: list[str],
) -> tuple[list[str], dict[str, float], set[str]]:
    """Return the labels to explain, the probabilities, and the predicted labels."""
    # Labels that are named must be known.
    if labels and top_k:
        raise ExplainError("name labels, or ask for the top_k: not both")
    labels = [labels] if isinstance(labels, str) else labels
    if labels is not None and not isinstance(labels, Collection):
        raise ExplainError(f"labels must be names in a list, got {short(labels)}")
    asked = list(dict.fromkeys(labels or ()))
    for name in asked:
        if not isinstance(name, str):
            raise ExplainError(f"a label must be a name, got {short(name)}")
        if name not in model.label_space.index:
            raise ExplainError(_unknown(name, model.labels))
    # The prediction, best labels first.
    predictions = model.predict_documents([document])[1].decide(model.decision)
    ids, scores, decided = next(predictions.best_first())
    names = [model.labels[i] for i in ids]
    predicted = [name for name, yes in zip(names, decided, strict=True) if yes]
    probabilities = dict(zip(names, map(float, scores), strict=True))
    # The labels asked for, else those predicted, else the most probable one.
    if top_k:
        order = sorted(probabilities, key=lambda name: -probabilities[name])
        chosen = order[:top_k]
    elif asked:
        chosen = asked
    elif predicted:
        chosen = predicted
    else:
        chosen = [max(probabilities, key=lambda name: probabilities[name])]
        notes.append("no label is predicted; this is the most probable one")
    # Probabilities of labels that the prediction does not list.
    missing = [name for name in chosen if name not in probabilities]
    if missing:
        columns = np.asarray([[model.label_space.index[name] for name in missing]])
        scores = predictions.scores_at(slice(0, 1), columns)[0]
        probabilities |= dict(zip(missing, map(float, scores), strict=True))
    return chosen, {name: probabilities[name] for name in chosen}, set(predicted)


def _unknown(name: str, labels: Sequence[str]) -> str:
    lower = {label.lower(): label for label in labels}
    near = nearest_names(name.lower(), lower, count=3, cutoff=0.5)
    near += [low for low in lower if name.lower() in low and low not in near]
    meant = ", ".join(repr(lower[found]) for found in near[:5])
    said = f"the model has no label {name!r}"
    return said + (f"; near it are {meant}" if meant else f" among its {len(labels):,}")


def _label(
    model: "Model",
    column: int,
    *,
    predicted: bool,
    probability: float,
    sums: WordSums | None,
    received: Received | None,
    neighbours: int,
    store: TrainingDocuments | None,
    vector: np.ndarray | None,
    memory: MemoryShare | None,
) -> LabelExplanation:
    name = model.labels[column]
    threshold = float(model.decision.thresholds[column])
    # What is known of any label.
    basis: dict[str, Any] = {
        "label": name,
        "title": title_of_number(name, model.label_space),
        "predicted": predicted,
        "probability": probability,
        "threshold": None if model.decision.kind == "top_k" else threshold,
        "memory": memory,
    }
    # Without training documents there is no logit to explain.
    if sums is None:
        note = (
            "no training document carries this label: its probability comes from its "
            "text and the memory alone, and no word of the document has a part in a "
            "logit"
        )
        return LabelExplanation(**basis, note=note)
    # What it receives from its neighbours.
    if received is not None:
        named, itself = named_neighbours(model, received, neighbours, store)
        basis |= {"neighbours": named, "itself": itself}
        if received.message is not None and vector is not None:
            basis["message"] = float(received.message @ vector)
    return LabelExplanation(
        **basis,
        logit=sums.logit,
        baseline_logit=sums.baseline_logit,
        words=tuple(float(value) for value in sums.words),
        frame=sums.frame,
        check=sums.check,
        other=sums.other,
    )


def _document_vector(model: "Model", document: Document) -> np.ndarray | None:
    if hasattr(model, "members") or not isinstance(model.classifier.module, Magnet):
        return None
    batch = _batch(model, document)
    return np.asarray(jax.jit(model.classifier.document_side)(model.params, batch)[0])


def _batch(model: "Model", document: Document) -> dict[str, np.ndarray]:
    (batch,) = own_batches(model.encode([document]).examples, batch_size=1)
    return {name: batch[name] for name in MODEL_INPUTS if name in batch}


def _gates(model: "Model", document: Document) -> dict[str, tuple[float, ...]]:
    """The weight of every expert for this document, per label set."""
    if hasattr(model, "members") or not model.classifier.has_gates:
        return {}
    weights = jax.jit(model.classifier.gate_weights)(
        model.params, _batch(model, document)
    )[0]
    names = model.task_names if len(weights) == len(model.task_names) else ("all sets",)
    return {
        name: tuple(float(weight) for weight in row)
        for name, row in zip(names, np.asarray(weights), strict=True)
    }


def _training(
    model: "Model", document: Document, count: int, notes: list[str], say: Say
) -> tuple[TrainingDocuments | None, tuple[NearDocument, ...]]:
    """The training documents, and the nearest to one.

    For an ensemble, as the member with the largest weight reads them.
    """
    if not count:
        return None, ()
    reader = model
    if members := getattr(model, "members", None):
        reader = members[int(np.argmax(model.weights))]  # type: ignore[attr-defined]
    store, why = training_documents(reader, say=say)
    if store is None:
        notes.append(why)
        return None, ()
    query = document_vectors(reader, reader.encode([document]).examples)[0]
    if not query.any():
        notes.append("the document has no vector to compare with training documents")
        return store, ()
    found = []
    for row, similarity in store.nearest(query, count):
        columns = store.labels[row]
        names = tuple(model.labels[c] for c in columns[columns >= 0].tolist())
        start = str(store.starts[row])
        found.append(NearDocument(str(store.ids[row]), names, start, similarity))
    return store, tuple(found)


def _memory_share(
    model: "Model", document: Document, column: int, sums: dict[int, WordSums]
) -> MemoryShare | None:
    memory = model.memory
    if memory is None:
        return None
    examples = model.encode([document]).examples
    queries = memory.queries([document], examples)
    unseen = np.flatnonzero(memory.unseen == column)
    if len(unseen):
        said = float(memory.text_probabilities(queries)[0, unseen[0]])
        return MemoryShare(1.0, 0.0, said)
    own = float(expit(sums[column].logit))
    weight = float(memory.choice.weight)
    if not weight:
        return MemoryShare(0.0, own, 0.0)
    ids = jnp.asarray([[column]])
    scores: jax.Array = scores_at(memory.found(queries), ids)
    return MemoryShare(weight, own, float(scores[0, 0]))
