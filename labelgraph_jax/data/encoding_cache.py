"""Token vectors of a frozen encoder, computed once and kept on disk."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from labelgraph_jax.data.arrays import UNREADABLE, read_npy
from labelgraph_jax.data.files import parse_json, sync, sync_tree

_VERSION = 1
_COMMIT_EVERY = 1024


class EncodingCacheError(ValueError):
    """Raised where a cache cannot be written, or is not what it should be."""


def encoding_key(
    encoder: str, settings: Mapping[str, object], sequences: Sequence[np.ndarray]
) -> str:
    """Name a cache by everything that decides its contents.

    Args:
        encoder: fingerprint of the encoder's weights and tokenizer.
        settings: whatever else changes the vectors, JSON values.
        sequences: the token ids that are encoded, in order.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    head = {"version": _VERSION, "encoder": encoder, "settings": dict(settings)}
    digest.update(json.dumps(head, sort_keys=True).encode())
    for sequence in sequences:
        ids = np.ascontiguousarray(sequence, "<i4")
        digest.update(len(ids).to_bytes(8, "little") + ids.tobytes())
    return digest.hexdigest()


class EncodingCache:
    """Random access to the token vectors of many sequences, float16 on disk.

    `cache[i]` is the i-th sequence, [S_i, D] float16; nothing is read before that.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open a complete cache.

        Raises:
            EncodingCacheError: the folder holds no complete cache.
        """
        self.folder = Path(folder)
        self.lengths, self.features = _read_meta(self.folder)
        self._offsets = _offsets(self.lengths)
        size = (int(self._offsets[-1]), self.features)
        path = self.folder / "vectors.f16"
        if not path.is_file() or path.stat().st_size != 2 * size[0] * size[1]:
            raise EncodingCacheError(f"{path} must hold {size[0]} x {size[1]} numbers")
        self._vectors = np.memmap(path, np.float16, "r", shape=size)

    @classmethod
    def find(cls, root: str | Path, key: str) -> "EncodingCache | None":
        """The complete cache of that key under `root`, or None.

        A damaged one is deleted: what is in it can be computed again.
        """
        folder = Path(root) / key
        if not folder.is_dir():
            return None
        try:
            return cls(folder)
        except EncodingCacheError:
            shutil.rmtree(folder, ignore_errors=True)
            return None

    def __reduce__(self) -> tuple[type["EncodingCache"], tuple[Path]]:
        return EncodingCache, (self.folder,)  # a copy opens the file anew

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        start, end = self._offsets[index], self._offsets[index + 1]
        return np.asarray(self._vectors[start:end])


class EncodingCacheWriter:
    """Fills a cache in any order; an interrupted one goes on where it stopped.

    It lies in `root/KEY.partial` until `finish` renames it to `root/KEY`, so that
    nothing ever reads a half-written cache.
    """

    def __init__(
        self, root: str | Path, key: str, lengths: Sequence[int], features: int
    ) -> None:
        """Start a cache, or take up the unfinished one of the same key.

        Args:
            root: folder of all caches.
            key: name of this one, see `encoding_key`.
            lengths: tokens of each sequence.
            features: numbers in a token's vector.

        Raises:
            EncodingCacheError: no lengths, or not enough disk space for all of it.
        """
        self._final = Path(root) / key
        self._folder = Path(root) / f"{key}.partial"
        self.lengths = np.asarray(lengths, np.int64)
        self.features = int(features)
        if self.lengths.size == 0 or self.lengths.min() < 1 or self.features < 1:
            raise EncodingCacheError(
                "a cache needs sequences of at least one token and one feature"
            )
        self._offsets = _offsets(self.lengths)
        size = (int(self._offsets[-1]), self.features)
        self._sizes = {"vectors.f16": 2 * size[0] * size[1], "done.u8": len(lengths)}
        if not self._taken_up():
            self._create()
        self._vectors = np.memmap(
            self._folder / "vectors.f16", np.float16, "r+", shape=size
        )
        self._done = np.memmap(
            self._folder / "done.u8", np.uint8, "r+", shape=self.lengths.shape
        )
        self._pending: list[int] = []

    def _taken_up(self) -> bool:
        try:
            lengths, features = _read_meta(self._folder)
        except EncodingCacheError:
            return False
        same = features == self.features and np.array_equal(lengths, self.lengths)
        return same and all(
            (self._folder / name).is_file()
            and (self._folder / name).stat().st_size == size
            for name, size in self._sizes.items()
        )

    def _create(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        needed = self._sizes["vectors.f16"]
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            raise EncodingCacheError(
                f"the encodings need {needed / 1e9:.1f} GB at {self._folder.parent}, "
                f"where {free / 1e9:.1f} GB are free"
            )
        for name, size in self._sizes.items():
            with (self._folder / name).open("wb") as file:
                file.truncate(size)
        np.save(self._folder / "lengths.npy", self.lengths)
        meta = {"version": _VERSION, "features": self.features}
        (self._folder / "meta.json").write_text(json.dumps(meta))

    @property
    def missing(self) -> np.ndarray:
        """Indices of the sequences still to be written, shortest first."""
        self._commit()
        todo = np.flatnonzero(self._done == 0)
        return todo[np.argsort(self.lengths[todo], kind="stable")]

    def write(self, index: int, vectors: np.ndarray) -> None:
        """Store the vectors of one sequence, [S_i, D].

        Raises:
            EncodingCacheError: another shape, or a number that float16 cannot hold.
        """
        expected = (int(self.lengths[index]), self.features)
        if vectors.shape != expected:
            raise EncodingCacheError(
                f"sequence {index} must have shape {expected}, got {vectors.shape}"
            )
        largest = np.abs(vectors).max()
        if not largest <= np.finfo(np.float16).max:
            raise EncodingCacheError(
                f"sequence {index} has a value that float16 cannot hold: {largest}"
            )
        self._vectors[self._offsets[index] : self._offsets[index + 1]] = vectors
        self._pending.append(int(index))
        if len(self._pending) >= _COMMIT_EVERY:
            self._commit()

    def _commit(self) -> None:
        """Mark as done only what the disk has."""
        if self._pending:
            self._vectors.flush()
            self._done[self._pending] = 1
            self._done.flush()
            self._pending.clear()

    def finish(self) -> EncodingCache:
        """Publish the cache under its key and open it.

        Raises:
            EncodingCacheError: some sequences were never written.
        """
        left = len(self.missing)
        if left:
            raise EncodingCacheError(
                f"{left} of {len(self.lengths)} sequences were not written"
            )
        del self._vectors, self._done
        if self._final.exists():  # another process was first, with the same numbers
            shutil.rmtree(self._folder, ignore_errors=True)
        else:
            sync_tree(self._folder)
            self._folder.rename(self._final)
            sync(self._final.parent)
            (self._final / "done.u8").unlink()
        return EncodingCache(self._final)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _read_meta(folder: Path) -> tuple[np.ndarray, int]:
    try:
        meta = parse_json((folder / "meta.json").read_text())
        if meta["version"] != _VERSION:
            raise EncodingCacheError(
                f"{folder} has version {meta['version']}, not {_VERSION}"
            )
        lengths, features = read_npy(folder / "lengths.npy"), int(meta["features"])
        whole = lengths.ndim == 1 and lengths.dtype.kind == "i" and features >= 1
        if not whole or not lengths.size or lengths.min() < 1:
            raise EncodingCacheError(f"{folder} must hold the length of each sequence")
        return lengths.astype(np.int64), features
    except UNREADABLE as error:
        if isinstance(error, EncodingCacheError):
            raise
        raise EncodingCacheError(f"{folder} holds no complete cache") from error
