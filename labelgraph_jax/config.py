"""Every setting of a run, as frozen and validated dataclasses, to and from JSON.

Two settings that contradict each other are a `ConfigError` which names both. How
values are read and checked is `settings`.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from labelgraph_jax.memory_settings import MemoryConfig, check_memory
from labelgraph_jax.settings import (
    ConfigError,
    check_choices,
    differences,
    from_values,
    require,
    require_numbers,
    to_dict,
)
from labelgraph_jax.table_settings import (
    TABLE_METRIC,
    TableConfig,
    check_table_run,
    resolved_table_run,
)
from labelgraph_jax.task_settings import MixtureConfig

__all__ = [
    "ENCODER_SETTINGS",
    "POOLINGS",
    "SELECTION_METRICS",
    "TABLE_METRIC",
    "Config",
    "ConfigError",
    "DataConfig",
    "GraphConfig",
    "HeadConfig",
    "LossConfig",
    "MemoryConfig",
    "MixtureConfig",
    "TableConfig",
    "TextConfig",
    "ThresholdConfig",
    "TrainingConfig",
    "differences",
    "from_dict",
    "read_config",
    "to_dict",
]

POOLINGS: dict[str, tuple[str, ...]] = {
    "bag": (),
    "cnn": ("max",),
    "bilstm": ("last", "mean", "max"),
    "transformer": ("mean", "max", "cls"),
}
"""What turns token vectors into one, by kind of encoder."""

SELECTION_METRICS = ("micro_f1", "macro_f1", "samples_f1", "LRAP", "mAP", "nDCG@5")
"""Validation metrics that can choose the best checkpoint."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which documents, and how they are split."""

    corpus: str = "stdlib_docs"
    """A named corpus (`labelgraph data list`); ignored where `data` is given.
    `reuters21578+goemotions` learns two together, each as a task of its own."""
    data: str = ""
    """Own training file: JSONL, TSV, CSV, parquet or LIBSVM, plain, .gz or .xz; or a
    folder as the Extreme Classification Repository has them."""
    validation: str = ""
    """Own validation file; cut off the training documents when empty."""
    test: str = ""
    """Own test file; cut off the training documents when empty."""
    data_dir: str = ""
    """Folder of local corpus copies; else LABELGRAPH_DATA, else the public home."""
    protocol: str = ""
    """Split protocol of a named corpus (reuters21578: modapte, random80)."""
    task: str = ""
    """Label set to learn where the documents carry several (Reuters: topics, ...);
    `topics,places` or `all` learn several at once. Of a table COLUMN=KIND, as often as
    there are tasks; see table.tasks."""
    taxonomy: str = ""
    """Own label taxonomy, a line `parent<TAB>child<TAB>child...` per parent."""
    taxonomy_shape: Literal["dag", "tree"] = "dag"
    """tree: a label with two parents is an error."""
    text_column: str = ""
    """Name of the text column of a CSV or parquet file; found by name when empty."""
    label_columns: tuple[str, ...] = ()
    """CSV or parquet: 0/1 columns, or one column of delimited labels."""
    label_delimiter: str = ""
    """What separates labels in a delimited column; guessed when empty."""
    validation_fraction: float = 0.1
    """Share of the training documents cut off where no validation split is given."""
    test_fraction: float = 0.2
    """Share of all documents cut off where no test split is given."""
    split_seed: int = 0

    def __post_init__(self) -> None:
        check_choices(self, "data")
        require_numbers(self, "data", not_negative=("split_seed",))
        for name in ("validation_fraction", "test_fraction"):
            value = getattr(self, name)
            require(0.0 < value < 0.9, f"data.{name} must lie in (0, 0.9), got {value}")


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The text side: token ids -> one vector per document."""

    encoder: Literal["bag", "cnn", "bilstm", "transformer"] = "bag"
    vectors: Literal["random", "file", "pretrained"] = "random"
    """Token vectors: learned from nothing, from a word-vector file, or contextual."""
    pretrained: str = "minilm"
    """Pretrained encoder: local folder, installed package, or hub id."""
    vectors_file: str = ""
    """GloVe or word2vec file, text or binary, plain or .gz."""
    trainable: bool = True
    """Fine-tune the token vectors; false freezes them (contextual ones are cached)."""
    trained_layers: int | None = None
    """Fine-tune only so many of a pretrained encoder's last layers; what lies below is
    computed once and cached. All of them by default."""
    max_length: int = 256
    """Tokens read of one document, or of one window."""
    long_documents: Literal["head", "windows"] = "head"
    """Read the head of a longer document, or windows whose vectors are pooled."""
    max_windows: int = 4
    vocabulary_size: int = 30_000
    ngrams: bool | None = None
    """A bag's tokens: words, word pairs and parts of words, or words alone; by default
    the former where the vectors are learned from nothing."""
    min_count: int = 2
    """Own vocabulary: words in fewer training documents than this are unknown."""
    dim: int = 256
    """Width of learned token vectors."""
    hidden: int = 250
    """BiLSTM units per direction, or CNN channels per width."""
    layers: int = 2
    """Layers of a transformer that is not pretrained."""
    pooling: Literal["default", "mean", "max", "cls", "last"] = "default"
    """How token vectors become one: mean for a transformer, the last states for a
    BiLSTM, unless said otherwise."""
    window_pooling: Literal["mean", "max"] = "mean"
    """How the vectors of a long document's windows become one."""
    dropout: float | None = None
    """Dropout on vectors; what suits the encoder where none is given."""
    token_dropout: float | None = None
    """Share of the tokens hidden at each training step; what suits the encoder."""
    attention_dropout: float = 0.0
    """Dropout on a transformer's attention weights."""

    def __post_init__(self) -> None:
        check_choices(self, "text")
        require_numbers(
            self,
            "text",
            shares=("dropout", "token_dropout", "attention_dropout"),
            at_least_one=(
                "max_length",
                "max_windows",
                "vocabulary_size",
                "min_count",
                "dim",
                "layers",
                "hidden",
                "trained_layers",
            ),
        )
        require(
            not self.ngrams or (self.encoder == "bag" and self.vectors == "random"),
            "text.ngrams needs text.encoder='bag' and text.vectors='random'",
        )
        require(
            self.vectors != "file" or bool(self.vectors_file),
            "text.vectors='file' needs text.vectors_file",
        )
        require(
            self.vectors == "file" or not self.vectors_file,
            f"text.vectors_file is read only with text.vectors='file', "
            f"got '{self.vectors}'",
        )
        require(
            self.trained_layers is None
            or (self.vectors == "pretrained" and self.trainable),
            "text.trained_layers needs text.vectors='pretrained' and text.trainable",
        )
        allowed = ("default", *POOLINGS[self.encoder])
        require(
            self.pooling in allowed,
            f"text.pooling of a {self.encoder} must be one of {list(allowed)}, "
            f"got '{self.pooling}'",
        )

    @property
    def reads_ngrams(self) -> bool:
        """Whether the tokens are n-grams."""
        if self.ngrams is None:
            return self.encoder == "bag" and self.vectors == "random"
        return self.ngrams


