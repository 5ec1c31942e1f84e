"""The model card: README.md beside an exported model."""

import re
from collections.abc import Mapping
from typing import Any

from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.terminal import visible
from labelgraph_jax.deploy.export.check import TOLERANCE

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
    sections = [
        _head(manifest, results),
        _data(results, counts),
        _metrics(manifest, results),
        _limits(manifest, results, counts),
        _loading(manifest, script),
    ]
    return "\n".join(sections)


def plain(text: str) -> str:
    r"""Return a text that Markdown shows as it stands, on one line.

    Example:
        >>> plain("[a](b) <i>")
        '\\[a\\](b) \\<i\\>'
    """
    shown = visible(" ".join(text.split()), keep="")
    # An underscore within a word begins nothing.
    return re.sub(r"[\\`*\[\]<>#|~]|(?<!\w)_|_(?!\w)", r"\\\g<0>", shown)


def _head(manifest: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    made = manifest["made_with"]
    return f"""# Multi-label text classifier, {plain(results["corpus"])}

{counted(results["labels"], "label")}, {results["parameters"]:,} trained parameters;
{manifest["model"]}. Trained and exported with labelgraph_jax
{made["labelgraph_jax"]} (jax {made["jax"]}); it loads without that package.
"""


def _data(results: Mapping[str, Any], counts: list[int]) -> str:
    splits = results["documents"]
    rows = "\n".join(f"| {name} | {count:,} |" for name, count in splits.items())
    notes = "\n".join(f"- {plain(note)}" for note in results.get("notes", []))
    seen = sorted(counts)
    return f"""## Data

{plain(results["corpus"])}. A label stands on {seen[0]:,} to
{counted(seen[-1], "training document")}, the median one on {seen[len(seen) // 2]:,}.

| split | documents |
|---|---|
{rows}

{notes}
"""


def _metrics(manifest: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    intervals = manifest["check"]["intervals"]
    where = _where(manifest["check"])
    drawn = [
        f"| {name} | {value:.4f} | {low:.4f} to {high:.4f} |"
        for name, (value, low, high) in intervals.items()
    ]
    lines = ["## Metrics", "", *_measured(manifest, results["test"]), ""]
    if drawn:
        lines += [
            f"At the export, on {where}, with the middle 95 of 100 bootstrap resamples "
            "of the documents (1,000 drawn; it holds no variation between trainings, "
            "and macro-F1 lies lower in resamples, which miss rare labels):",
            "",
            "| metric | value | 95 % interval |",
            "|---|---|---|",
            *drawn,
            "",
        ]
    return "\n".join(lines)


def _measured(manifest: Mapping[str, Any], test: Mapping[str, Any] | None) -> list[str]:
    """Return the lines of the test metrics of the run."""
    if test is None:
        return ["The run had no test split: nothing was measured after training."]
    metrics = test["metrics"]
    return [
        f"Of {counted(test['documents'], 'test document')}, at the thresholds of "
        f"thresholds.json (rule: {manifest['decision']['kind']}): "
        f"{manifest['decision']['rule']}; as measured after training:",
        "",
        "| metric | value |",
        "|---|---|",
        *(f"| {name} | {metrics[name]:.4f} |" for name in SHOWN if name in metrics),
    ]


def _limits(
    manifest: Mapping[str, Any], results: Mapping[str, Any], counts: list[int]
) -> str:
    text, check = manifest["text"], manifest["check"]
    rare = sum(count < FEW for count in counts)
    units = {"tokenizer": "tokens", "ngrams": "words", "features": "features"}
    kinds = " and ".join(units[part] for part in text["kind"].split("+"))
    read = f"{text['max_length']:,} {kinds}"
    if text["max_windows"] > 1:
        read += f" in each of {text['max_windows']} windows"
    test = results["test"]
    documents = "test document was", "test documents were"
    cut = f"{counted(test['truncated_documents'], *documents)} longer" if test else ""
    longer = f"; {cut}" if cut else ""
    coarse = check["tolerance"] > TOLERANCE
    rounded = "; vectors of the frozen layers are rounded to float16" if coarse else ""
    lines = [
        "## Limits",
        "",
        f"- It knows the {counted(results['labels'], 'label')} of labels.json and no "
        "other, and texts like those it was trained on; elsewhere its probabilities "
        "mean little.",
        f"- It reads the first {read} of a document{longer}.",
        f"- {counted(rare, 'label stands', 'labels stand')} on fewer than {FEW} "
        "training documents: what it says about them is uncertain.",
        f"- Compared with the model it was made from on {_where(check)}: the largest "
        f"difference of a probability was {check['largest_difference']:.1e}, on "
        f"{check['device']}{rounded}. Products are in full float32 precision on every "
        "platform.",
        f"- Platforms: {', '.join(manifest['platforms'])}.",
    ]
    for platform, reason in manifest["refused_platforms"].items():
        lines.append(f"- Not for {platform}: {reason}")
    lines += [
        "- Every new shape of a batch is compiled once: pad to few lengths.",
        "- jax reads what an older jax exported for six months at least.",
        "",
    ]
    return "\n".join(lines)


def _loading(manifest: Mapping[str, Any], script: str) -> str:
    return f"""## Loading

`pip install {" ".join(manifest["needs"])}`; `python load_example.py "a text"` prints
labels with their probabilities. That script, whole:

```python
{script.strip()}
```

`export.json` says what goes in and comes out, and holds the SHA-256 of every file.
"""


def _where(check: Mapping[str, Any]) -> str:
    is_test = check["where"] == "test"
    named = "test documents" if is_test else plain(check["where"])
    whole = check["documents"] == check["of"]
    count = "all" if whole else f"{check['documents']:,} of"
    return f"{count} {check['of']:,} {named}"
