"""Sources of a label graph: training documents, a saved file, or a run."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from labelgraph_jax import __version__
from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.data.documents import Corpus, Document, LabelSpace
from labelgraph_jax.data.files import parse_json, read_npz
from labelgraph_jax.data.labels.cooccurrence import cooccurrence_counts
from labelgraph_jax.functional.graph.adjacency import (
    annotated_counts,
    conditional_adjacency,
    cooccurrence,
)
from labelgraph_jax.functional.graph.edges import (
    Edges,
    adjacency_from_edges,
    log_edge_weights,
)
from labelgraph_jax.inspection.graph.report import (
    GraphReport,
    compare,
    describe,
    threshold,
)
from labelgraph_jax.inspection.label_side import learned_values
from labelgraph_jax.inspection.titles import titles_of_numbers
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.documents import document_tokenizer, fingerprint
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.manifest import require_unchanged
from labelgraph_jax.predictors.many_labels import MANY, require_room
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.adjacency_file import read_adjacency
from labelgraph_jax.runs.corpus import read_corpus, require_labels
from labelgraph_jax.runs.encoders import static_encoder
from labelgraph_jax.runs.label_graph import label_features, starting_adjacency
from labelgraph_jax.training.checkpoint import CheckpointStore

TAUS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
"""Thresholds that a report compares."""


@dataclass(frozen=True)
class FoundGraph:
    """A label graph and its report; `write_adjacency` takes the first three."""

    labels: tuple[str, ...]
    adjacency: np.ndarray
    about: Mapping[str, Any]
    report: GraphReport


def built_graph(config: Config, *, strongest: int = 10) -> FoundGraph:
    """Build the adjacency that training with these settings would start from.

    From the training split alone: what validation and test need is cut off first.

    Args:
        config: `data` and `graph`, `text` for a graph of the labels' names, and the
            seed of a drawn one.
        strongest: how many edges to report.

    Raises:
        ConfigError, DataError: as training with these settings.
    """
    # Labels of the training documents.
    corpus = read_corpus(config.data)
    require_labels(corpus.train, corpus)
    labels = LabelSpace.from_documents(
        corpus.train, corpus.label_descriptions, corpus.parents, corpus.learned_tasks
    )
    require_room(
        len(labels),
        len(labels),
        "the label graph as a matrix",
        "training takes a list of edges in its place: graph.method='sparse'",
    )
    # The adjacency that training would start from.
    counts, annotated = training_counts(corpus.train, labels)
    features = _name_features(config, corpus, labels)
    adjacency = np.asarray(
        starting_adjacency(config, labels, counts, annotated, features), np.float32
    )
    about = _about(config, corpus)
    # How often labels occur together, and what thresholds would leave.
    conditional = np.array(conditional_adjacency(counts, annotated))
    np.fill_diagonal(conditional, 0.0)
    taus: tuple[float, ...] = ()
    if config.graph.initialisation in ("cooccurrence", "thresholded"):
        chosen = config.graph.initialisation == "thresholded"
        taus = tuple(sorted({*TAUS, config.graph.tau} if chosen else TAUS))
    report = dataclasses.replace(
        describe(
            corpus.name,
            labels.names,
            adjacency,
            about,
            strongest=strongest,
            counts=counts,
            conditional=conditional,
        ),
        documents=len(corpus.train),
        cooccurring_pairs=int((conditional > 0).sum()),
        thresholds=tuple(threshold(conditional, tau) for tau in taus),
        titles=titles_of_numbers(labels),
    )
    return FoundGraph(labels.names, adjacency, about, report)


def training_counts(
    documents: Sequence[Document], labels: LabelSpace
) -> tuple[np.ndarray, np.ndarray | None]:
    """Count how often labels stand together in the training split, `[N, N]`.

    Returns:
        The counts; and where annotations are missing, also what they are to be divided
        by, else None.
    """
    mask = labels.target_mask(documents)
    if mask is None:
        return cooccurrence_counts(documents, labels), None
    targets, _ = labels.targets(documents)
    counts = np.asarray(cooccurrence(targets, mask), np.float32)
    return counts, np.asarray(annotated_counts(targets, mask))


def _name_features(
    config: Config, corpus: Corpus, labels: LabelSpace
) -> np.ndarray | None:
    """The encoded names that a graph of alike labels is built from."""
    if config.graph.initialisation != "similarity":
        return None
    static = static_encoder(config.text, corpus.train)
    if static is not None:
        return label_features(config, labels, static.tokenizer, static)
    tokenizer = document_tokenizer(config.text, corpus.train)
    encoder = None
    if config.text.vectors == "pretrained":
        encoder = FrozenEncoder.load(find_pretrained(config.text.pretrained))
    return label_features(config, labels, tokenizer, encoder)


def saved_graph(path: Path, *, strongest: int = 10) -> FoundGraph:
    """Read what `labelgraph graph --out` wrote.

    Raises:
        ConfigError: there is no such file, or it is none of these.
    """
    read_adjacency(path, ())  # refuses a file that is none
    with read_npz(path, error=ConfigError) as archive:
        labels = tuple(str(name) for name in archive.take("labels", "U", "N"))
        text = archive.text("about") if "about" in archive else "{}"
    try:
        about = parse_json(text)
    except ValueError as error:
        raise ConfigError(f"{path}: 'about' must be JSON: {error}") from None
    if not isinstance(about, dict):
        raise ConfigError(f"{path}: 'about' must be a JSON object, got {text[:40]!r}")
    adjacency = read_adjacency(path, labels)
    report = describe(str(path), labels, adjacency, about, strongest=strongest)
    return FoundGraph(labels, adjacency, about, report)


def run_graph(path: Path, *, strongest: int = 10) -> FoundGraph:
    """The adjacency that a run started from, and what training made of it.

    Returns:
        The learned adjacency of the best checkpoint where there is one, else the
        initial one; the report describes the initial one and what changed.

    Raises:
        WorkdirError: it is no work directory.
        ConfigError: its model has no label graph.
    """
    place = Workdir.existing(path)
    config, labels = place.config(), place.labels()
    require_unchanged(place)
    if config.graph.layers == 0 or config.head.kind == "recurrent":
        raise ConfigError(
            f"{path}: this run has no label graph (graph.layers={config.graph.layers}, "
            f"head.kind='{config.head.kind}')"
        )
    start = _matrix(place, len(labels))
    about = {
        "run": str(path),
        "initialisation": config.graph.initialisation,
        "role": config.graph.role,
    }
    report = dataclasses.replace(
        describe(str(path), labels.names, start, about, strongest=strongest),
        titles=titles_of_numbers(labels),
    )
    weights = _learned_weights(place, start)
    if weights is None:
        return FoundGraph(labels.names, start, about, report)
    before, after = weights
    report = dataclasses.replace(
        report, learned=compare(labels.names, before, after, strongest)
    )
    return FoundGraph(labels.names, after, about | {"learned": True}, report)


def _matrix(place: Workdir, size: int) -> np.ndarray:
    """The adjacency that a run started from, as a matrix."""
    arrays = place.label_graph(size)
    if isinstance(arrays.adjacency, np.ndarray):
        return arrays.adjacency
    if arrays.adjacency is None or size > MANY:
        raise ConfigError(
            f"{place.path}: the graph of its {size:,} labels has no matrix to show or "
            "save: it is "
            + ("complete" if arrays.adjacency is None else "a list of edges")
        )
    return np.asarray(adjacency_from_edges(arrays.adjacency, size))


def _learned_weights(
    place: Workdir, adjacency: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Weights before and after training; None where they are no parameter."""
    if not place.has_checkpoints:
        return None
    with CheckpointStore(place.checkpoints) as store:
        graph = store.restore_params("best").get("label_graph", {})
    learned = learned_values(graph)
    if learned is None:
        return None
    edges = place.label_graph().adjacency
    if isinstance(edges, Edges):
        edges = edges._replace(weights=jnp.asarray(learned))
        return adjacency, np.asarray(adjacency_from_edges(edges, len(adjacency)))
    if "edge_bias" in graph:
        before = np.exp(np.asarray(log_edge_weights(jnp.asarray(adjacency))))
        return before, learned
    return adjacency, learned


def _about(config: Config, corpus: Corpus) -> dict[str, object]:
    graph = config.graph
    about: dict[str, object] = {"initialisation": graph.initialisation}
    if graph.initialisation == "thresholded":
        about |= {"tau": graph.tau, "p": graph.p}
    if graph.initialisation == "similarity":
        text = config.text
        read = text.vectors == "pretrained" or text.reads_static
        vectors = text.pretrained if read else text.vectors
        about |= {"neighbours": graph.neighbours, "vectors": vectors}
    if graph.initialisation in ("random", "xavier"):
        about |= {"seed": config.training.seed}
    return about | {
        "corpus": corpus.name,
        "training_documents": len(corpus.train),
        "training_fingerprint": fingerprint(corpus.train),
        "labelgraph_jax": __version__,
    }
