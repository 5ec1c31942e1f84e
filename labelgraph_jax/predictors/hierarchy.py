"""Use of the labels' taxonomy in a run: settings that need it, metrics."""

import numpy as np
from scipy.sparse import csr_array

from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.config.text import OWN
from labelgraph_jax.config.wording import nearest_names, of_them
from labelgraph_jax.data.documents import DataError, LabelSpace
from labelgraph_jax.data.labels.taxonomy import read_taxonomy
from labelgraph_jax.functional.graph.taxonomy import (
    ancestor_matrix,
    hierarchical_counts,
    summarise_hierarchical_counts,
)
from labelgraph_jax.predictors.many_labels import label_chunk


def label_ancestors(labels: LabelSpace) -> np.ndarray | None:
    """Return each label's ancestors, bool `[N, N]`, see `functional.ancestor_matrix`.

    None where no label lies above another: then there is no taxonomy to agree with.
    """
    pairs = labels.parent_pairs()
    return np.asarray(ancestor_matrix(pairs, len(labels))) if len(pairs) else None


def require_taxonomy(config: Config, labels: LabelSpace) -> None:
    """Refuse settings that need a taxonomy where the labels have none.

    Raises:
        ConfigError: no label lies above another, and a setting says that one must.
    """
    kind, contrast = config.hierarchy.kind, config.loss.contrast
    scored = kind not in ("none", "graph") or contrast
    if scored and label_chunk(config, len(labels)):
        raise ConfigError(
            "hierarchy.kind and loss.contrast need the scores of all labels at once: "
            f"head.label_chunk must be 0, got {label_chunk(config, len(labels))}"
        )
    asking = {
        "threshold.consistent": config.threshold.consistent,
        f"hierarchy.kind='{kind}'": kind != "none",
        "graph.initialisation='taxonomy'": config.graph.initialisation == "taxonomy",
    }
    remedy = "name their taxonomy with data.taxonomy"
    if config.data.taxonomy:
        remedy = (
            f"what data.taxonomy='{config.data.taxonomy}' puts above them stands on no "
            "document; data.taxonomy_targets='closed' makes labels of it"
        )
    for setting, asked in asking.items():
        if asked and not len(labels.parent_pairs()):
            raise ConfigError(
                f"{setting} needs labels of which one lies above another; among these "
                f"{len(labels)} none does: " + remedy
            )


def require_every_label(config: Config, labels: LabelSpace) -> None:
    """Refuse to train with a hierarchy whose file lacks a label.

    A corpus's own taxonomy may lack some, and so may a file that is only measured.

    Raises:
        DataError: names a label, and what the file may call it.
    """
    kind, path = config.hierarchy.kind, config.data.taxonomy
    if kind == "none" or path in ("", OWN):
        return
    names = read_taxonomy(path, labels=labels.names).lines
    lacking = [name for name in labels.names if name not in names]
    if lacking:
        near = nearest_names(lacking[0], (n for n in names if n not in labels.index))
        meant = f" (did you mean {near[0]!r} there?)" if near else ""
        raise DataError(
            f"{path}: hierarchy.kind='{kind}' needs every label in the taxonomy; "
            f"{of_them(len(lacking), len(labels), 'label', 'does', 'do')} not stand in "
            f"it, such as {lacking[0]!r}{meant}; one that lies under no other stands "
            "under Root"
        )


def lacking_ancestors(
    labels: LabelSpace, targets: np.ndarray, target_mask: np.ndarray | None = None
) -> str:
    """One sentence where documents carry labels without their ancestors, else none.

    Predictions that imply ancestors would be further from such documents, not nearer.
    """
    ancestors = label_ancestors(labels)
    if ancestors is None:
        return ""
    counts = hierarchical_counts(
        targets > 0, targets, ancestors, target_mask=target_mask
    )
    if not counts.target_violations:
        return ""
    return (
        f"{int(counts.target_violations):,} of {int(counts.documents):,} training "
        "documents carry a label without all its ancestors, and threshold.consistent "
        "predicts those too: the documents themselves should carry them"
    )


def hierarchical_metrics(
    decisions: np.ndarray,
    targets: np.ndarray,
    ancestors: np.ndarray | None,
    target_mask: np.ndarray | None = None,
) -> dict[str, float]:
    """Hierarchical precision, recall and F1, and how often the taxonomy is violated.

    See `functional.summarise_hierarchical_counts`; nothing where there is no taxonomy.
    """
    if ancestors is None:
        return {}
    return summarise_hierarchical_counts(
        hierarchical_counts(decisions, targets, ancestors, target_mask=target_mask)
    )


def hierarchy_results(
    decided: np.ndarray,
    truth: np.ndarray,
    ancestors: np.ndarray,
    known: np.ndarray | None = None,
) -> dict[str, object]:
    """Measure decisions on each level of a taxonomy, and under its constraint.

    Args:
        decided: bool `[M, N]`.
        truth: bool `[M, N]`.
        ancestors: see `functional.ancestor_matrix`.
        known: where documents are annotated, bool `[M, N]`; None for everywhere.

    Returns:
        `violations_per_1000`: of 1,000 predicted labels, those of which an ancestor is
        not predicted. `constrained_micro_f1`, `constrained_macro_f1`: where only those
        labels count as predicted of which all ancestors are. `levels`: micro- and
        macro-F1 of the labels of each depth, the roots first.
    """
    if known is not None:
        decided, truth = decided & known, truth & known
    lacking = (csr_array(~decided, dtype=np.float32) @ csr_array(ancestors.T)).toarray()
    allowed = decided & ~(lacking > 0)
    depth = np.zeros(len(ancestors), int)
    for label in np.argsort(ancestors.sum(axis=1), kind="stable"):
        depth[label] = depth[ancestors[label]].max(initial=-1) + 1

    def f1(chosen: np.ndarray, columns: np.ndarray | slice) -> tuple[float, float]:
        hits = (chosen & truth)[:, columns].sum(axis=0)
        either = chosen[:, columns].sum(axis=0) + truth[:, columns].sum(axis=0)
        each = 2 * hits / np.maximum(either, 1)
        return float(2 * hits.sum() / max(either.sum(), 1)), float(each.mean())

    levels = []
    for level in range(depth.max() + 1):
        micro, macro = f1(decided, depth == level)
        count = int((depth == level).sum())
        levels.append({"labels": count, "micro_f1": micro, "macro_f1": macro})
    micro, macro = f1(allowed, slice(None))
    predicted = int(decided.sum())
    return {
        "violations_per_1000": 1000
        * (predicted - int(allowed.sum()))
        / max(predicted, 1),
        "constrained_micro_f1": micro,
        "constrained_macro_f1": macro,
        "levels": levels,
    }