METHODS = ("auto", "dense", "complete", "blocked", "sparse")
GRAPH_METHODS = {"gatv2": ("auto", "dense"), "convolution": ("auto", "sparse")}
"""Ways to compute a form of attention that does not know all of them."""
FACTOR_ROLES = {"gat": "additive", "relu": "multiplicative"}
"""The role of edge weights of a low rank, in the forms that know them."""


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """The label side: label features and an adjacency -> one vector per label."""

    layers: int = 2
    """Graph layers; 0 leaves one free vector per label (no graph)."""
    heads: int = 4
    """Attention heads, which are averaged; a convolution has none."""
    hidden: int = 128
    """Features per head of the first layer."""
    attention: Literal["gat", "gatv2", "relu", "convolution"] = "gat"
    """How a label weighs its neighbours: graph attention, its second version, the
    paper's ReLU form without softmax, or by the adjacency alone."""
    role: Literal["mask", "additive", "multiplicative", "fixed", "none"] = "additive"
    """How the adjacency enters attention (see functional.graph_attention)."""
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
    """Where the adjacency starts: conditional co-occurrence, ..., the likeness of the
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
    """How attention is computed; the result is the same. dense: the whole matrix;
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
        check_choices(self, "graph")
        require_numbers(
            self,
            "graph",
            at_least_one=("heads", "hidden", "feature_dim", "neighbours"),
            not_negative=("rank",),
            shares=("dropout", "attention_dropout"),
        )
        self._check_method()
        require(self.layers >= 0, f"graph.layers must be at least 0, got {self.layers}")
        require(0.0 < self.tau <= 1.0, f"graph.tau must lie in (0, 1], got {self.tau}")
        require(0.0 < self.p < 1.0, f"graph.p must lie in (0, 1), got {self.p}")
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
        for value, name, file in (
            (self.initialisation == "file", "initialisation='file'", "adjacency_file"),
            (
                self.features == "word_vectors",
                "features='word_vectors'",
                "vectors_file",
            ),
        ):
            given = bool(getattr(self, file))
            require(given or not value, f"graph.{name} needs graph.{file}")
            require(value or not given, f"graph.{file} is read only with graph.{name}")
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

    def _check_method(self) -> None:
        """Refuses a way to compute attention that the form or the edges cannot take."""
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
        require(
            self.attention_dropout == 0.0
            or (self.method != "complete" and self.attention != "convolution"),
            "graph.attention_dropout drops attention weights, and neither graph.method="
            "'complete' nor graph.attention='convolution' makes any",
        )

    @property
    def is_learned(self) -> bool:
        """Whether the adjacency is a parameter."""
        if self.learned is None:
            return self.role in ("additive", "multiplicative")
        return self.learned


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """How document and label vectors become scores."""

    kind: Literal["product", "label_attention", "recurrent"] = "product"
    """MAGNET's product; every label attends to the tokens with its own vector; or a
    recurrent decoder that writes the labels one after another (CNN-RNN)."""
    hidden: int = 256
    """recurrent: units of the decoder, and width of its label vectors."""
    max_labels: int = 12
    """recurrent: the longest sequence of labels; further ones are not learned."""
    label_chunk: int | None = None
    """product: so many labels are scored at a time, and neither training nor
    prediction has an array of documents by labels. 0: all at once; by default that,
    and 4,096 of more than 20,000 labels."""
    kept_labels: int = 100
    """label chunks: how many labels of a document are kept, the most probable ones,
    for metrics, thresholds and predictions."""

    def __post_init__(self) -> None:
        check_choices(self, "head")
        require_numbers(
            self,
            "head",
            at_least_one=("hidden", "max_labels", "kept_labels"),
            not_negative=("label_chunk",),
        )


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The loss over (document, label) cells.

    What the last three kinds read has the values that were published for Reuters-21578
    (Huang et al., EMNLP 2021). A setting that the kind does not read is refused.
    """

    kind: Literal[
        "binary_cross_entropy",
        "focal",
        "asymmetric",
        "class_balanced",
        "negative_tolerant",
        "distribution_balanced",
    ] = "binary_cross_entropy"
    positive_weight: float = 1.0
    """Weight of a positive target against a negative one; the last three kinds weigh
    by the labels' counts instead."""
    label_smoothing: float = 0.0
    gamma: float = 2.0
    """Focusing exponent of focal and the last three kinds (0: none)."""
    gamma_positive: float = 0.0
    gamma_negative: float = 4.0
    """asymmetric: focusing exponents of positives and negatives."""
    margin: float = 0.05
    """asymmetric: probability below which a negative counts nothing."""
    beta: float = 0.9
    """class_balanced: 1 - beta over 1 - beta^n is the weight of n positives."""
    negative_scale: float = 2.0
    """negative_tolerant, distribution_balanced: slope of the negatives' loss."""
    logit_bias: float = 0.05
    """negative_tolerant, distribution_balanced: share of the label's prior log-odds
    that is taken off its logit in training."""
    alpha: float = 0.1
    map_beta: float = 10.0
    map_gamma: float = 0.9
    """distribution_balanced: the smooth map of the rebalancing weights."""

    def __post_init__(self) -> None:
        check_choices(self, "loss")
        require_numbers(
            self,
            "loss",
            positive=("positive_weight", "negative_scale", "map_beta"),
            not_negative=(
                "gamma",
                "gamma_positive",
                "gamma_negative",
                "logit_bias",
                "alpha",
                "map_gamma",
            ),
            shares=("label_smoothing", "margin", "beta"),
        )
        read = {"kind", "label_smoothing", *LOSS_SETTINGS[self.kind]}
        for field_ in dataclasses.fields(self):
            require(
                field_.name in read or getattr(self, field_.name) == field_.default,
                f"loss.kind='{self.kind}' does not read loss.{field_.name}; leave it "
                f"at {field_.default}",
            )


