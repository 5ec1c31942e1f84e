"""Labels so many that no array of documents by labels is made: when, and with what.

Whether a run is one of these follows from its settings and the number of its labels
alone, so that training, evaluation and prediction agree.
"""

import psutil

from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.config.settings import whole_number
from labelgraph_jax.functional.many_labels.label_chunks import CHUNK

MANY = 20_000
"""Labels beyond which their scores are made in chunks, unless told otherwise."""
EDGES_FROM = 2_000
"""Labels beyond which their graph is a list of edges, unless told otherwise: a matrix
would have more parameters than all else and take most of the time."""
FEWER = "ask for predict_top, or for fewer texts at once"
"""Advice, for an error, that needs no array of documents by labels."""
RANKED_METRICS = ("micro_f1", "macro_f1", "samples_f1", "nDCG@5")
"""Selection metrics that the most probable labels of a document are enough for."""
EDGE_STARTS = (
    "cooccurrence",
    "thresholded",
    "identity",
    "taxonomy",
    "similarity",
    "file",
)
"""Adjacencies that can be a list of edges: the others join every label to every one."""
RANKED_THRESHOLDS = ("auto", "half", "global", "top_k")
"""Decisions that are fitted on the most probable labels of a document."""


def label_chunk(config: Config, labels: int) -> int:
    """Return the number of labels scored at a time; 0 for all at once.

    Args:
        config: the run's settings.
        labels: how many the model has.

    Raises:
        ConfigError: chunks are asked for, or needed, where other settings need all
            scores at once; these are named.
    """
    asked = config.head.label_chunk
    if asked == 0 or (asked is None and labels <= MANY):
        return 0
    if found := obstacles(config):
        why = "was asked for" if asked else f"is what {labels:,} labels need"
        raise ConfigError(
            f"scoring labels in chunks (head.label_chunk) {why}, and cannot be done "
            f"with {'; '.join(found)}. With head.label_chunk=0 all are scored at once"
        )
    return min(asked or CHUNK, labels)


def obstacles(config: Config) -> list[str]:
    """The settings that need the scores of all labels at once, with what would do."""
    found = []
    if config.head.kind != "product":
        found.append(f"head.kind='{config.head.kind}' (only 'product')")
    if config.mixture.kind != "none":
        found.append(f"mixture.kind='{config.mixture.kind}' (only 'none')")
    if config.threshold.kind not in RANKED_THRESHOLDS:
        found.append(
            f"threshold.kind='{config.threshold.kind}' (only "
            f"{', '.join(RANKED_THRESHOLDS)})"
        )
    if config.loss.r_drop:
        found.append("loss.r_drop")
    if config.threshold.consistent:
        found.append("threshold.consistent")
    metric = config.training.selection_metric
    if metric not in RANKED_METRICS:
        found.append(
            f"training.selection_metric='{metric}' (only {', '.join(RANKED_METRICS)})"
        )
    return found


def uses_edges(config: Config, labels: int) -> bool:
    """Return True if the label graph is a list of edges rather than a matrix."""
    graph = config.graph
    if graph.method == "sparse":
        return True
    return (
        labels > EDGES_FROM
        and graph.method == "auto"
        and graph.attention != "gatv2"
        and graph.initialisation in EDGE_STARTS
        and not is_complete(config)
    )


def needs_adjacency(config: Config, labels: int) -> bool:
    """Return True if the label graph starts from a matrix or edges at all.

    Where edge weights are of a low rank it does not; nor where every label receives
    from every label, but a small one is kept then, for `labelgraph graph` to show.
    """
    return not config.graph.rank and (labels <= EDGES_FROM or not is_complete(config))


def is_complete(config: Config) -> bool:
    """Return True if every label receives from every label, or from none."""
    graph = config.graph
    alone = graph.layers == 0 and graph.kind != "document"
    return alone or graph.role == "none" or graph.rank > 0


def free_bytes() -> int:
    """Memory of this machine that is free or can be freed; 0 where nobody says."""
    try:
        return int(psutil.virtual_memory().available)
    except OSError:
        return 0


def require_room(rows: int, labels: int, what: str, instead: str) -> None:
    """Refuse an array float32 `[rows, labels]` that memory has no room for.

    Args:
        rows: of the array.
        labels: of the array, its columns.
        what: it holds, for the error.
        instead: what would need less.

    Raises:
        ConfigError: it, and one working copy, need more than is free.
    """
    needed, free = 2 * 4 * rows * labels, free_bytes()
    if free and needed > free:
        raise ConfigError(
            f"{what} of {rows:,} x {labels:,} numbers need {needed / 2**30:.1f} GiB, "
            f"and {free / 2**30:.1f} GiB are free; {instead}"
        )


def require_k(k: int, most: int, labels: int) -> None:
    """Refuse a number of labels of a document that a model does not give.

    Args:
        k: what was asked for.
        most: how many of them it keeps.
        labels: how many it has.

    Raises:
        ConfigError: k is no whole number, or below 1 or above `most`.
    """
    of = "head.kept_labels of the run" if most < labels else "the labels of the model"
    if whole_number(k, "k", 0) < 1 or k > most:
        raise ConfigError(f"k must lie in 1..{most}, {of}; got {k}")
