"""A trained model whose labels are scored in chunks: its best labels, its metrics."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.sharding import Mesh
from scipy.sparse import csr_array

from labelgraph_jax.config import Config
from labelgraph_jax.data.documents import Document
from labelgraph_jax.predictors.evaluation import KS, summary
from labelgraph_jax.predictors.group_results import measure_groups_ranked
from labelgraph_jax.predictors.kept_predictions import KeptPredictions, keep_ranked
from labelgraph_jax.predictors.memory.metrics import (
    added_label_metrics_ranked,
    with_unknown_labels,
)
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.ranked_decisions import (
    cut_documents,
    decide_ranked,
    measure_ranked,
)
from labelgraph_jax.training.many_labels import (
    PlacedModel,
    RankFn,
    TopLabels,
    compile_top_labels,
)

if TYPE_CHECKING:
    from labelgraph_jax.predictors.label_model import Model

GATHERED = 8
"""Documents whose labels' vectors are gathered at a time."""
Scored = list[tuple[str, float]]
"""Labels with their probabilities."""

__all__ = [
    "RankFn",
    "chosen_and_top",
    "compile_ranking",
    "evaluate_ranked",
    "ranked_labels",
    "ranked_rows",
    "scores_of_labels",
    "top_of_texts",
    "top_rows",
]


def compile_ranking(
    config: Config,
    classifier: Classifier,
    labels: int,
    chunk: int,
    mesh: Mesh | None = None,
) -> RankFn:
    """What finds the most probable labels of a batch of documents."""
    return compile_top_labels(
        classifier.document_side,
        classifier.label_side,
        mesh,
        k=min(config.head.kept_labels, labels),
        chunk=chunk,
    )


def scores_of_labels(
    placed: PlacedModel, vectors: np.ndarray
) -> Callable[[slice, np.ndarray], np.ndarray]:
    """`at(rows, ids)` -> the probabilities of some labels of each document `[B, C]`.

    Args:
        placed: label vectors on the devices.
        vectors: of the documents `[M, D]`.
    """

    def at(rows: slice, ids: np.ndarray) -> np.ndarray:
        own = vectors[rows], np.maximum(ids, 0)
        return np.asarray(_gathered_scores(placed.labels, placed.bias, *own))

    return at


