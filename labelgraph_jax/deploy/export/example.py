"""The script beside an exported model that predicts with it, without this package."""

from dataclasses import dataclass
from importlib import resources

from labelgraph_jax.deploy.export.templates import render
from labelgraph_jax.predictors.decision import Decision

FUSED = "ngrams+tokenizer"
"""Kind of tokens of a bag that is fused with a static encoder."""


@dataclass(frozen=True)
class TextRule:
    """Settings that turn a text into ids.

    Attributes:
        kind: `tokenizer`, `ngrams`, `features`, or `FUSED`; see `files`.
        max_length, max_windows: what is read of a text: tokens (of n-grams words, of
            features features) in a window, and windows.
        pad, empty: the id that fills short rows, and that of a text without a token.
        windowed: whether the inputs have an axis of windows.
        version: of the rule that cuts a text into n-grams.
        first_piece: the id of the first piece, of n-grams and pieces.
    """

    kind: str
    max_length: int
    max_windows: int
    pad: int
    empty: int
    windowed: bool
    version: int = 1
    first_piece: int = 0

    @property
    def parts(self) -> list[str]:
        """The kinds of tokens that are read one after another."""
        return self.kind.split("+")

    @property
    def files(self) -> str:
        """Names of the files that say how a text is cut."""
        return " and ".join(f"{part}.json" for part in self.parts)


def example(text: TextRule, decision: Decision, *, ranked: bool) -> str:
    """The script, for one kind of tokens, one rule and one kind of outputs.

    Args:
        text: how a text becomes ids.
        decision: how probabilities become labels.
        ranked: whether the program gives the most probable labels alone.
    """
    # How a text is cut into n-grams, as this package has it.
    source = resources.files("labelgraph_jax.data.tokenizers") / "units.py"
    _, units = source.read_text(encoding="utf-8").split('"""\n', 1)
    cuts = decision.thresholds
    return render(
        "load_example.py",
        text=text,
        decision=decision,
        ranked=ranked,
        differing=bool((cuts != cuts[0]).any()),
        units=units.rstrip(),
    )
