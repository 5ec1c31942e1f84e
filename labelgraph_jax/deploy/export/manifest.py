"""Contents of export.json: inputs, outputs, and the software that made it."""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import jax

from labelgraph_jax import __version__
from labelgraph_jax.deploy.export.check import Check, tolerance
from labelgraph_jax.deploy.export.example import TextRule
from labelgraph_jax.deploy.export.program import PROGRAM, WEIGHTS, Program

if TYPE_CHECKING:
    from labelgraph_jax.predictors.model import Model

FORMAT = 1

MEANINGS = {
    "token_ids": "ids of the tokens; `pad` where a row is shorter",
    "token_mask": "true where there is a token",
    "token_values": "the value of every feature; 0 at padding",
    "probabilities": "of the labels in the order of labels.json",
    "categories": "ids of the categorical columns of table.json; 0 unseen, 1 missing",
    "numbers": "the numeric columns of table.json, standardised, and which are missing",
    "predictions": "of the tasks of table.json side by side: probabilities, or values",
    "label_ids": "places in labels.json of the most probable labels, best first",
}
RULES = {
    "top_k": "the k most probable labels; of equals the first of labels.json",
    "thresholds": "labels with probability >= float32(threshold)",
    "at_least_one": "where there is none, the most probable label",
    "consistent": "with each label its ancestors, see taxonomy.json",
    "obeys": "of these as near as labels come that obey the rules of rules.json",
}


def make_manifest(
    model: "Model", program: Program, text: TextRule, check: Check
) -> dict[str, object]:
    """export.json less its list of files."""
    return {
        **described(program, _kind(model), needs_of(text.kind)),
        "text": {
            "kind": text.kind,
            "file": text.files,
            "version": text.version,
            "max_length": text.max_length,
            "max_windows": text.max_windows,
            "pad": text.pad,
            "empty": text.empty,
        },
        "decision": {**model.decision.summary(), "rule": _rule(model)},
        "check": {
            "where": check.where,
            "documents": check.documents,
            "of": check.of,
            "tolerance": tolerance(model),
            "largest_difference": check.difference,
            "device": jax.devices()[0].device_kind,
            "intervals": {name: list(value) for name, value in check.intervals.items()},
        },
    }


def needs_of(kind: str) -> list[str]:
    """The packages that a script needs which reads texts of a kind, or rows."""
    own = ["tokenizers"] if "tokenizer" in kind else []
    return ["jax", "numpy", "flatbuffers", *own]


def described(program: Program, kind: str, needs: list[str]) -> dict[str, object]:
    """Return the part of export.json that every program has.

    Args:
        program: what was lowered.
        kind: of the model, in words.
        needs: packages of its script.
    """
    outputs = {name: dict(about) for name, about in program.outputs.items()}
    return {
        "format": FORMAT,
        "model": kind,
        "made_with": {
            "labelgraph_jax": __version__,
            "jax": jax.__version__,
            "jaxlib": version("jaxlib"),
        },
        "needs": needs,
        "program": PROGRAM,
        "weights": WEIGHTS,
        "calling_convention": program.calling_convention,
        "call": "outputs = program.call(weights, inputs), all of them dicts by name",
        "platforms": list(program.platforms),
        "refused_platforms": program.refused,
        "inputs": _with_meanings(program.inputs),
        "constraints": list(program.constraints),
        "outputs": _with_meanings(outputs, ranked="label_ids" in outputs),
    }


def file_entries(folder: Path) -> dict[str, dict[str, object]]:
    """Size and SHA-256 of every file of a folder."""
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[path.name] = {"bytes": path.stat().st_size, "sha256": digest}
    return found


def _with_meanings(
    described: dict[str, dict[str, object]], *, ranked: bool = False
) -> dict[str, dict[str, object]]:
    found = {name: {**x, "meaning": MEANINGS[name]} for name, x in described.items()}
    if ranked:
        found["probabilities"]["meaning"] = "of the labels of label_ids"
    return found


def _rule(model: "Model") -> str:
    """Return the decision rule in words."""
    decision = model.decision
    if decision.kind == "top_k":
        parts = [RULES["top_k"]]
    else:
        parts = [RULES["thresholds"]]
        parts += [RULES["at_least_one"]] if decision.at_least_one else []
    parts += [RULES[n] for n in ("consistent", "obeys") if getattr(decision, n)]
    return "; ".join(parts)


def _kind(model: "Model") -> str:
    """Return the kind of model in words."""
    config = model.config
    text = config.text
    source = Path(text.pretrained).name
    read = {
        "pretrained": f"{text.encoder} over {source}",
        "static": f"static vectors that imitate {source}",
    }
    parts = [f"text encoder: {read.get(text.vectors, text.encoder)}"]
    parts.append(f"head: {config.head.kind}")
    if config.mixture.kind != "none":
        parts.append(f"mixture: {config.mixture.kind}")
    return ", ".join(parts)
