"""Settings of a run whose model will read documents of another distribution."""

from dataclasses import dataclass
from typing import Any, Literal

from labelgraph_jax.config.settings import (
    check_choices,
    require,
    require_numbers,
    without_effect,
)


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """Settings of how training fits the model to the documents of `data.target`.

    No label of theirs takes part, neither in training nor in the choice.
    """

    kind: Literal["auto", "none", "prior", "coral", "adversarial", "self"] = "auto"
    """prior: label frequencies corrected after training; coral: alike covariances of
    document vectors; adversarial: a classifier cannot tell their domain; self: surest
    target documents learned from; auto: what is better beyond chance, or none."""
    weight: float = 1.0
    """lambda: what it counts beside the loss of the labels; 0 is none."""
    conditional: bool = False
    """adversarial: the classifier of domains reads products of document vectors and
    label probabilities."""

    def __post_init__(self) -> None:
        check_choices(self, "adapt")
        require_numbers(self, "adapt", not_negative=("weight",))
        require(self.weight < float("inf"), "adapt.weight must be finite, got inf")
        require(
            not self.conditional or self.kind == "adversarial",
            "adapt.conditional is read only with adapt.kind='adversarial', got "
            f"'{self.kind}'",
        )


def check_adapt(config: Any) -> None:
    """Refuse to adapt where a run cannot.

    Args:
        config: the whole `Config`.

    Raises:
        ConfigError: two settings that contradict each other.
    """
    if not config.data.target:
        require(
            config.adapt == AdaptConfig(),
            f"{without_effect(config.adapt, 'adapt')} target documents, data.target",
        )
        return
    require(
        not config.data.unlabelled,
        "a run learns from data.unlabelled or adapts to data.target: leave one out",
    )
    kind = config.adapt.kind
    require(
        not config.table.tasks,
        "data.target is of labelled texts; a run over a table has no target documents",
    )
    require(
        kind != "prior" or config.head.kind != "recurrent",
        "adapt.kind='prior' moves the bias of every label, and head.kind='recurrent' "
        "has none",
    )
    if kind in ("coral", "adversarial") and config.adapt.weight:
        why = without_document_vectors(config)
        require(not why, f"adapt.kind='{kind}' moves the document vectors: {why}")


def without_document_vectors(config: Any) -> str:
    """Return why training moves no document vector of a run, or "" where it does."""
    text = config.text
    if config.head.kind != "product" or config.mixture.kind != "none":
        return (
            "head.kind must be 'product' and mixture.kind 'none', got "
            f"'{config.head.kind}' and '{config.mixture.kind}'"
        )
    pools = text.encoder in ("bag", "transformer")
    if not text.trainable and text.vectors != "random" and pools:
        return (
            f"those of text.encoder='{text.encoder}' over text.vectors="
            f"'{text.vectors}' stay as they are with text.trainable=False"
        )
    return ""
