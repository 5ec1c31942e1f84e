"""The script beside an exported model that predicts with it, without this package."""

from dataclasses import dataclass

from labelgraph_jax.predictors.decision import Decision

HEAD = '''"""Predict with this exported model: python load_example.py "a text" "another"

Needs jax, flatbuffers and numpy{needs}. Prints a line of JSON for every text.
"""

import json
{imports}import sys
from pathlib import Path

import jax
import jax.export
import numpy as np
{third}
HERE = Path(__file__).parent
PROGRAM = jax.export.deserialize(bytearray((HERE / "program.jaxexport").read_bytes()))
WEIGHTS = dict(np.load(HERE / "weights.npz"))
LABELS = json.loads((HERE / "labels.json").read_text("utf-8"))["names"]
THRESHOLDS = json.loads((HERE / "thresholds.json").read_text("utf-8"))["thresholds"]
CALL = jax.jit(PROGRAM.call)
'''

TOKENIZER = """
TOKENIZER = tokenizers.Tokenizer.from_file(str(HERE / "tokenizer.json"))
TOKENIZER.no_padding()
TOKENIZER.enable_truncation({max_length})


def windows_of(text):
    first = TOKENIZER.encode(text)
    windows = [first, *first.overflowing[: {max_windows} - 1]]
    return [[(token, 1.0) for token in w.ids or [{empty}]] for w in windows]
"""

NGRAMS = """
TOKENS = json.loads((HERE / "ngrams.json").read_text("utf-8"))
ROWS = {{token: row for row, token in enumerate(TOKENS)}}


def tokens_of(words):
    parts = words + [" ".join(pair) for pair in zip(words, words[1:])]
    for word in words:
        for size in (3, 4, 5):
            cut = range(len(word) + 3 - size)
            parts += ["#" + f"<{{word}}>"[i : i + size] for i in cut]
    return [(ROWS[part], 1.0) for part in parts if part in ROWS] or [({empty}, 1.0)]


def windows_of(text):
    words = re.findall(r"\\w+", text.lower())
    starts = range(0, max(len(words), 1), {max_length})[:{max_windows}]
    return [tokens_of(words[i : i + {max_length}]) for i in starts]
"""

FEATURES = """
KEPT = json.loads((HERE / "features.json").read_text("utf-8"))["kept"]
ROWS = {{feature: row for row, feature in enumerate(KEPT, 1)}}


def windows_of(text):  # a document is "id:value id:value ...", ids counted from 0
    pairs = [pair.split(":") for pair in text.split()]
    known = [(ROWS[int(i)], float(v)) for i, v in pairs if int(i) in ROWS]
    best = sorted(range(len(known)), key=lambda at: -abs(known[at][1]))
    return [[known[at] for at in sorted(best[:{max_length}])]]
"""

PREDICT = '''

def predict(texts):
    """The labels of every text with their probabilities, the most probable first."""
    documents = [windows_of(text) for text in texts]
    longest = max(len(w) for windows in documents for w in windows)
    shape = (len(texts), max(map(len, documents)), max(longest, 1))
    ids, values = np.full(shape, {pad}, np.int32), np.zeros(shape, np.float32)
    mask = np.zeros(shape, bool)
    for d, windows in enumerate(documents):
        for w, pairs in enumerate(windows):
            for place, (token, value) in enumerate(pairs):
                ids[d, w, place], values[d, w, place] = token, value
                mask[d, w, place] = True
    inputs = {{"token_ids": ids, "token_mask": mask{values}}}{first_window}
    found = {{name: np.asarray(x) for name, x in CALL(WEIGHTS, inputs).items()}}
    scores = found["probabilities"]
{decide}
    rows = []
    for d in range(len(texts)):
        order = [i for i in np.argsort(-scores[d], kind="stable") if chosen[d, i]]
        rows.append([(LABELS[{label}], float(scores[d, i])) for i in order])
    return rows


if __name__ == "__main__":
    for row in predict(sys.argv[1:] or {sample}):
        print(json.dumps(row, ensure_ascii=False))
'''


@dataclass(frozen=True)
class TextRule:
    """How a text becomes ids.

    Attributes:
        kind: `tokenizer`, `ngrams` or `features`; their file is `kind`.json.
        max_length, max_windows: what is read of a text: tokens (of n-grams words, of
            features features) in a window, and windows.
        pad, empty: the id that fills short rows, and that of a text without a token.
        windowed: whether the inputs have an axis of windows.
    """

    kind: str
    max_length: int
    max_windows: int
    pad: int
    empty: int
    windowed: bool


def example(text: TextRule, decision: Decision, *, ranked: bool) -> str:
    """The script, for one kind of tokens, one rule and one kind of outputs.

    Args:
        text: how a text becomes ids.
        decision: how probabilities become labels.
        ranked: whether the program gives the most probable labels alone.
    """
    third = "import tokenizers\n" if text.kind == "tokenizer" else ""
    head = HEAD.format(
        needs=", and tokenizers" if third else "",
        imports="import re\n" if text.kind == "ngrams" else "",
        third=third,
    )
    parts = {"tokenizer": TOKENIZER, "ngrams": NGRAMS, "features": FEATURES}
    features = text.kind == "features"
    cut = "\n    inputs = {name: x[:, 0] for name, x in inputs.items()}"
    return (
        head
        + parts[text.kind].format(
            max_length=text.max_length, max_windows=text.max_windows, empty=text.empty
        )
        + PREDICT.format(
            pad=text.pad,
            values=', "token_values": values' if features else "",
            first_window="" if text.windowed else cut,
            decide=_decide(decision, ranked),
            label='found["label_ids"][d, i]' if ranked else "i",
            sample='["0:1.0"]' if features else '["Wheat exports rose in March"]',
        )
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
    return "\n".join("    " + line.replace("'", '"') for line in lines)


def _differ(decision: Decision) -> bool:
    return bool((decision.thresholds != decision.thresholds[0]).any())
