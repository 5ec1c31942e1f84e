"""The tables and their cells, each nothing but named settings.

The base of the tables that train a graph is frozen, mean-pooled MiniLM vectors (a
transformer that is not trained): they are computed once, so what differs between cells
is the label side alone, and five seeds take a minute or so. The learning rates of no
graph, of ours and of the paper's form were chosen on validation documents, each over
the same choices, so that the reference cell is as strong as we could make it.
"""

import difflib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from labelgraph_jax.data.corpora import corpus_names

Settings = Mapping[str, Any]


class TableError(ValueError):
    """A table, cell or option that does not exist."""


@dataclass(frozen=True)
class Cell:
    """One row of a table.

    Attributes:
        name: what `--cells` takes.
        title: what the table prints.
        settings: dotted settings put over the table's base.
        runner: `train` is `labelgraph train`; the others are scikit-learn, one seed.
        taxonomy: reads the taxonomy of the corpus; left out where there is none.
    """

    name: str
    title: str
    settings: Settings = field(default_factory=dict)
    runner: Literal["train", "svm", "chains", "topdown"] = "train"
    taxonomy: bool = False


@dataclass(frozen=True)
class TableSpec:
    """A table: its cells, what they share, and the cell that others are compared to.

    With `at_half` every cell is also decided at 0.5, beside its own rule. With `rates`
    every cell that is trained has the one of these learning rates with which its seed
    0 is best on validation.
    """

    name: str
    caption: str
    base: Settings
    cells: tuple[Cell, ...]
    reference: str
    at_half: bool = True
    rates: tuple[float, ...] = ()

    def choose(self, names: Sequence[str]) -> tuple[Cell, ...]:
        """The cells of those names, and the reference; all of them for none.

        Raises:
            TableError: there is no such cell.
        """
        known = {cell.name: cell for cell in self.cells}
        for name in names:
            if name not in known:
                raise TableError(_unknown("cell", name, known, f" of '{self.name}'"))
        if not names:
            return self.cells
        wanted = {*names, self.reference}
        return tuple(cell for cell in self.cells if cell.name in wanted)


CORPORA: dict[str, Settings] = {
    "reuters21578": {"data.corpus": "reuters21578", "data.validation_fraction": 0.06},
    "stdlib_docs": {"data.corpus": "stdlib_docs"},
    "goemotions": {"data.corpus": "goemotions"},
    "toxic_comment": {"data.corpus": "toxic_comment"},
    "eurlex57k": {"data.corpus": "eurlex57k"},
}
"""Corpora of the tables, and how each is split."""

FROZEN: Settings = {
    "text.encoder": "transformer",
    "text.vectors": "pretrained",
    "text.trainable": False,
    "text.max_length": 128,
    "text.dropout": 0.2,
    "text.token_dropout": 0.0,
    "graph.hidden": 64,
    "training.epochs": 24,
    "training.batch_size": 512,
    "training.learning_rate": 1e-1,
}
NO_GRAPH: Settings = {"graph.layers": 0}
PAPER: Settings = {"graph.residual": False, "training.learning_rate": 1e-2}

INITIALISATIONS: dict[str, Settings] = {
    name: {"graph.initialisation": name}
    for name in ("identity", "random", "xavier", "cooccurrence")
}
for _tau, _p in ((0.1, 0.25), (0.4, 0.2)):
    INITIALISATIONS[f"thresholded-{_tau}-{_p}"] = {
        "graph.initialisation": "thresholded",
        "graph.tau": _tau,
        "graph.p": _p,
    }
INITIALISATIONS["similarity"] = {"graph.initialisation": "similarity"}

FORMS: dict[str, tuple[str, Settings]] = {
    "paper": ("message alone, as in the paper", PAPER),
    "ours": ("free vector + message", {}),
}


def _adjacency() -> TableSpec:
    cells = [Cell("no-graph", "no graph", NO_GRAPH)]
    for (form, (title, extra)), (name, settings) in itertools.product(
        FORMS.items(), INITIALISATIONS.items()
    ):
        cells.append(Cell(f"{form}-{name}", f"{title}: {name}", {**extra, **settings}))
    return TableSpec(
        "adjacency",
        "Where a learned adjacency starts, in the paper's form and in ours",
        FROZEN,
        tuple(cells),
        "paper-identity",
    )


ROLES = ("additive", "multiplicative", "mask", "fixed", "none")
KINDS: dict[str, Settings] = {
    "gat": {},
    "gatv2": {"graph.attention": "gatv2"},
    "relu": {"graph.attention": "relu"},
    "convolution": {"graph.attention": "convolution", "graph.role": "fixed"},
}
FEATURES = ("names", "random")


