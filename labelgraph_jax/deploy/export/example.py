"""The script beside an exported model that predicts with it, without this package."""

from dataclasses import dataclass
from importlib import resources

from labelgraph_jax.config.wording import counted
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
    third = "import tokenizers\n" if "tokenizer" in text.parts else ""
    head = _template("head").format(
        needs=", and tokenizers" if third else "",
        third=third,
    )
    features = text.kind == "features"
    cut = "\n    inputs = {name: x[:, 0] for name, x in inputs.items()}"
    return (
        head
        + (_units() if "ngrams" in text.parts else "")
        + _reading(text)
        + _template("predict").format(
            pad=text.pad,
            values=', "token_values": values' if features else "",
            first_window="" if text.windowed else cut,
            decide=_decide(decision, ranked),
            label='found["label_ids"][d, i]' if ranked else "i",
            sample='["0:1.0"]' if features else '["Wheat exports rose in March"]',
        )
    )


def _reading(text: TextRule) -> str:
    """The function that reads a text, by its kind of tokens, or by both."""
    lines = []
    for part in text.parts:
        fields = {"max_length": text.max_length, "max_windows": text.max_windows}
        empty = 1 if part == "ngrams" else text.empty
        lines.append(
            _template(part).format(**fields, empty=empty, version=text.version)
        )
        if text.kind == FUSED and part == "ngrams":
            lines.append("\n\nread_words = read\n")
    if text.kind == FUSED:
        lines.append(_template("fused").format(first_piece=text.first_piece))
    return "".join(lines)


def _template(name: str) -> str:
    """A part of the script, with fields to fill in and braces doubled."""
    folder = resources.files("labelgraph_jax.deploy.export") / "assets"
    return (folder / f"{name}.txt").read_text(encoding="utf-8")


def _units() -> str:
    """The functions that cut a text into n-grams, as this package has them."""
    source = resources.files("labelgraph_jax.data.tokenizers") / "units.py"
    _, functions = source.read_text(encoding="utf-8").split('"""\n', 1)
    return (
        "\n# How a text is cut, as labelgraph_jax does it.\n"
        + functions.rstrip()
        + "\n"
    )


def _decide(decision: Decision, ranked: bool) -> str:
    """The lines that say which labels a document gets, `chosen`."""
    if decision.kind == "top_k":
        lines = [
            "order = np.argsort(-scores, axis=1, kind='stable')",
            f"chosen = np.argsort(order, axis=1, kind='stable') < {decision.k}",
        ]
    else:
        own = '[found["label_ids"]]' if ranked and _differ(decision) else ""
        lines = [f"chosen = scores >= np.asarray(THRESHOLDS, np.float32){own}"]
        if decision.at_least_one:
            lines += [
                "none = ~chosen.any(axis=1)",
                "chosen[none, scores[none].argmax(axis=1)] = True",
            ]
    if decision.consistent:
        lines += [
            'above = json.loads((HERE / "taxonomy.json").read_text("utf-8"))',
            "for row in chosen:",
            "    for i in np.flatnonzero(row):",
            '        row[above["ancestors"][i]] = True',
        ]
    if decision.obeys:
        top = f"-np.sort(-scores, axis=1)[:, {decision.k - 1}:{decision.k}]"
        mend = "shield_decisions" if decision.shielded else "decode_rules"
        lines += [
            f"# Labels obey {counted(len(decision.hard_rules.rules), 'rule')}, which "
            "rules.json names.",
            f"from label_rules import Clauses, {mend}, obeying_labels",
            'own = json.loads((HERE / "rules.json").read_text("utf-8"))',
            'rules = Clauses(np.array(own["body"]), np.array(own["head"]))',
            f"cut = {top if decision.kind == 'top_k' else 'np.asarray(THRESHOLDS)'}",
            f"chosen = obeying_labels(scores, cut, rules, chosen, {mend}).decided",
        ]
    elif decision.rules is not None:
        said = counted(len(decision.rules.rules), "rule changes", "rules change")
        lines += [f"# {said} no label here; what training made of them is learned."]
    return "\n".join("    " + line.replace("'", '"') for line in lines)


def _differ(decision: Decision) -> bool:
    return bool((decision.thresholds != decision.thresholds[0]).any())
