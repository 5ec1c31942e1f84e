"""A made corpus and the smallest settings that a whole run can have."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from labelgraph_jax.config import (
    Config,
    DataConfig,
    GraphConfig,
    TextConfig,
    TrainingConfig,
)

WORDS = {
    "corn": ("maize", "cob"),
    "grain": ("harvest", "silo"),
    "oil": ("barrel", "crude"),
    "ship": ("port", "cargo"),
    "wheat": ("flour", "bread"),
}
LABELS = tuple(WORDS)
FILLER = ("the", "new", "of", "today")
TINY_BERT = Path(__file__).parent / "modules" / "data" / "tiny_bert"


def made_documents(count: int, seed: int) -> list[dict[str, Any]]:
    """Documents of eight words; corn and wheat always come with grain."""
    generator = np.random.default_rng(seed)
    documents = []
    for number in range(count):
        labels = {LABELS[number % len(LABELS)]}
        if generator.random() < 0.4:
            labels.add(LABELS[generator.integers(len(LABELS))])
        if labels & {"corn", "wheat"}:
            labels.add("grain")
        words = [word for label in sorted(labels) for word in WORDS[label]]
        words += list(generator.choice(FILLER, 8))
        words = [str(word) for word in generator.permutation(words[:8])]
        documents.append(
            {"id": f"d{number}", "text": " ".join(words), "labels": sorted(labels)}
        )
    return documents


def write_jsonl(path: Path, documents: list[Any]) -> Path:
    path.write_text("".join(json.dumps(d) + "\n" for d in documents), encoding="utf-8")
    return path


def write_corpus(folder: Path) -> DataConfig:
    """Three files, and the settings that name them."""
    names = {"data": (48, 1), "validation": (16, 2), "test": (24, 3)}
    return DataConfig(
        **{
            name: str(write_jsonl(folder / f"{name}.jsonl", made_documents(*made)))
            for name, made in names.items()
        }
    )


def write_word_vectors(path: Path, features: int = 8) -> Path:
    generator = np.random.default_rng(0)
    words = [word for pair in WORDS.values() for word in pair]
    lines = [
        " ".join([word, *(f"{x:.4f}" for x in generator.normal(size=features))])
        for word in words
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_pooling(folder: Path, mode: str, **changed: Any) -> None:
    """What sentence-transformers writes beside an encoder of 8 features."""
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"idx": n, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    named = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens"}
    settings: dict[str, Any] = {"word_embedding_dimension": 8}
    settings |= {f"pooling_mode_{n}": n == named[mode] for n in named.values()}
    (folder / "1_Pooling").mkdir()
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps({**settings, **changed}))


def write_tiny_bert(folder: Path, family: str = "bert") -> Path:
    """A BERT of two layers and 40 words, with a tokenizer that knows our words.

    Or another encoder of the tests.
    """
    shutil.copytree(TINY_BERT.with_name(f"tiny_{family}"), folder)
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLER, *LABELS]
    known += [word for pair in WORDS.values() for word in pair]
    vocabulary = {word: number for number, word in enumerate(known)}
    inner = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    inner.save(str(folder / "tokenizer.json"))
    return folder


def tiny_config(
    data: DataConfig,
    *,
    text: dict[str, Any] | None = None,
    graph: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> Config:
    """A run of a second or two."""
    config = Config(
        data=data,
        text=TextConfig(
            encoder="bag",
            ngrams=False,
            max_length=8,
            dim=8,
            hidden=4,
            layers=1,
            min_count=1,
            dropout=0.0,
            token_dropout=0.0,
        ),
        graph=GraphConfig(heads=2, hidden=4, feature_dim=6),
        training=TrainingConfig(
            epochs=2, batch_size=16, learning_rate=0.05, evaluation_batch_size=16
        ),
    )
    # All of `text` at once: its settings are checked together.
    text = {"ngrams": None} | text if text else {}
    return dataclasses.replace(
        config,
        text=dataclasses.replace(config.text, **text),
        graph=dataclasses.replace(config.graph, **graph or {}),
        training=dataclasses.replace(config.training, **training or {}),
    )
