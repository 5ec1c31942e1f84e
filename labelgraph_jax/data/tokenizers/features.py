"""Features to rows of an embedding table, in place of a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labelgraph_jax.data.documents import DataError, Document
from labelgraph_jax.data.features.documents import reads_features
from labelgraph_jax.data.files import parse_json
from labelgraph_jax.data.tokenizers.saved import SavedTokenizer
from labelgraph_jax.data.tokenizers.words import TokenizerError


@dataclass(frozen=True, slots=True)
class EncodedFeatures:
    """Rows of the table and their values, of many documents.

    Attributes:
        windows: for each document one window of int32 ids; empty without a feature.
        values: float32, in the same places.
        truncated: how many documents lost features, having more than are read.
        unknown: how many places held a feature that training did not have.
    """

    windows: list[list[np.ndarray]]
    values: list[list[np.ndarray]]
    truncated: int
    unknown: int


class FeatureTokenizer(SavedTokenizer):
    """Tokenizer of features: row 0 is padding, row 1 + i the i-th kept feature.

    A feature that too few training documents have would get a vector that was never
    trained, so it is left out wherever it occurs.
    """

    FILE = "features.json"

    pad_id = 0

    def __init__(self, kept: np.ndarray, features: int) -> None:
        """From the kept features.

        Args:
            kept: their ids, increasing.
            features: how many there are in all.

        Raises:
            TokenizerError: no feature, or ids that do not increase below `features`.
        """
        kept = np.asarray(kept, np.int64)
        wrong = kept.ndim != 1 or (np.diff(kept) <= 0).any()
        if wrong or not len(kept) or kept[0] < 0 or kept[-1] >= features:
            raise TokenizerError(
                f"features must be increasing numbers below {features}, one at least"
            )
        self.kept = kept
        self.features = int(features)

    @classmethod
    def train(
        cls, documents: Sequence[Document], *, min_count: int = 1
    ) -> FeatureTokenizer:
        """Keep the features that at least `min_count` documents have.

        Raises:
            DataError: texts among the documents, or no feature is left.
        """
        if not reads_features(documents, "training documents"):
            raise DataError("the training documents must be features; they are texts")
        ids = [d.features.ids for d in documents if d.features is not None]
        # Numbers may be hashes: nothing is laid out up to the largest of them.
        found, counts = np.unique(np.concatenate(ids), return_counts=True)
        kept = found[counts >= max(min_count, 1)]
        if not len(kept):
            raise DataError(
                f"no feature stands in {min_count} training documents or more "
                "(text.min_count)"
            )
        return cls(kept, int(found[-1]) + 1)

    @property
    def vocabulary_size(self) -> int:
        """Rows that an embedding table of these ids needs."""
        return len(self.kept) + 1

    def encode(
        self, documents: Sequence[Document], *, max_length: int
    ) -> EncodedFeatures:
        """Turn documents into rows of the table and values.

        A document with more than `max_length` known features keeps those of the
        largest magnitude, in their order.

        Raises:
            DataError: a document is a text.
            TokenizerError: a `max_length` below 1.
        """
        if max_length < 1:
            raise TokenizerError(f"max_length must be at least 1, got {max_length}")
        windows, values, truncated, unknown = [], [], 0, 0
        for document in documents:
            if document.features is None:
                raise DataError(
                    f"{document.source or document.id}: this model reads features, not "
                    "texts: give a file .svm, .libsvm or .txt of `id:value` pairs, an "
                    "XMC folder, or Features(ids, values)"
                )
            ids = document.features.ids
            rows = np.minimum(np.searchsorted(self.kept, ids), len(self.kept) - 1)
            known = np.flatnonzero(self.kept[rows] == ids)
            unknown += len(ids) - len(known)
            if len(known) > max_length:
                truncated += 1
                size = np.abs(document.features.values[known])
                best = np.argsort(-size, kind="stable")[:max_length]
                known = known[np.sort(best)]
            windows.append([(rows[known] + 1).astype(np.int32)])
            values.append([document.features.values[known]])
        return EncodedFeatures(windows, values, truncated, unknown)

    @classmethod
    def load(cls, folder: str | Path) -> FeatureTokenizer:
        """Read what `save` wrote.

        Raises:
            TokenizerError: the file is missing or malformed.
        """
        path = Path(folder) / cls.FILE
        try:
            held = parse_json(path.read_text(encoding="utf-8"))
            return cls(np.asarray(held["kept"], np.int64), int(held["features"]))
        except TokenizerError as error:
            raise TokenizerError(f"{path}: {error}") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TokenizerError(f"{path} holds no features: {error}") from error

    @classmethod
    def is_in(cls, folder: str | Path) -> bool:
        """Return True if a folder holds saved features, not a tokenizer of texts."""
        return (Path(folder) / cls.FILE).is_file()

    def _to_json(self) -> str:
        return json.dumps({"features": self.features, "kept": self.kept.tolist()})
