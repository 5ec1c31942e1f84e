"""Size of a planted corpus and strength of its structure, see `planted`."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_type_hints

from labelgraph_jax.config.wording import nearest_names
from labelgraph_jax.data.corpora.planted_words import WORDS
from labelgraph_jax.data.documents import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlantedSpec:
    """Settings of a planted corpus.

    Attributes:
        labels: nodes of the graph.
        documents: to train on; `validation` and `test` are beside them.
        seed: decides everything.
        community: labels in a community.
        neighbours: mean neighbours of a label, an even number.
        exponent: of the power law of the labels' frequencies.
        walk: steps of a document's walk.
        words: mean words of a document.
        own: words that a label alone owns.
        shared: share of the words that come from a neighbour of a label.
        noise: share of the words that say nothing.
        background: words that say nothing, of which there are so many.
        form: texts of made words, or features, the counts of the words.
    """

    labels: int = 1000
    documents: int = 5000
    validation: int = 500
    test: int = 1000
    seed: int = 0
    community: int = 20
    neighbours: int = 4
    exponent: float = 1.0
    walk: int = 6
    words: int = 16
    own: int = 20
    shared: float = 0.4
    noise: float = 0.2
    background: int = 1000
    form: Literal["text", "features"] = "text"

    def __post_init__(self) -> None:
        # Whole numbers, each at least its minimum.
        least = {"seed": 0, "validation": 0, "test": 0, "walk": 0, "labels": 2}
        for field in dataclasses.fields(self):
            value, name = getattr(self, field.name), field.name
            if isinstance(field.default, int) and value < least.get(name, 1):
                raise DataError(
                    f"planted: {name} must be at least {least.get(name, 1)}, "
                    f"got {value}"
                )
        # The graph of labels, and how frequent they are.
        if self.neighbours % 2 or self.neighbours < 2:
            raise DataError(
                f"planted: neighbours must be even and 2 or more, got {self.neighbours}"
            )
        if self.community < 2:
            raise DataError(
                f"planted: community must be at least 2, got {self.community}"
            )
        if not 0 <= self.exponent < 10:
            raise DataError(
                f"planted: exponent must lie in [0, 10), got {self.exponent}"
            )
        # The words of documents, and their form.
        shares = (self.shared, self.noise)
        if min(shares) < 0 or not sum(shares) <= 1:
            raise DataError(
                "planted: shared and noise must be shares that leave something to own "
                f"words, got {self.shared} and {self.noise}"
            )
        if self.vocabulary > WORDS:
            raise DataError(
                f"planted: labels x own + background must be at most {WORDS:,}, got "
                f"{self.vocabulary:,}"
            )
        if self.form not in ("text", "features"):
            raise DataError(
                f"planted: form must be text or features, got {self.form!r}"
            )

    @property
    def vocabulary(self) -> int:
        """Number of different words."""
        return self.labels * self.own + self.background


def read_spec(text: str) -> PlantedSpec:
    """The spec that `labels=1000,documents=5000,seed=0` is.

    What is absent keeps its default.

    Raises:
        DataError: an unknown name (the nearest is said), one twice, or a value of the
            wrong kind.
    """
    kinds = get_type_hints(PlantedSpec)
    values: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in kinds:
            nearest = nearest_names(name, kinds, cutoff=0.0)[0]
            raise DataError(
                f"planted: there is no setting {name!r}; the nearest is {nearest!r}"
            )
        if name in values:
            raise DataError(f"planted: {name} stands there twice")
        kind = kinds[name] if kinds[name] in (int, float) else str
        try:
            values[name] = kind(value)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise DataError(f"planted: {name} must be {what}, got {value!r}") from None
    return PlantedSpec(**values)
