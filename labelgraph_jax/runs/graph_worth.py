"""The worth of a label graph for some documents: choice of form and adjacency."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from labelgraph_jax.config import Config, ConfigError
from labelgraph_jax.data.documents import Corpus, DataError, Document, LabelSpace
from labelgraph_jax.data.files import read_json, write_json
from labelgraph_jax.predictors.documents import label_text
from labelgraph_jax.predictors.graph_choice import (
    ALL,
    LEAST_DOCUMENTS,
    GraphChoice,
    choose_graph,
    graph_ways,
)
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.corpus import read_corpus, require_labels
from labelgraph_jax.runs.lsa import lsa_vectors
from labelgraph_jax.runs.problem import Say

DIMENSIONS = 200
MOST_DOCUMENTS = 3_000
"""Training documents that the choice reads, drawn at random."""
MOST_LABELS = 2_000
CHOICE = "graph_choice.json"
"""Of a work directory: the form that graph.kind='auto' chose, and why."""


@dataclass(frozen=True)
class WeighedLabels:
    """Training documents and label names as vectors of one space.

    Attributes:
        vectors: of the documents, `[M, D]`.
        targets: their labels, `[M, N]`.
        names: vectors of the labels' names, `[N, D]`; zeros where no word is known.
        parents: pairs of a taxonomy; None without.
        others: vectors of further documents.
    """

    vectors: np.ndarray
    targets: np.ndarray
    names: np.ndarray
    parents: np.ndarray | None
    others: np.ndarray


def weighed_labels(
    documents: Sequence[Document],
    labels: LabelSpace,
    others: Sequence[Document] = (),
    *,
    seed: int = 0,
) -> WeighedLabels:
    """Encode documents and the names of labels by the words of the documents.

    Args:
        documents: that the words are learned from.
        labels: of the documents.
        others: further documents to encode.
        seed: of the decomposition.

    Raises:
        DataError: documents that are rows of features, or without a common word.
    """
    if any(document.features is not None for document in documents):
        raise DataError(
            "the worth of a label graph is found out on texts, got rows of features"
        )
    names = [label_text(labels, name) for name in labels.names]
    later = [*names, *(document.text for document in others)]
    texts = [document.text for document in documents]
    found = lsa_vectors(texts, later, dimensions=DIMENSIONS, seed=seed)
    targets, mask = labels.targets(documents)[0], labels.target_mask(documents)
    if mask is not None:
        targets = targets * mask
    pairs, count = labels.parent_pairs(), len(documents)
    return WeighedLabels(
        found[:count],
        np.asarray(targets, np.float32),
        found[count : count + len(names)],
        pairs if len(pairs) else None,
        found[count + len(names) :],
    )


def weigh_graph(
    config: Config,
    say: Say,
    corpus: Corpus | None = None,
    *,
    names: bool = True,
    every: bool = True,
) -> GraphChoice:
    """Find out on the training documents what a label graph is worth.

    At most 3,000 documents, drawn at random, are read, and neither validation nor test
    split. Document vectors are TF-IDF and its principal directions.

    Args:
        config: `data`, `threshold`, and the seed.
        say: takes a line about what is going on.
        corpus: documents in memory, in place of those that the settings name.
        names: try forms that take the names' vectors as label vectors.
        every: try messages of all adjacencies at once.

    Raises:
        ConfigError: more than 2,000 labels.
        DataError: the documents cannot be read, or are too few.
    """
    # Documents and labels: enough of the one, not too many of the other.
    corpus = corpus or read_corpus(config.data)
    require_labels(corpus.train, corpus)
    if len(corpus.train) < LEAST_DOCUMENTS:
        raise DataError(
            f"{corpus.name}: to find out what a label graph is worth there must be at "
            f"least {LEAST_DOCUMENTS} training documents, got {len(corpus.train)}"
        )
    labels = LabelSpace.from_documents(
        corpus.train, corpus.label_descriptions, corpus.parents, corpus.learned_tasks
    )
    if len(labels) > MOST_LABELS:
        raise ConfigError(
            f"{corpus.name}: what a label graph is worth is found out for at most "
            f"{MOST_LABELS:,} labels, got {len(labels):,}"
        )
    # Draw documents, and read them and the names of labels as vectors.
    seed = config.training.seed
    order = np.random.default_rng((seed, 8)).permutation(len(corpus.train))
    drawn = [corpus.train[i] for i in np.sort(order[:MOST_DOCUMENTS])]
    if len(drawn) < len(corpus.train):
        say(f"{len(drawn):,} of {len(corpus.train):,} training documents are read")
    read = weighed_labels(drawn, labels, seed=seed)
    vectors = read.names if names else np.zeros_like(read.names)
    if names and not vectors.any():
        say(f"{corpus.name}: no word of a label's name stands in two texts")
    # Cross-fit every way to make label vectors.
    ways = graph_ways(names=bool(vectors.any()), taxonomy=read.parents is not None)
    return choose_graph(
        read.vectors,
        read.targets,
        vectors,
        parents=read.parents,
        ways=[way for way in ways if every or way.adjacency != ALL],
        seed=seed,
        thresholds=config.threshold,
        say=say,
    )


FORMS: dict[str, dict[str, Any]] = {
    "free": {"layers": 0},
    "features": {"residual": False, "skip": True, "initialisation": "identity"},
    "free + features": {"skip": True, "initialisation": "identity"},
    "features + message": {"residual": False, "skip": True},
    "free + message": {},
    "free + features + message": {"skip": True},
}
"""Settings of the graph that make each form of label vectors."""
STARTS = {
    "co-occurrence": "cooccurrence",
    "taxonomy": "taxonomy",
    "names": "similarity",
}


def with_choice(config: Config, choice: GraphChoice) -> Config:
    """Return the settings with the chosen form in the place of graph.kind='auto'."""
    way, graph = choice.way, config.graph
    found = dict(FORMS[way.form])
    if way.adjacency:
        found["initialisation"] = STARTS[way.adjacency]
    elif way.form != "free":
        found["role"] = "fixed"
    chosen = dataclasses.replace(graph, kind="static", **found)
    return dataclasses.replace(config, graph=chosen)


class WayResults(TypedDict):
    """A way to have a label graph: its settings, what it gains, and how surely."""

    form: str
    adjacency: str
    strength: float
    gain: dict[str, list[float]]
    message_gain: dict[str, list[float]]
    sure: float


class GraphResults(TypedDict):
    """The label graph that was chosen, why, and what every way to have one gained."""

    kind: str
    said: str
    ways: dict[str, WayResults]


def chosen_graph(
    config: Config, corpus: Corpus, say: Say
) -> tuple[Config, GraphResults | None]:
    """Choose the label graph of a run where graph.kind is 'auto'.

    Messages of all adjacencies at once are not tried: a run has one. Forms that take
    encoded names as label vectors are tried where documents are encoded like names, by
    a pretrained or static encoder.

    Args:
        config: resolved settings.
        corpus: with its training documents.
        say: takes the answer.

    Returns:
        The settings with the chosen form, and `graph_results`; with another kind the
        same settings and None.
    """
    if config.graph.kind != "auto":
        return config, None
    text = config.text
    encoded = text.vectors == "pretrained" or text.reads_static
    if not encoded:
        say(
            f"label graph: --text.vectors {text.vectors} reads no names: no form has "
            "them and messages carry none, other than in `graph worth`"
        )
    choice = weigh_graph(config, say, corpus, names=encoded, every=False)
    say(f"label graph: {choice.said}")
    return with_choice(config, choice), graph_results(choice)


def keep_choice(place: Workdir, results: GraphResults) -> None:
    """Write down which label graph was chosen, and why."""
    write_json(place.path / CHOICE, dict(results))


def with_kept_graph(config: Config, place: Workdir) -> Config:
    """Return the settings of a run that goes on: with the graph that it chose."""
    begun = place.config_path.is_file() and kept_choice(place) is not None
    if config.graph.kind != "auto" or not begun:
        return config
    return dataclasses.replace(config, graph=place.config().graph)


def kept_choice(place: Workdir) -> GraphResults | None:
    """Return `graph_results` of a run that chose its graph; None of another.

    Raises:
        WorkdirError: the file is damaged.
    """
    path = place.path / CHOICE
    if not path.is_file():
        return None
    found: GraphResults = read_json(path, error=WorkdirError)
    if not isinstance(found, dict) or not {"kind", "said", "ways"} <= set(found):
        raise WorkdirError(f"{path}: must say which label graph was chosen, and why")
    return found


def graph_results(choice: GraphChoice) -> GraphResults:
    """Return what results.json says of the choice of a label graph.

    That is the chosen way, and each way with its gain over no graph and, for messages,
    over the same form without.
    """

    def plain(gain: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
        return {name: [round(x, 4) for x in value] for name, value in gain.items()}

    return {
        "kind": choice.kind,
        "said": choice.said,
        "ways": {
            name: {
                "form": way.form,
                "adjacency": way.adjacency,
                "strength": choice.strengths[name],
                "gain": plain(choice.gains.get(name, {})),
                "message_gain": plain(choice.message_gains.get(name, {})),
                "sure": round(choice.sure.get(name, 0.0), 3),
            }
            for name, way in choice.ways.items()
        },
    }