LOSS_SETTINGS: dict[str, tuple[str, ...]] = {
    "binary_cross_entropy": ("positive_weight",),
    "focal": ("gamma", "positive_weight"),
    "asymmetric": ("gamma_positive", "gamma_negative", "margin", "positive_weight"),
    "class_balanced": ("beta", "gamma"),
    "negative_tolerant": ("negative_scale", "logit_bias", "gamma"),
    "distribution_balanced": (
        "alpha",
        "map_beta",
        "map_gamma",
        "negative_scale",
        "logit_bias",
        "gamma",
    ),
}
"""What each kind of loss reads beside label_smoothing."""


@dataclass(frozen=True, kw_only=True)
class ThresholdConfig:
    """How probabilities become labels; fitted on validation, saved with the model."""

    kind: Literal["auto", "half", "global", "sloped", "label", "top_k"] = "auto"
    """0.5; one threshold for all labels; one that slopes with how often a label occurs
    in training; one per label, drawn towards that slope; the k most probable labels; or
    the first of these but for the last that none after it beats on validation documents
    that it was not fitted on."""
    metric: Literal["micro_f1", "mean_f1"] = "micro_f1"
    """What thresholds are fitted and chosen by: micro-F1, or the mean of micro- and
    macro-F1, which cares for rare labels more."""
    shrinkage: float = 20.0
    """label: positives at which a label's own threshold and the slope weigh equal."""
    k: int = 0
    """top_k: labels per document; 0 fits it on validation."""
    at_least_one: bool | None = None
    """Give a document without any label its most probable one; by default where `auto`
    finds that better on validation documents."""
    consistent: bool = False
    """A label implies its ancestors in the taxonomy."""

    def __post_init__(self) -> None:
        check_choices(self, "threshold")
        require_numbers(self, "threshold", not_negative=("shrinkage", "k"))
        require(
            self.k == 0 or self.kind == "top_k",
            f"threshold.k is read only with threshold.kind='top_k', got '{self.kind}'",
        )
        require(
            not self.at_least_one or self.kind != "top_k",
            "threshold.at_least_one changes nothing with threshold.kind='top_k'",
        )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Optimisation and selection."""

    epochs: int = 20
    batch_size: int = 32
    micro_batches: int = 1
    """Split every batch in so many parts whose gradients are summed: the same step in
    less memory."""
    learning_rate: float | None = None
    """Peak rate; what suits the encoder where none is given."""
    body_learning_rate: float = 2e-4
    """Rate of the pretrained encoder."""
    weight_decay: float = 0.01
    warmup_fraction: float = 0.1
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    clip_norm: float = 1.0
    selection_metric: str = "micro_f1"
    """Validation metric that chooses the best checkpoint (larger is better); of a table
    always `skill`."""
    patience: int = 0
    """Epochs without improvement before stopping early; 0 never stops early."""
    evaluation_batch_size: int = 64
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    """Number type of the products of a trained transformer, a CNN and a mixture;
    parameters, softmax, norms and losses are float32 always. bfloat16 is for TPU and
    GPU: a CPU has no fast product of it."""
    rematerialise: bool = False
    """Gradient checkpointing of a trained transformer: every layer is computed twice,
    so that a TPU or GPU keeps less of long documents; on a CPU XLA saves nothing."""
    seed: int = 0

    def __post_init__(self) -> None:
        check_choices(self, "training")
        require_numbers(
            self,
            "training",
            at_least_one=(
                "epochs",
                "batch_size",
                "micro_batches",
                "evaluation_batch_size",
            ),
            positive=("learning_rate", "body_learning_rate", "clip_norm"),
            not_negative=("weight_decay", "patience", "seed"),
            shares=("warmup_fraction",),
        )
        require(
            self.batch_size % self.micro_batches == 0,
            f"training.batch_size ({self.batch_size}) must be a multiple of "
            f"training.micro_batches ({self.micro_batches})",
        )
        require(
            self.selection_metric in (*SELECTION_METRICS, TABLE_METRIC),
            f"training.selection_metric must be one of {list(SELECTION_METRICS)}, or "
            f"of a table '{TABLE_METRIC}', got '{self.selection_metric}'",
        )


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run."""

    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    table: TableConfig = field(default_factory=TableConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        require(
            self.head.kind != "label_attention" or self.text.encoder != "bag",
            "head.kind='label_attention' reads the vector of every token: text.encoder "
            "must be cnn, bilstm or transformer, got 'bag'",
        )
        require(
            self.head.kind != "label_attention" or self.text.pooling == "default",
            "head.kind='label_attention' reads the tokens themselves: text.pooling "
            f"must be 'default', got '{self.text.pooling}'",
        )
        require(
            self.head.kind != "recurrent" or self.loss == LossConfig(),
            "head.kind='recurrent' has a loss of its own, the cross-entropy of the "
            "label sequence: every setting of loss must keep its default, got "
            f"{'; '.join(differences(LossConfig(), self.loss))}",
        )

        require(
            self.mixture.kind == "none" or self.head.kind == "product",
            "a mixture gives every label set a document vector of its own: head.kind "
            f"must be 'product', got '{self.head.kind}'",
        )
        pretrained = self.text.vectors == "pretrained"
        trains_transformer = not self.table.tasks and (
            self.text.trainable if pretrained else self.text.encoder == "transformer"
        )
        require(
            self.training.compute_dtype == "float32"
            or trains_transformer
            or (self.text.encoder == "cnn" and not self.table.tasks)
            or self.mixture.kind != "none"
            or bool(self.table.tasks),
            "training.compute_dtype='bfloat16' is of a trained transformer's, a CNN's "
            "and a mixture's products; this run has none of them",
        )
        require(
            not self.training.rematerialise or trains_transformer,
            "training.rematerialise is of a transformer that is trained; this run has "
            f"text.encoder='{self.text.encoder}', text.vectors='{self.text.vectors}', "
            f"text.trainable={self.text.trainable}",
        )
        check_table_run(self)
        check_memory(self)

    def resolved(self) -> "Config":
        """The same run with every setting that depends on the encoder written out."""
        if self.table.tasks:
            return resolved_table_run(self)
        chosen = ENCODER_SETTINGS[self.text.encoder]
        text: dict[str, Any] = {
            name: chosen[name]
            for name in ("dropout", "token_dropout")
            if getattr(self.text, name) is None
        }
        training = self.training
        if training.learning_rate is None:
            training = dataclasses.replace(
                training, learning_rate=chosen["learning_rate"]
            )
        return dataclasses.replace(
            self, text=dataclasses.replace(self.text, **text), training=training
        )


ENCODER_SETTINGS = {
    "bag": {"dropout": 0.5, "token_dropout": 0.4, "learning_rate": 1e-2},
    "cnn": {"dropout": 0.3, "token_dropout": 0.0, "learning_rate": 2e-3},
    "bilstm": {"dropout": 0.3, "token_dropout": 0.0, "learning_rate": 2e-3},
    "transformer": {"dropout": 0.1, "token_dropout": 0.0, "learning_rate": 3e-3},
}
"""What a setting that is left open becomes. The bag's were chosen on the validation
documents of stdlib_docs."""

MOVED = {
    ("training", "positive_weight"): ("loss", "positive_weight"),
    ("training", "label_smoothing"): ("loss", "label_smoothing"),
    ("training", "threshold"): ("threshold", "kind"),
    ("training", "threshold_shrinkage"): ("threshold", "shrinkage"),
}
"""Where the settings of version 0.1 stand now, so that its work directories load."""
DROPPED = {("mixture", "expert_devices")}
"""Settings of earlier versions that are now of the command line (`--mesh`)."""


def from_dict(values: Any) -> Config:
    """A configuration from nested dictionaries; what is absent keeps its default.

    Raises:
        ConfigError: an unknown key (with the nearest known one), or a value of the
            wrong kind.
    """
    if isinstance(values, dict):
        for section, name in DROPPED:
            held = values.get(section)
            if isinstance(held, dict) and name in held:
                rest = {key: value for key, value in held.items() if key != name}
                values = {**values, section: rest}
        for (section, name), (to, new) in MOVED.items():
            held = values.get(section)
            if isinstance(held, dict) and name in held:
                moved = {**values.get(to, {}), new: held[name]}
                rest = {key: value for key, value in held.items() if key != name}
                values = {**values, section: rest, to: moved}
    return from_values(values, Config)


def read_config(path: str | Path) -> Config:
    """Reads a configuration from a JSON file.

    Raises:
        ConfigError: the file is absent or not JSON, or a setting is wrong.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path}:{error.lineno}: must be JSON: {error.msg}"
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{path}: must be JSON: nested too deep") from error
    try:
        return from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
