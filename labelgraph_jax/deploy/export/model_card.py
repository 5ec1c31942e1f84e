"""The model card: README.md beside an exported model."""

from collections.abc import Mapping
from typing import Any

from labelgraph_jax.deploy.export.check import TOLERANCE
from labelgraph_jax.deploy.export.templates import render

SHOWN = (
    "micro_f1",
    "macro_f1",
    "samples_f1",
    "micro_precision",
    "micro_recall",
    "hamming_loss",
    "subset_accuracy",
    "P@1",
    "P@5",
    "nDCG@5",
    "LRAP",
    "mAP",
    "hierarchical_f1",
)
FEW = 10
"""Training documents below which a label is called rare."""


def model_card(
    manifest: Mapping[str, Any],
    results: Mapping[str, Any],
    *,
    counts: list[int],
    script: str,
) -> str:
    """The card as Markdown.

    Args:
        manifest: of the export, without its files.
        results: of the finished run.
        counts: training documents with each label.
        script: what `load_example.py` holds.
    """
    units = {"tokenizer": "tokens", "ngrams": "words", "features": "features"}
    return render(
        "model_card.md",
        manifest=manifest,
        results=results,
        counts=sorted(counts),
        rare=sum(count < FEW for count in counts),
        few=FEW,
        shown=SHOWN,
        units=" and ".join(units[p] for p in manifest["text"]["kind"].split("+")),
        coarse=manifest["check"]["tolerance"] > TOLERANCE,
        script=script,
    )
