"""Corpora as document vectors and targets, for `experiments.few_labels`.

Every corpus is read with one encoder: a static table that is fitted to MiniLM's vectors
of some of its own training texts, without a label (as `labelgraph distil` does).
"""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.pod import whole
from labelgraph_jax.data.corpora import corpus_names, load_corpus
from labelgraph_jax.data.corpora.reuters21578 import members
from labelgraph_jax.data.corpora.reuters21578.sgml import read_stories
from labelgraph_jax.data.documents import Corpus, DataError
from labelgraph_jax.data.readers.texts import read_documents
from labelgraph_jax.data.splits import complete_splits
from labelgraph_jax.runs.distil import Distillation, distil

CORPORA = ("reuters21578", "goemotions", "eurlex57k", "debtags", "stdlib_docs")
TEACHER_TEXTS, TEACHER_TOKENS = 1_500, 64
"""Training texts that the table is fitted to, and tokens of each that the teacher
reads. Of Reuters all 7,769 and 128."""
TOKENS = 256
"""Of each text that the table reads."""
FREQUENT = 50
"""A label of EURLEX57K is frequent that more training documents carry."""
SHORTEST = 200
"""Characters of a Reuters story without a topic that is taken, and one more."""


class Vectors(NamedTuple):
    """A corpus, encoded.

    Attributes:
        train, test: float32 `[M, D]`.
        train_targets, test_targets: bool `[M, N]`.
        raw: documents that nobody labelled, `[U, D]`; none where there are none.
        cosine: of the table's vectors to MiniLM's on texts held out.
    """

    train: np.ndarray
    train_targets: np.ndarray
    test: np.ndarray
    test_targets: np.ndarray
    raw: np.ndarray
    cosine: float


def vectors_of(
    name: str,
    folder: Path,
    *,
    pretrained: str,
    data_dir: str,
    say: Callable[[str], None],
) -> Vectors:
    """Return a corpus as vectors, from the folder if it was encoded before.

    Args:
        name: of a corpus, or a file of labelled texts.
        folder: where they are kept.
        pretrained: the encoder that the table imitates.
        data_dir: of the corpora's copies, see `load_corpus`.
        say: takes a line about what is going on.
    """
    path = folder / f"vectors-{Path(name).stem}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        encoded: dict[str, Any] = _encoded(name, pretrained, data_dir, say)
        with whole(path) as unfinished, unfinished.open("wb") as stream:
            np.savez(stream, **encoded)
    with np.load(path, allow_pickle=False) as kept:
        parts = [kept[f"{split}_{x}"] for split in ("train", "test") for x in "vy"]
        raw, cosine = kept["raw_v"], float(kept["cosine"])
    train, train_y, test, test_y = parts
    wide = (x.astype(np.float32) for x in (train, test, raw))
    train, test, raw = wide
    return Vectors(train, train_y > 0, test, test_y > 0, raw, cosine)


def _encoded(
    name: str, pretrained: str, data_dir: str, say: Callable[[str], None]
) -> dict[str, np.ndarray]:
    corpus, raw = _texts(name, data_dir)
    texts = [document.text for document in corpus.train]
    most, tokens = TEACHER_TEXTS, TEACHER_TOKENS
    if name == "reuters21578":
        most, tokens = len(texts), 128
    rows = np.sort(np.random.default_rng(0).permutation(len(texts))[:most])
    how = Distillation(max_length=tokens)
    encoder = distil(pretrained, [texts[row] for row in rows], how, say=say)
    counts = Counter(n for document in corpus.train for n in document.labels)
    least = FREQUENT if name == "eurlex57k" else 0
    names = sorted(label for label, count in counts.items() if count > least)
    column = {label: place for place, label in enumerate(names)}

    def read(texts: list[str]) -> np.ndarray:
        if not texts:
            return np.zeros((0, encoder.table.shape[1]), np.float16)
        found = encoder.document_vectors(texts, encoder.tokenizer, max_length=TOKENS)
        return found.astype(np.float16)

    cosine = np.asarray(encoder.about["cosine"]["fitted"])
    found = {"raw_v": read(raw), "cosine": cosine}
    for split, documents in (("train", corpus.train), ("test", corpus.test)):
        found[f"{split}_v"] = read([document.text for document in documents])
        targets = np.zeros((len(documents), len(names)), np.uint8)
        for row, document in enumerate(documents):
            targets[row, [column[n] for n in document.labels if n in column]] = 1
        found[f"{split}_y"] = targets
    return found


def _texts(name: str, data_dir: str) -> tuple[Corpus, list[str]]:
    """The labelled documents, and the texts without labels that lie beside them."""
    home = Path(data_dir or os.environ.get("LABELGRAPH_DATA", ""))
    if name == "debtags":
        folder = home / name
        train, test, raw = (
            read_documents(folder / f"{part}.jsonl.xz", require_labels=labelled)
            for part, labelled in (
                ("train", True),
                ("test", True),
                ("unlabelled", False),
            )
        )
        return Corpus(name, tuple(train), test=tuple(test)), [d.text for d in raw]
    if name not in corpus_names():
        corpus = Corpus(name, tuple(read_documents(name)))
        return complete_splits(
            corpus, validation_fraction=0.1, test_fraction=0.3, seed=0
        ), []
    corpus = load_corpus(name, data_dir=data_dir or None)
    if name != "reuters21578":
        return corpus, []
    archive = home / name / "reuters21578_sgml.tar.xz"
    if not archive.is_file():
        raise DataError(
            f"{archive} must be there: its stories without a topic are read"
        )
    stories = [
        story
        for file, content in members({archive.name: archive})
        if file.endswith(".sgm")
        for story in read_stories(file, content)
    ]
    bare = [s.text for s in stories if not s.categories["topics"]]
    return corpus, [text for text in bare if len(text) > SHORTEST]
