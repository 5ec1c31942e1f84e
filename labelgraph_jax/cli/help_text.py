"""Additions to the parser's `--help`: examples, and whole paragraphs."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Sequence
from typing import get_type_hints

from labelgraph_jax.config import Config

EXIT_CODES = {
    0: "done, or stopped by SIGTERM with everything saved (train, serve)",
    1: "out of memory, or not foreseen; serve: not everything was answered",
    2: "wrong input or setting, or output not written; one line says which",
    3: "another process of the run has died; the others stop",
    130: "stopped by the user; the same command goes on",
    141: "whoever read the output went away (`labelgraph predict ... | head`)",
    143: "stopped by SIGTERM with nothing to save",
}
"""Every exit code of `labelgraph`, and what it means."""

FIRST_STEPS = (
    "labelgraph train",
    "labelgraph train --data mine.jsonl --workdir runs/mine --baseline",
    "labelgraph predict runs/mine new.jsonl > predictions.jsonl",
    "labelgraph train --help",
)

USUAL = {
    "my data": {
        "data FILE": "Own texts with labels, or a table; the format is seen",
        "validation FILE": "What chooses epoch and thresholds; else cut off --data",
        "test FILE": "What the results are measured on; else cut off --data",
        "unlabelled FILE": "Texts without labels, to learn from beside them",
        "target FILE": "Texts of another kind, without labels, to adapt to",
        "corpus NAME": "A public corpus (`labelgraph data list`)",
        "text-column NAME": "Where the text stands, if its name does not tell",
        "label-columns NAME ...": "Where the labels stand, likewise",
        "label-delimiter TEXT": "What separates labels in one column",
        "task COLUMN=KIND": "A target of a table: binary, multiclass, squared, ...",
        "taxonomy FILE": "Parents of labels: parent<TAB>child<TAB>child...",
        "rules.file FILE": "Rules over labels: wheat -> grain, !(a & b), ...",
    },
    "my model": {
        "preset NAME": "Settings that go together (`labelgraph config list`)",
        "config FILE": "Settings of a file, JSON or TOML, or a run's config.json",
        "from RUN": "Begin with the parameters of another run",
        "text.encoder KIND": "bag, bag+static, cnn, bilstm, blocks, transformer",
        "text.vectors KIND": "random, file, pretrained, static",
        "text.pretrained NAME": "Encoder of pretrained and static vectors",
        "text.max-length INT": "Words, or tokens of an encoder, read of a text",
        "graph.layers INT": "Layers of the label graph; 0 is no graph",
        "loss.kind KIND": "binary_cross_entropy, asymmetric, focal, ...",
        "mixture.kind KIND": "none, mmoe, shared_bottom, ...: of several tasks",
        "memory.kind KIND": "none, documents, pretrained: look among known texts",
        "threshold.kind KIND": "auto, label, global, top_k, half",
    },
    "my machine": {
        "workdir DIR": "Where everything goes; the same again goes on",
        "mesh TEXT": "Devices: data=4 or data=4,model=2; all by default",
        "no-report": "Leave report.html out",
        "quiet": "No progress and no remarks",
        "json": "Results as JSON",
    },
    "my time": {
        "training.epochs INT": "Passes over the training documents",
        "training.patience INT": "Stop after so many without improvement; 0: never",
        "training.batch-size INT": "Documents of a step",
        "training.learning-rate FLOAT": "Its peak; by default what suits the encoder",
        "training.seed INT": "Of everything that is drawn",
        "baseline": "Train the rivals too: a linear SVM, no label graph, ...",
    },
}
"""The options of `train` that people use, by the question that they answer."""
COLUMN = 25
"""Column at which the text of an option begins."""


def usual_options(config: Config) -> list[str]:
    """The lines of a short help: `USUAL`, with the defaults of a configuration.

    Args:
        config: what options are where they are not given.

    Example:
        >>> from labelgraph_jax.config import Config
        >>> lines = usual_options(Config())
        >>> [line for line in lines if "training.seed" in line]
        ['  --training.seed INT    Of everything that is drawn (0)']
    """
    lines = []
    for question, options in USUAL.items():
        lines += ["", f"{question}:"]
        for option, text in options.items():
            head = f"  --{option}"
            value = _setting(config, option.partition(" ")[0])
            # Of several kinds the usual one stands first.
            is_said = text.startswith(str(value)) or value in ("", None, ())
            default = "" if is_said else f" ({value})"
            if len(head) >= COLUMN - 1:
                lines.append(head)
                head = ""
            lines.append(f"{head:<{COLUMN}}{text}{default}")
    return lines


def _setting(config: Config, name: str) -> object:
    """The value of a setting; None of an option that is no setting."""
    part, _, last = name.rpartition(".")
    holder = getattr(config, part or "data")
    return getattr(holder, last.replace("-", "_"), None)


def first_sentence(verb: type) -> str:
    """The first line of a verb's docstring."""
    return inspect.cleandoc(verb.__doc__ or "").partition("\n")[0]


def examples(verb: type) -> list[str]:
    """The command lines under `Example:` or `Examples:` in a verb's docstring."""
    lines = inspect.cleandoc(verb.__doc__ or "").splitlines()
    start = next(
        (place for place, line in enumerate(lines) if line.startswith("Example")),
        len(lines),
    )
    return [line.strip() for line in lines[start + 1 :] if line.strip()]


def closing_lines(named: Sequence[type], *, all_verbs: bool) -> list[str]:
    """Return the lines below the parser's help.

    Args:
        named: the verb that help is asked for, or those of a group.
        all_verbs: for `labelgraph --help` itself: first steps and exit codes.
    """
    lines = FIRST_STEPS if all_verbs else [e for verb in named for e in examples(verb)]
    shown = ["examples:", *(f"  {line}" for line in lines)]
    if all_verbs:
        shown += ["", "exit codes:"]
        shown += [f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()]
    return shown


def join_paragraphs(cls: type) -> None:
    """Let the parser wrap the text of every field of a dataclass, and of its parts.

    The parser keeps the line breaks of an indented docstring, and would wrap what it
    then wraps once more.
    """
    from docstring_parser import parse_from_object

    described = {
        param.arg_name: " ".join((param.description or "").split())
        for param in parse_from_object(cls).params
    }
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if text := described.get(field.name):
            known = {**field.metadata, "help": text}
            field.metadata = types.MappingProxyType(known)
        if dataclasses.is_dataclass(hints[field.name]):
            join_paragraphs(hints[field.name])
