"""What the labels' taxonomy means for a run: what needs it, what it measures."""

import numpy as np

from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.functional.graph.taxonomy import (
    ancestor_matrix,
    hierarchical_counts,
    summarise_hierarchical_counts,
)


def label_ancestors(labels: LabelSpace) -> np.ndarray | None:
    """Which label lies above which, bool `[N, N]`, see `functional.ancestor_matrix`.

    None where no label lies above another: then there is no taxonomy to agree with.
    """
    pairs = labels.parent_pairs()
    return np.asarray(ancestor_matrix(pairs, len(labels))) if len(pairs) else None


def require_taxonomy(config: Config, labels: LabelSpace) -> None:
    """Refuses settings that need a taxonomy where the labels have none.

    Raises:
        ConfigError: no label lies above another, and a setting says that one must.
    """
    asking = {
        "threshold.consistent": config.threshold.consistent,
        "graph.initialisation='taxonomy'": config.graph.initialisation == "taxonomy",
    }
    for setting, asked in asking.items():
        if asked and not len(labels.parent_pairs()):
            raise ConfigError(
                f"{setting} needs labels of which one lies above another; among these "
                f"{len(labels)} none does: name their taxonomy with data.taxonomy"
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
