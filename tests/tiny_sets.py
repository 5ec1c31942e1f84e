"""A made corpus of two label sets, each annotated on some documents only."""

from pathlib import Path
from typing import Any

from labelgraph_jax.config import DataConfig
from tests.tiny import made_documents, write_jsonl

SETS = {"crops": {"corn", "grain", "wheat"}, "trade": {"oil", "ship"}}


def documents_of_sets(count: int, seed: int, never: str = "") -> list[dict[str, Any]]:
    """A third has no annotation of crops, another one none of trade; `never`: none."""
    documents = []
    for number, document in enumerate(made_documents(count, seed)):
        tasks: dict[str, Any] = {
            task: sorted(labels & set(document["labels"]))
            for task, labels in SETS.items()
        }
        missing = never if never else (None, "crops", "trade")[number % 3]
        if missing:
            tasks[missing] = None
        fields = {"id": document["id"], "text": document["text"], "tasks": tasks}
        documents.append(fields)
    return documents


def write_sets(folder: Path, **never: str) -> DataConfig:
    names = {"data": (48, 1), "validation": (18, 2), "test": (24, 3)}
    paths = {
        name: write_jsonl(
            folder / f"{name}.jsonl", documents_of_sets(*made, never.get(name, ""))
        )
        for name, made in names.items()
    }
    return DataConfig(**{n: str(path) for n, path in paths.items()}, task="all")
