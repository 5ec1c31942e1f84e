"""Inputs of a model from some documents: tokens and targets, still unpadded."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

_POSITIVES_MULTIPLE = 8


class TokenVectors(Protocol):
    """Random access to encoded texts: item i is a float array [S_i, D]."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Examples:
    """Model inputs of M documents, in document order.

    Args:
        windows: per document its windows, each a vector of token ids; a document
            without any token may have no window. None where `token_vectors`
            says it all, one window per document.
        targets: [M, N], an array or a scipy sparse matrix (CSR, no column twice in a
            row).
        token_vectors: encoded tokens in place of ids, window after window in
            document order (with one window per document: item i is document i).
            An attribute `lengths` [M], where it has one, saves reading them all.
        target_mask: bool [M, N], False where a document was not annotated.
        pad_id: the token id that fills short rows.
        token_values: what each token of `windows` weighs, in the same places; None
            where tokens are counted.
        sparse_targets: batches carry the ids of each document's labels, `positives`
            int32 [B, P] filled up with -1, in place of `targets` float32 [B, N].
        padded_to: windows and tokens that every batch gets, for shapes that are known
            beforehand; None leaves it to the batch plan.
        weights: how much each document counts in the loss, float32 [M]; None where all
            count alike.
        target_weights: how sure each target is, float32 [M, N]; None where all are.

    Raises:
        ValueError: the parts do not hold the same number of documents or tokens; or
            `sparse_targets` of targets that are no CSR matrix, or with a mask.
    """

    windows: Sequence[Sequence[np.ndarray]] | None
    targets: Any
    token_vectors: TokenVectors | None = None
    target_mask: np.ndarray | None = None
    pad_id: int = 0
    sparse_targets: bool = False
    token_values: Sequence[Sequence[np.ndarray]] | None = None
    padded_to: tuple[int, int] | None = None
    weights: np.ndarray | None = None
    target_weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        # Documents: as many to read as there are targets.
        count = self.targets.shape[0]
        if self.windows is None and self.token_vectors is None:
            raise ValueError("examples need windows of token ids or token vectors")
        if self.windows is not None and len(self.windows) != count:
            raise ValueError(
                "windows and targets must hold the same documents; got "
                f"{len(self.windows)} and {count}"
            )
        # Targets: sparse ones know every label, dense ones may have a mask.
        if self.target_mask is not None and self.target_mask.shape != (
            self.targets.shape
        ):
            raise ValueError(
                f"target_mask must have the shape of targets {self.targets.shape}; "
                f"got {self.target_mask.shape}"
            )
        if self.sparse_targets and not hasattr(self.targets, "indptr"):
            raise ValueError(
                "sparse_targets need targets as a CSR matrix; got "
                f"{type(self.targets).__name__}"
            )
        if self.sparse_targets and self.target_mask is not None:
            raise ValueError(
                "sparse_targets say of every label whether a document has it: there "
                "can be no target_mask beside them"
            )
        # Values of tokens, and vectors: one item for each window.
        self._check_values()
        windows = int(self.window_counts.sum())
        if self.token_vectors is not None and len(self.token_vectors) != windows:
            raise ValueError(
                "token_vectors must hold one item per window; got "
                f"{len(self.token_vectors)} for {windows} windows"
            )

    def _check_values(self) -> None:
        if self.token_values is None:
            return
        ids = self.windows
        if ids is None or self.token_vectors is not None:
            raise ValueError(
                "token_values weigh token ids: there must be windows alone"
            )
        if [[len(w) for w in d] for d in ids] != [
            [len(w) for w in d] for d in self.token_values
        ]:
            raise ValueError("token_values must hold a number for every token")

    def __len__(self) -> int:
        return int(self.targets.shape[0])

    @property
    def multi_hot(self) -> np.ndarray:
        """The targets as an array, float32 [M, N]."""
        dense = self.targets
        dense = dense.toarray() if hasattr(dense, "toarray") else dense
        return np.asarray(dense, np.float32)

    @functools.cached_property
    def positives_per_row(self) -> int:
        """Places that a batch has for the labels of a document.

        These are the most labels that one document has, rounded up to 8.
        """
        most = int(np.diff(self.targets.indptr).max(initial=1))
        return -(-max(most, 1) // _POSITIVES_MULTIPLE) * _POSITIVES_MULTIPLE

    @functools.cached_property
    def window_counts(self) -> np.ndarray:
        """Number of windows of each document: int64 [M]."""
        if self.windows is None:
            return np.ones(len(self), np.int64)
        return np.fromiter((len(w) for w in self.windows), np.int64, len(self))

    @functools.cached_property
    def first_windows(self) -> np.ndarray:
        """The number of each document's first window among all: int64 [M]."""
        return np.cumsum(self.window_counts) - self.window_counts

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Tokens in each document's longest window: int64 [M]."""
        if self.windows is not None:
            longest = (max(map(len, w), default=0) for w in self.windows)
            return np.fromiter(longest, np.int64, len(self))
        known = getattr(self.token_vectors, "lengths", None)
        if known is not None:
            return np.asarray(known, np.int64)
        assert self.token_vectors is not None
        read = (len(self.token_vectors[i]) for i in range(len(self)))
        return np.fromiter(read, np.int64, len(self))

    @property
    def windowed(self) -> bool:
        """True if batches carry a window axis, as some document has several."""
        if self.padded_to is not None:
            return self.padded_to[0] > 1
        return len(self) > 0 and int(self.window_counts.max()) > 1

    @functools.cached_property
    def features(self) -> int:
        """Numbers in a token vector; 0 where there are token ids."""
        store = self.token_vectors
        return int(np.shape(store[0])[-1]) if store is not None and len(store) else 0
