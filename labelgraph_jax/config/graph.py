"""The label side of a model: the settings of the label graph."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from labelgraph_jax.config.settings import (
    check_choices,
    require,
    require_file,
    require_numbers,
)

METHODS = ("auto", "dense", "complete", "blocked", "sparse")
GRAPH_METHODS = {"gatv2": ("auto", "dense"), "convolution": ("auto", "sparse")}
"""Ways to compute a form of attention that does not know all of them."""
CHOSEN = ("layers", "attention", "role", "initialisation", "rank", "residual", "skip")
"""Settings that `kind` auto chooses, or that its choice reads."""
FACTOR_ROLES = {"gat": "additive", "relu": "multiplicative"}
"""The role of edge weights of a low rank, in the forms that know them."""


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """The label side: label features and an adjacency -> one vector per label."""

    kind: Literal["static", "document", "auto"] = "static"
    """static: label vectors that are one for all documents. document: also messages
    between what the labels read in a document, of head.kind='label_attention'. auto:
    form and adjacency by cross-validation on training documents, or none; see
    `labelgraph graph worth`."""
    layers: int = 2
    """Graph layers; 0 leaves one free vector per label (no graph)."""
    heads: int = 4
    """Attention heads, which are averaged; a convolution has none."""
    hidden: int = 128
    """Features per head of the first layer."""
    attention: Literal["gat", "gatv2", "relu", "convolution"] = "gat"
    """Weights of a label's neighbours: graph attention, its second version, the
    paper's ReLU form without softmax, or the adjacency alone."""
    role: Literal["mask", "additive", "multiplicative", "fixed", "none"] = "additive"
    """Role of the adjacency in attention (see functional.graph_attention)."""
    initialisation: Literal[
        "cooccurrence",
        "identity",
        "random",
        "xavier",
        "thresholded",
        "taxonomy",
        "similarity",
        "file",
    ] = "cooccurrence"
    """Start of the adjacency: conditional co-occurrence, ..., the similarity of the
    labels' encoded names, or a file that `labelgraph graph` saved."""
    adjacency_file: str = ""
    """file: what `labelgraph graph --out` wrote."""
    tau: float = 0.1
    """thresholded: smallest conditional probability that counts as an edge."""
    p: float = 0.25
    """thresholded: share of a label's message that comes from its neighbours."""
    neighbours: int = 5
    """similarity, and an edge list: of how many other labels a label receives at
    most, those most alike or most often beside it."""
    method: Literal["auto", "dense", "complete", "blocked", "sparse"] = "auto"
    """Algorithm of attention; the result is the same. dense: the whole matrix;
    complete: exact without a matrix, where every label receives from every label;
    blocked: some rows of the matrix at a time; sparse: over an edge list, which many
    labels have in any case."""
    rank: int = 0
    """Learned edge weights of this rank, in place of one number per pair of labels;
    0: none. Nothing of them grows with the square of the labels."""
    learned: bool | None = None
    """Train the adjacency; by default exactly where the role has a gradient."""
    features: Literal["random", "names", "word_vectors"] = "names"
    """Label features: random; the label's name or description, encoded as the text is;
    or the mean of its words in a word-vector file."""
    vectors_file: str = ""
    """word_vectors: GloVe or word2vec file, text or binary, plain or .gz."""
    feature_dim: int = 128
    """Width of random label features."""
    residual: bool = True
    """Label vector = free vector + message; false is the paper's message alone."""
    gated: bool = False
    """Weigh the message of every label by a learned gate."""
    skip: bool = False
    """Add the label features themselves to the label vector; encoded names of the width
    of a document vector are taken as they are."""
    negative_slope: float = 0.2
    dropout: float = 0.0
    attention_dropout: float = 0.0
    """Dropout on the attention weights; `complete` makes none that could be dropped."""

    def __post_init__(self) -> None:
        # Choices and numbers, each by itself.
        check_choices(self, "graph")
        require_numbers(
            self,
            "graph",
            at_least_one=("heads", "hidden", "feature_dim", "neighbours"),
            not_negative=("rank",),
            shares=("dropout", "attention_dropout"),
        )
        # The form of the graph, and how its attention is computed.
        self._check_method()
        self._check_kind()
        require(self.layers >= 0, f"graph.layers must be at least 0, got {self.layers}")
        require(0.0 < self.tau <= 1.0, f"graph.tau must lie in (0, 1], got {self.tau}")
        require(0.0 < self.p < 1.0, f"graph.p must lie in (0, 1), got {self.p}")
        # The role of the adjacency: what it can learn, what a convolution needs.
        require(
            not (self.learned and self.role in ("mask", "fixed", "none")),
            f"graph.role='{self.role}' passes no gradient to the adjacency, so it "
            "cannot be learned; roles that learn: additive, multiplicative",
        )
        require(
            self.attention != "convolution" or self.role in ("fixed", "multiplicative"),
            "graph.attention='convolution' weighs by the adjacency: graph.role must be "
            f"'fixed' or 'multiplicative' (learned), got '{self.role}'",
        )
        # Where adjacency and features come from, and settings that need others.
        require_file(self, "graph", "initialisation", "file", "adjacency_file")
        require_file(self, "graph", "features", "word_vectors", "vectors_file")
        require(
            self.initialisation != "similarity" or self.features != "random",
            "graph.initialisation='similarity' joins labels with similar features: "
            "graph.features must be 'names' or 'word_vectors', got 'random'",
        )
        require(
            not self.gated or self.residual,
            "graph.gated weighs the message beside a free vector: it needs "
            "graph.residual",
        )

    def _check_kind(self) -> None:
        """Refuse settings that a choice would overwrite, or messages cannot take."""
        changed = [
            field.name
            for field in dataclasses.fields(self)
            if field.name in CHOSEN and getattr(self, field.name) != field.default
        ]
        require(
            self.kind != "auto" or not changed,
            "graph.kind='auto' chooses the form of the label vectors: it cannot be "
            f"given graph.{', graph.'.join(changed)}",
        )
        require(
            self.kind != "document" or (self.attention == "gat" and self.rank == 0),
            "graph.kind='document' is graph attention over given edges: it needs "
            f"graph.attention='gat' and graph.rank=0, got '{self.attention}' and "
            f"{self.rank}",
        )

    def _check_method(self) -> None:
        """Refuse a way to compute attention that the form or the edges cannot take."""
        # What the form of attention allows: methods, learned edge weights.
        known = GRAPH_METHODS.get(self.attention, METHODS)
        require(
            self.method in known,
            f"graph.method with graph.attention='{self.attention}' must be one of "
            f"{list(known)}, got '{self.method}'",
        )
        role = FACTOR_ROLES.get(self.attention)
        require(
            self.rank == 0 or (self.role == role and self.learned is not False),
            f"graph.rank={self.rank} learns edge weights: it needs graph.attention="
            "'gat' with graph.role='additive', or 'relu' with 'multiplicative', and "
            f"graph.learned; got '{self.attention}' with '{self.role}'",
        )
        # The edges: complete, or listed by an adjacency.
        complete = self.role == "none" or self.rank > 0
        require(
            self.method != "complete" or complete,
            "graph.method='complete' lets every label receive from every label: it "
            f"needs graph.role='none' or graph.rank, got graph.role='{self.role}'; "
            "an adjacency takes dense, blocked or sparse",
        )
        require(
            self.method != "sparse" or not complete,
            "graph.method='sparse' reads a list of edges, which neither graph.role="
            "'none' nor graph.rank has: choose complete, blocked or dense",
        )
        # Dropout of attention weights, where a method makes them.
        require(
            self.attention_dropout == 0.0
            or (self.method != "complete" and self.attention != "convolution"),
            "graph.attention_dropout drops attention weights, and neither graph.method="
            "'complete' nor graph.attention='convolution' makes any",
        )

    @property
    def is_learned(self) -> bool:
        """True if the adjacency is a parameter."""
        if self.learned is None:
            return self.role in ("additive", "multiplicative")
        return self.learned
