"""Shared parts of tokenizers: one JSON file in a folder, and a fingerprint of it."""

import abc
import hashlib
from pathlib import Path
from typing import ClassVar

from labelgraph_jax.data.files import make_folder, write_text


class SavedTokenizer(abc.ABC):
    """A tokenizer that one JSON text describes."""

    FILE: ClassVar[str]
    """Name of its file in a folder."""

    @abc.abstractmethod
    def _to_json(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides which ids a document gets."""
        return hashlib.sha256(self._to_json().encode()).hexdigest()

    def save(self, folder: str | Path) -> Path:
        """Write `folder/FILE`, whole or not at all; return its path."""
        path = Path(folder) / self.FILE
        make_folder(path.parent)
        write_text(path, self._to_json())
        return path
