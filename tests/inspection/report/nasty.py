"""A made corpus with a label and a text that would like to be markup."""

from pathlib import Path
from typing import Any

from labelgraph_jax.config import DataConfig
from tests.tiny import made_documents, write_jsonl

NASTY_LABEL = '</script><script>document.title="broken"</script>'
NASTY_TEXT = (
    "<img src=x onerror=\"document.title='broken'\"></script><script>1/0</script>"
)


def nasty_documents(count: int, seed: int) -> list[dict[str, Any]]:
    """Made documents; every fourth would like to be markup."""
    documents = made_documents(count, seed)
    for number, document in enumerate(documents):
        if number % 4 == 0:
            document["labels"] = sorted({*document["labels"], NASTY_LABEL})
            document["text"] = f"{NASTY_TEXT} {document['text']}"
    return documents


def write_nasty(folder: Path) -> DataConfig:
    names = {"data": (48, 1), "validation": (16, 2), "test": (24, 3)}
    return DataConfig(
        **{
            name: str(write_jsonl(folder / f"{name}.jsonl", nasty_documents(*made)))
            for name, made in names.items()
        }
    )
