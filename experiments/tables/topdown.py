"""SVMs down a taxonomy over TF-IDF: a label is asked for only where its parent is."""

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
from scipy import sparse

from experiments.tables.chains import require_annotated
from labelgraph_jax.data.labels.parents import parents_above
from labelgraph_jax.runs.baseline import BaselineResult, fit_on_tfidf, svm_scores

Parents = Mapping[str, tuple[str, ...]]


def tfidf_top_down_baseline(
    train_texts: Sequence[str],
    train_targets: np.ndarray,
    test_texts: Sequence[str],
    *,
    names: Sequence[str],
    parents: Parents,
    c_choices: Sequence[float] = (1.0, 2.0, 4.0, 8.0),
    seed: int = 0,
    **options: Any,
) -> BaselineResult:
    """Fit linear SVMs on TF-IDF from the top of a taxonomy down.

    Features, the choice of C and the two rows are those of `tfidf_svm_baseline`. The
    SVM of a node is fitted on the documents that carry a parent of it, or something
    below one. The score of a label is its own signed distance or the least of those of
    the nodes on the way to it, whichever is less; of several ways the best. So at 0 a
    label is given exactly where every SVM from the top to it says yes.

    Args:
        train_texts: the training documents, as `tfidf_svm_baseline`.
        train_targets: their labels `[M, N]`, positive where > 0.
        test_texts: the documents to score.
        names: of the labels.
        parents: for a label or inner node its parents; a label without any is asked for
            in every document.
        c_choices: regularisation strengths to try, small is strong.
        seed: of the solver.
        **options: those of `tfidf_svm_baseline`, from `validation_texts` on.

    Raises:
        ValueError: an annotation of a training document is missing, or as
            `tfidf_svm_baseline`.

    Reference: Dumais and Chen, "Hierarchical Classification of Web Content", SIGIR
    2000; they multiply probabilities or put a threshold at each level, which a least
    distance decides as the second with thresholds of 0.
    """

    def scorer(
        train: sparse.csr_matrix,
        targets: np.ndarray,
        others: Sequence[sparse.csr_matrix],
        c: float,
        mask: np.ndarray | None,
    ) -> list[np.ndarray]:
        require_annotated("an SVM below another", mask)
        above = parents_above(names, parents)
        inner, carried = inner_nodes(names, targets, above)
        nodes = [*names, *inner]
        known = np.ones((len(targets), len(nodes)), bool)
        for column, node in enumerate(nodes):
            if ways := above.get(node):
                known[:, column] = np.any([carried[way] for way in ways], axis=0)
        wanted = [targets, *(carried[node][:, None] for node in inner)]
        found = svm_scores(train, np.concatenate(wanted, 1), others, c, seed, known)
        return [_down(scores, names, inner, above) for scores in found]

    return fit_on_tfidf(
        scorer, train_texts, train_targets, test_texts, c_choices=c_choices, **options
    )


def inner_nodes(
    names: Sequence[str], targets: np.ndarray, above: Parents
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Nodes with something below them, from the top down, and who carries each.

    Args:
        names: of the labels.
        targets: bool `[M, N]`.
        above: for a node its parents.

    Returns:
        The nodes, and for every node the documents that carry it or what is below it.
    """
    order = list(TopologicalSorter({n: above.get(n, ()) for n in above}).static_order())
    carried = {
        node: np.zeros(len(targets), bool) for node in dict.fromkeys((*order, *names))
    }
    for column, name in enumerate(names):
        carried[name] = targets[:, column] > 0
    for node in reversed(order):
        for parent in above.get(node, ()):
            carried[parent] = carried[parent] | carried[node]
    parents = {parent for ways in above.values() for parent in ways}
    return [node for node in order if node in parents], carried


def _down(
    scores: np.ndarray, names: Sequence[str], inner: Sequence[str], above: Parents
) -> np.ndarray:
    """The scores of the labels where the nodes above them have their say."""
    passed: dict[str, np.ndarray] = {}

    def least(node: str, own: np.ndarray) -> np.ndarray:
        ways = [passed[parent] for parent in above.get(node, ())]
        return np.minimum(own, np.max(ways, axis=0)) if ways else own

    for column, node in enumerate(inner, len(names)):
        passed[node] = least(node, scores[:, column])
    return np.stack([least(n, scores[:, k]) for k, n in enumerate(names)], axis=1)