def _graph(full: bool) -> TableSpec:
    cells = [
        Cell("no-graph", "no graph: one free vector per label", NO_GRAPH),
        Cell("ours", "ours: free vector + message, 2 layers, names, additive"),
        Cell("paper", "message alone, as in the paper", PAPER),
        Cell("gated", "message weighed by a gate", {"graph.gated": True}),
        Cell("skip", "label features in the label vector too", {"graph.skip": True}),
        Cell(
            "skip-alone",
            "label features + message, no free vector",
            {"graph.skip": True, **PAPER},
        ),
        Cell("one-layer", "1 layer", {"graph.layers": 1}),
        Cell("three-layers", "3 layers", {"graph.layers": 3}),
        Cell("random-features", "random features", {"graph.features": "random"}),
    ]
    cells += [
        Cell(f"role-{role}", f"role: {role}", {"graph.role": role})
        for role in ROLES[1:]
    ]
    cells += [
        Cell(f"attention-{kind}", f"attention: {kind}", settings)
        for kind, settings in KINDS.items()
        if settings
    ]
    cells += [
        Cell(f"start-{name}", f"adjacency starts from: {name}", settings)
        for name, settings in INITIALISATIONS.items()
        if name != "cooccurrence"
    ]
    if full:
        cells += _product({cell.name for cell in cells})
    return TableSpec(
        "graph",
        "What the label graph adds, one factor at a time around ours",
        FROZEN,
        tuple(cells),
        "no-graph",
    )


def _product(taken: set[str]) -> list[Cell]:
    """Role x start x attention x features, as far as the settings allow it."""
    cells = []
    for role, (start, begin), (kind, how), features in itertools.product(
        ROLES, INITIALISATIONS.items(), KINDS.items(), FEATURES
    ):
        if kind == "convolution" and role not in ("fixed", "multiplicative"):
            continue
        if start == "similarity" and features == "random":
            continue
        name = f"{role}-{start}-{kind}-{features}"
        settings = {**begin, **how, "graph.role": role, "graph.features": features}
        if name not in taken:
            cells.append(Cell(name, name.replace("-", ", "), settings))
    return cells


LOSSES = (
    "binary_cross_entropy",
    "focal",
    "asymmetric",
    "class_balanced",
    "negative_tolerant",
    "distribution_balanced",
)


def _losses() -> TableSpec:
    return TableSpec(
        "losses",
        "Losses, without a label graph",
        {**FROZEN, **NO_GRAPH},
        tuple(
            Cell(name, name.replace("_", " "), {"loss.kind": name}) for name in LOSSES
        ),
        "binary_cross_entropy",
    )


def _thresholds() -> TableSpec:
    cells = [
        Cell(kind, title, {"threshold.kind": kind})
        for kind, title in (
            ("half", "0.5"),
            ("global", "one threshold"),
            ("sloped", "one that slopes with how often a label occurs"),
            ("label", "one per label, drawn towards that slope"),
            ("top_k", "the k most probable"),
            ("auto", "auto"),
        )
    ]
    cells += [
        Cell(
            f"{kind}-at-least-one",
            f"{title}, at least one label",
            {"threshold.kind": kind, "threshold.at_least_one": True},
        )
        for kind, title in (("half", "0.5"), ("auto", "auto"))
    ]
    return TableSpec(
        "thresholds",
        "How probabilities become labels; every row has the same probabilities",
        {**FROZEN, **NO_GRAPH},
        tuple(cells),
        "half",
        at_half=False,
    )


def _embeddings(vectors_file: str, made: bool) -> TableSpec:
    bag = {"text.encoder": "bag", "training.learning_rate": 1e-2}
    words = {
        **bag,
        "text.vectors": "file",
        "text.vectors_file": vectors_file,
        "text.ngrams": None,
    }
    name = "PPMI+SVD of the training text" if made else "word-vector file"
    label_words = {"graph.features": "word_vectors", "graph.vectors_file": vectors_file}
    random_text = {
        **bag,
        "text.vectors": "random",
        "text.ngrams": False,
        "text.trainable": True,
        "text.dim": 128,
    }
    plain = {"graph.features": "random"}
    return TableSpec(
        "embeddings",
        f"Text vectors and label features; word vectors: {name}",
        FROZEN,
        (
            Cell("text-minilm", "text: MiniLM, frozen; labels: random", plain),
            Cell("text-random", "text: random, learned", {**plain, **random_text}),
            Cell("text-words", f"text: {name}, frozen", {**plain, **words}),
            Cell(
                "text-words-tuned",
                f"text: {name}, learned on",
                {**plain, **words, "text.trainable": True},
            ),
            Cell("labels-names", "text: MiniLM; labels: MiniLM of their names"),
            Cell("labels-words", f"text: MiniLM; labels: {name}", label_words),
        ),
        "text-minilm",
    )


TUNED: Settings = {
    "text.trainable": True,
    "text.trained_layers": 1,
    "text.max_length": 64,
    "text.dropout": 0.1,
    "training.epochs": 2,
    "training.batch_size": 32,
    "training.learning_rate": 3e-3,
}
"""A few minutes a seed; the preset minilm-finetune trains three layers for four epochs
and takes half an hour."""


