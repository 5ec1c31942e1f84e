"""AAPD, the Arxiv Academic Paper Dataset: abstracts with arXiv subjects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labelgraph_jax.data.corpora.protocols import random80
from labelgraph_jax.data.corpora.sources import Files, Layout, Source
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.readers.fields import check_text, split_labels
from labelgraph_jax.data.readers.lines import read_lines

SPLITS = ("train", "val", "test")

SOURCE = Source(
    name="aapd",
    home="https://github.com/lancopku/SGM",
    protocols=("published", "random80"),
    layouts=(
        Layout(
            tuple(f"{kind}_{split}" for split in SPLITS for kind in ("text", "label"))
        ),
    ),
    sizes={"published": (53_840, 1_000, 1_000), "random80": (44_672, 0, 11_168)},
)


def read(files: Files, protocol: str) -> Corpus:
    """The splits of SGM (Yang and others, 2018), or all documents cut 80 to 20."""
    train, validation, test = (
        tuple(_read_split(files[f"text_{split}"], files[f"label_{split}"], split))
        for split in SPLITS
    )
    if protocol == "random80":
        train, test = random80(train + validation + test)
        note = "all 55,840 documents cut 80 to 20 at random with a fixed seed"
        return Corpus(SOURCE.name, train, test=test, notes=(note,))
    return Corpus(SOURCE.name, train, validation, test)


def _read_split(texts: Path, labels: Path, split: str) -> Iterator[Document]:
    text_lines, label_lines = list(read_lines(texts)), list(read_lines(labels))
    if len(text_lines) != len(label_lines):
        raise DataError(
            f"{texts.name} and {labels.name} must have the same number of lines; got "
            f"{len(text_lines):,} and {len(label_lines):,}"
        )
    for (number, text), (_, line) in zip(text_lines, label_lines, strict=True):
        yield Document(
            id=f"{split}-{number}",
            text=check_text(text.strip(), f"{texts}:{number}"),
            labels=split_labels(line, None, f"{labels}:{number}"),
            source=f"{texts.name}:{number}",
        )
