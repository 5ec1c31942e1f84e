"""Settings of learning from documents without labels beside the labelled ones."""

from dataclasses import dataclass
from typing import Any, Literal

from labelgraph_jax.config.settings import (
    ConfigError,
    check_choices,
    require,
    require_numbers,
    without_effect,
)


@dataclass(frozen=True, kw_only=True)
class SemiConfig:
    """Learning from documents without labels: `--unlabelled`, or labels of null."""

    kind: Literal["auto", "none", "cap", "teacher", "graph", "vat"] = "auto"
    """cap: the surest labels of each by its share of the labelled documents, weighed by
    how often they are right; graph: the same of scores smoothed over the nearest
    documents; teacher: what the average of the model's last parameters says; vat: no
    other labels for a text that is moved a little. auto tries them on labelled
    documents that are held back, and answers none where nothing is gained."""
    weight: float = 1.0
    """Weight of the unlabelled documents of a batch beside its labelled ones."""
    ratio: int = 4
    """Unlabelled documents beside each labelled one of a batch."""
    allow_overlap: bool = False
    """Learn from unlabelled texts although they stand in the validation or test split
    too."""
    compare: bool = True
    """Train once more without the unlabelled documents, and say what they changed."""

    def __post_init__(self) -> None:
        check_choices(self, "semi")
        require_numbers(self, "semi", at_least_one=("ratio",), not_negative=("weight",))


def check_semi(config: Any) -> None:
    """Refuses unlabelled documents where nothing is learned from them.

    Args:
        config: the whole `Config`.

    Raises:
        ConfigError: two settings that contradict each other.
    """
    require(
        not (config.table.tasks and (config.data.unlabelled or _is_set(config.semi))),
        "data.unlabelled is of texts; a run over a table learns from all its rows",
    )
    require(
        config.head.kind != "recurrent" or not config.data.unlabelled,
        "data.unlabelled needs a score of every label: head.kind must not be "
        "'recurrent'",
    )


def require_unlabelled(semi: SemiConfig) -> None:
    """Refuses settings of unlabelled documents in a run that has none.

    Raises:
        ConfigError: a setting is not left at its default.
    """
    if _is_set(semi):
        raise ConfigError(
            f"{without_effect(semi, 'semi')} unlabelled documents: data.unlabelled, or "
            'lines with "labels": null in the training file'
        )


def _is_set(semi: SemiConfig) -> bool:
    # Without documents none is what happens anyway.
    return semi not in (SemiConfig(), SemiConfig(kind="none"))