def _models() -> TableSpec:
    convolution = {"graph.attention": "convolution", "graph.role": "fixed"}
    return TableSpec(
        "models",
        "Classifiers; those without 'tuned' read frozen MiniLM vectors, or TF-IDF",
        FROZEN,
        (
            Cell("svm", "TF-IDF + SVM, binary relevance", runner="svm"),
            Cell("chains", "TF-IDF + classifier chains", runner="chains"),
            TOP_DOWN,
            Cell("neural-br", "neural binary relevance", NO_GRAPH),
            Cell(
                "convolution",
                "label graph convolution (no residual)",
                {**PAPER, **convolution},
            ),
            Cell("paper", "MAGNET, label vectors from attention alone", PAPER),
            Cell("ours", "MAGNET, ours"),
            Cell("tuned", "MiniLM, last layer tuned, no graph", {**TUNED, **NO_GRAPH}),
            Cell("tuned-graph", "MiniLM, last layer tuned, MAGNET ours", TUNED),
        ),
        "neural-br",
    )


TOP_DOWN = Cell(
    "topdown",
    "TF-IDF + SVMs down the taxonomy (HSVM, simplest form)",
    runner="topdown",
    taxonomy=True,
)
WORDS: Settings = {
    "text.ngrams": False,
    "text.max_length": 64,
    "text.dim": 64,
    "text.hidden": 32,
    "text.dropout": 0.3,
    "text.token_dropout": 0.0,
    "graph.hidden": 64,
    "training.epochs": 10,
    "training.batch_size": 64,
}
"""Small and short, so that a run is a matter of minutes of processor time."""


def _words() -> TableSpec:
    def cell(name: str, title: str, encoder: str, *parts: Settings) -> Cell:
        settings: dict[str, Any] = {"text.encoder": encoder}
        if encoder != "bag":
            settings["text.ngrams"] = None
        for part in parts:
            settings |= part
        return Cell(name, title, settings, taxonomy="data.taxonomy" in settings)

    highest: Settings = {"text.pooling": "max"}
    groups: Settings = {
        "data.taxonomy": "auto",
        "data.taxonomy_targets": "closed",
        "hierarchy.kind": "regularised",
    }
    return TableSpec(
        "words",
        "Classifiers that read the first 64 words; word vectors of 64 numbers, learned "
        "from nothing",
        WORDS,
        (
            TOP_DOWN,
            cell("bag", "bag of words, no graph", "bag", NO_GRAPH),
            cell("cnn", "text CNN", "cnn", NO_GRAPH),
            cell("cnn-rnn", "CNN-RNN", "cnn", {"head.kind": "recurrent"}),
            cell(
                "hierarchy-cnn",
                "text CNN that learns the taxonomy's groups too, label vectors near "
                "theirs (HE-AGCRCNN, simplest form)",
                "cnn",
                NO_GRAPH,
                groups,
            ),
            cell("bilstm", "BiLSTM, no graph", "bilstm", NO_GRAPH, highest),
            cell(
                "label-attention",
                "BiLSTM, label-wise attention",
                "bilstm",
                NO_GRAPH,
                {"head.kind": "label_attention"},
            ),
            cell("blocks", "block self-attention (Bi-BloSAN)", "blocks", NO_GRAPH),
            cell(
                "bilstm-paper",
                "BiLSTM, MAGNET, label vectors from attention alone",
                "bilstm",
                {"graph.residual": False},
                highest,
            ),
            cell("bilstm-ours", "BiLSTM, MAGNET, ours", "bilstm", highest),
        ),
        "bilstm",
        rates=(3e-3, 1e-2),
    )


TABLES = ("models", "words", "adjacency", "embeddings", "graph", "losses", "thresholds")


def table(
    name: str, *, full: bool = False, vectors_file: str = "", made: bool = False
) -> TableSpec:
    """The table of that name.

    Args:
        name: one of `TABLES`.
        full: graph: the product of the factors as well.
        vectors_file: embeddings: word vectors.
        made: they were made from the training text.

    Raises:
        TableError: there is no such table.
    """
    makers = {
        "models": _models,
        "words": _words,
        "adjacency": _adjacency,
        "embeddings": lambda: _embeddings(vectors_file, made),
        "graph": lambda: _graph(full),
        "losses": _losses,
        "thresholds": _thresholds,
    }
    if name not in makers:
        raise TableError(_unknown("table", name, makers))
    return makers[name]()


def corpus_settings(name: str) -> Settings:
    """How a corpus, or a file of one's own, is read for a table.

    Raises:
        TableError: there is no such corpus and no such file.
    """
    if name in CORPORA:
        return CORPORA[name]
    if name in corpus_names():
        return {"data.corpus": name}
    if Path(name).is_file():
        return {"data.data": name}
    known = dict.fromkeys(corpus_names())
    raise TableError(_unknown("corpus", name, known) + ", or a file of labelled texts")


def _unknown(kind: str, name: str, known: Mapping[str, Any], where: str = "") -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    return f"there is no {kind} '{name}'{where}{hint}; known: {', '.join(known)}"
