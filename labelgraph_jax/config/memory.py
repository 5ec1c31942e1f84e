"""Settings of the memory beside a classifier: what it keeps, and how it is asked."""

from dataclasses import dataclass
from typing import Any, Literal

from labelgraph_jax.config.settings import check_choices, require, require_numbers


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """Training documents and label texts that are looked up beside the classifier.

    What is left open is chosen on validation documents.
    """

    kind: Literal["none", "documents", "pretrained"] = "none"
    """Vectors by which documents are compared: the model's own document vectors, or
    those of a frozen sentence encoder."""
    pretrained: str = "minilm"
    """pretrained: local folder, installed package, or hub id of the encoder; or a
    folder of `labelgraph distil`."""
    max_length: int = 128
    """pretrained: tokens that are read of a document."""
    neighbours: int = 200
    """Number of nearest documents, and of nearest label texts, that are used."""
    temperature: float | None = None
    """Temperature of the softmax over the nearest documents; if small, the nearest
    decides."""
    label_temperature: float | None = None
    """Temperature of the softmax over the nearest label texts."""
    share: float | None = None
    """lambda: what the documents weigh in the memory, the rest being label texts."""
    weight: float | None = None
    """Weight of the memory beside the classifier; 0 leaves the classifier alone."""

    def __post_init__(self) -> None:
        check_choices(self, "memory")
        require_numbers(
            self,
            "memory",
            at_least_one=("max_length", "neighbours"),
            positive=("temperature", "label_temperature"),
        )
        for name in ("share", "weight"):
            value = getattr(self, name)
            require(
                value is None or 0.0 <= value <= 1.0,
                f"memory.{name} must lie in [0, 1], got {value}",
            )
        if self.kind == "none":
            for name in ("temperature", "label_temperature", "share", "weight"):
                require(
                    getattr(self, name) is None,
                    f"memory.{name} is read only with a memory: memory.kind must be "
                    "'documents' or 'pretrained', got 'none'",
                )


def check_memory(config: Any) -> None:
    """Refuse a memory that a run cannot have.

    Args:
        config: the whole `Config`.

    Raises:
        ConfigError: two settings that contradict each other.
    """
    kind = config.memory.kind
    require(
        kind == "none" or not config.table.tasks,
        "memory.kind is of labelled texts; a run over a table has no memory",
    )
    require(
        kind != "documents"
        or (config.head.kind == "product" and config.mixture.kind == "none"),
        "memory.kind='documents' compares the one vector that a document has: "
        "head.kind must be 'product' and mixture.kind 'none', got "
        f"'{config.head.kind}' and '{config.mixture.kind}'; memory.kind='pretrained' "
        "goes with any",
    )