@jax.jit
def _gathered_scores(
    labels: jax.Array, bias: jax.Array, documents: jax.Array, ids: jax.Array
) -> jax.Array:
    def row(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        document, own = pair
        return jax.nn.sigmoid(labels[own] @ document + bias[own])

    # A few documents at a time: each gathers the vectors of its own labels.
    return jax.lax.map(row, (documents, ids), batch_size=GATHERED)


def evaluate_ranked(
    model: "Model",
    documents: Sequence[Document],
    *,
    batch_size: int | None = None,
    keep: Callable[[KeptPredictions], None] | None = None,
) -> dict[str, Any]:
    """Metrics of labelled documents, as `Model.evaluate`.

    LRAP and mAP need the scores of all labels and are not among them.
    """
    encoded, top = model.rank_documents(documents, batch_size=batch_size)
    top = with_missing_last(top, model.label_space.missing_sets(documents))
    truth = encoded.examples.targets
    graph = with_unknown_labels(model.classifier.graph, len(model.labels))
    present = np.zeros(len(model.labels), bool)
    present[truth.indices] = True
    if keep is not None:
        decided = decide_ranked(model.decision, top)
        keep(keep_ranked(documents, *top, decided, truth))
    found = summary(
        documents,
        encoded.truncated,
        encoded.unseen,
        measure_ranked(top, truth, model.decision, graph, KS),
        {},
        model.decision,
        int((~present).sum()),
    )
    if model.memory is not None and len(model.memory.added):
        decided = decide_ranked(model.decision, top)
        found["added_labels"] = added_label_metrics_ranked(
            top, truth, decided, model.memory
        )
    return found | {
        "groups": measure_groups_ranked(top, truth, graph.counts),
        "kept_labels": top.ids.shape[1],
        "cut_documents": cut_documents(model.decision, top, len(model.labels)),
    }


def with_missing_last(top: TopLabels, missing: csr_array | None) -> TopLabels:
    """The lists with labels at their end, at probability 0, that are not annotated for
    the document: they stand in nobody's way, and are no hits.

    Args:
        top: the best labels of M documents.
        missing: bool [M, N], see `LabelSpace.missing_sets`; None where there are none.
    """
    if missing is None:
        return top
    ids, probabilities = top.ids.copy(), top.probabilities.copy()
    for row in np.flatnonzero(np.diff(missing.indptr)):
        own = missing.indices[missing.indptr[row] : missing.indptr[row + 1]]
        away = np.isin(ids[row], own)
        order = np.argsort(away, kind="stable")
        ids[row] = ids[row][order]
        probabilities[row] = np.where(away, 0, probabilities[row])[order]
    return TopLabels(ids, probabilities)


def ranked_labels(
    model: "Model", documents: Sequence[Document], *, batch_size: int | None = None
) -> list[list[str]]:
    """The labels that every document gets, the most probable first."""
    top = _top(model, documents, batch_size)
    decided = decide_ranked(model.decision, top)
    return [
        [model.labels[i] for i in ids[chosen]]
        for ids, chosen in zip(top.ids, decided, strict=True)
    ]


def top_of_texts(
    model: "Model",
    documents: Sequence[Document],
    k: int,
    *,
    batch_size: int | None = None,
) -> list[list[tuple[str, float]]]:
    """The k most probable labels of every document, with their probabilities."""
    _check_k(model, k)
    if not documents:
        return []
    if model.label_chunk:
        top = _top(model, documents, batch_size)
        ids, probabilities = top.ids[:, :k], top.probabilities[:, :k]
    else:
        scores = model.score_documents(documents, batch_size=batch_size)[1]
        ids = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        probabilities = np.take_along_axis(scores, ids, axis=1)
    return [
        [(model.labels[i], float(p)) for i, p in zip(*row, strict=True)]
        for row in zip(ids, probabilities, strict=True)
    ]


def chosen_and_top(
    model: "Model", documents: Sequence[Document], batch_size: int | None = None
) -> tuple[list[Scored], Scored]:
    """What is predicted of every document, and the most probable label of each.

    Returns:
        Of each document its labels with their probabilities, the most probable first;
        and its most probable label, whether predicted or not.
    """
    if not documents:
        return [], []
    if model.label_chunk:
        top = _top(model, documents, batch_size)
        ids, scores = top.ids, top.probabilities
        decided = decide_ranked(model.decision, top)
    else:
        found = model.score_documents(documents, batch_size=batch_size)[1]
        ids = np.argsort(-found, axis=1, kind="stable")
        scores = np.take_along_axis(found, ids, axis=1)
        decided = np.take_along_axis(model.decision.decide(found), ids, axis=1)
    chosen = [
        [
            (model.labels[i], float(p))
            for i, p in zip(own[kept], probable[kept], strict=True)
        ]
        for own, probable, kept in zip(ids, scores, decided, strict=True)
    ]
    best = zip(ids[:, 0], scores[:, 0], strict=True)
    return chosen, [(model.labels[i], float(p)) for i, p in best]


def _check_k(model: "Model", k: int) -> None:
    most, of = len(model.labels), "the labels of the model"
    if model.label_chunk and model.config.head.kept_labels < most:
        most, of = model.config.head.kept_labels, "head.kept_labels of the run"
    if not 1 <= k <= most:
        raise ValueError(f"k must lie in 1..{most}, {of}; got {k}")


def ranked_rows(
    model: "Model", documents: Sequence[Document], top_k: int
) -> list[dict[str, Any]]:
    """What `labelgraph predict` writes of every document."""
    if not documents:
        return []
    if top_k:
        _check_k(model, min(top_k, len(model.labels)))
    return top_rows(model, documents, _top(model, documents, None), top_k)


def top_rows(
    model: "Model", documents: Sequence[Document], top: TopLabels, top_k: int
) -> list[dict[str, Any]]:
    """What `labelgraph predict` writes of documents, from their best labels.

    Args:
        top_k: so many labels of each in place of those that are decided for; 0 for
            these. More labels than there are means all.
    """
    decided = decide_ranked(model.decision, top)
    if top_k:
        decided = np.broadcast_to(np.arange(top.ids.shape[1]) < top_k, top.ids.shape)
    return [
        {
            "id": document.id,
            "labels": [model.labels[i] for i in ids[kept]],
            "scores": [round(float(score), 6) for score in scores[kept]],
        }
        for document, ids, scores, kept in zip(
            documents, top.ids, top.probabilities, decided, strict=True
        )
    ]


def _top(
    model: "Model", documents: Sequence[Document], batch_size: int | None
) -> TopLabels:
    if not documents:
        kept = min(model.config.head.kept_labels, len(model.labels))
        return TopLabels(np.zeros((0, kept), np.int32), np.zeros((0, kept), np.float32))
    return model.rank_documents(documents, batch_size=batch_size)[1]
