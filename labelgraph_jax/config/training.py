"""Settings of training and decisions: head, loss, thresholds, training."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from labelgraph_jax.config.settings import (
    check_choices,
    require,
    require_numbers,
)
from labelgraph_jax.config.table import TABLE_METRIC

SELECTION_METRICS = ("micro_f1", "macro_f1", "samples_f1", "LRAP", "mAP", "nDCG@5")
"""Validation metrics that can choose the best checkpoint."""


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Way to turn document and label vectors into scores."""

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
    by the labels' counts instead. Of a table the most that it weighs: at most as many
    negatives as there are to one."""
    label_smoothing: float = 0.0
    logit_adjustment: float = 0.0
    """Share of the log-odds of a label's frequency that is added to its logit in the
    loss, of any kind: prediction, which leaves it out, favours rare labels then."""
    r_drop: float = 0.0
    """Weight of the divergence between two passes of a document with other dropout
    (R-Drop), which take twice the time. 0: one pass."""
    contrast: float = 0.0
    """Weight of a contrast between the documents of a batch beside the loss of a
    document's labels: those that share labels are drawn together, by their share, and
    to their labels. Documents of earlier steps fill a batch of fewer than 256 up. 0:
    none; of a head of products."""
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
                "contrast",
                "logit_adjustment",
                "r_drop",
            ),
            shares=("label_smoothing", "margin", "beta"),
        )
        read = {*LOSS_OF_ALL, *LOSS_SETTINGS[self.kind]}
        for field_ in dataclasses.fields(self):
            require(
                field_.name in read or getattr(self, field_.name) == field_.default,
                f"loss.kind='{self.kind}' does not read loss.{field_.name}; leave it "
                f"at {field_.default}",
            )


LOSS_OF_ALL = ("kind", "label_smoothing", "logit_adjustment", "r_drop", "contrast")
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
"""Settings that each kind of loss reads beside those of all."""


@dataclass(frozen=True, kw_only=True)
class ThresholdConfig:
    """Decision rule for probabilities; fitted on validation, saved with the model."""

    kind: Literal["auto", "half", "global", "sloped", "label", "top_k"] = "auto"
    """0.5; one threshold for all labels; one that slopes with how often a label occurs
    in training; one per label, drawn towards that slope; the k most probable labels; or
    the best of these but for the last on validation documents that it was not fitted
    on."""
    metric: Literal["micro_f1", "mean_f1"] = "micro_f1"
    """Metric that thresholds are fitted and chosen by: micro-F1, or the mean of micro-
    and macro-F1, which gives rare labels more weight."""
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
    average: Literal["none", "ema", "epochs"] = "none"
    """Parameters that validation measures and the run keeps: those of the last step;
    their moving average over about a hundred steps; or the mean of those at the ends of
    the epochs of the second half."""
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
    row_updates: bool = True
    """Update only the rows of a large table of token or category vectors that a batch
    reads; the others catch up when they are read, and for every validation. Equal up
    to rounding to an update of all rows at every step, and several times as fast."""
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
