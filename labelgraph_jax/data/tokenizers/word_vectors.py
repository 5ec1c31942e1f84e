"""Published word vectors (GloVe, word2vec, fastText) for one's own vocabulary."""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np


class WordVectorError(ValueError):
    """Raised where a file of word vectors is missing or malformed."""


@dataclass(frozen=True)
class WordVectors:
    """A table of vectors, one row for each word of a vocabulary.

    Attributes:
        table: float32 [V, D]; rows that the file lacks are random, of the same
            spread as the others.
        found: bool [V], true for the rows that came from the file.
    """

    table: np.ndarray
    found: np.ndarray

    @property
    def coverage(self) -> float:
        """Share of the vocabulary that the file has."""
        return float(self.found.mean())


def read_word_vectors(
    path: str | Path, vocabulary: Sequence[str], *, seed: int = 0
) -> WordVectors:
    """Read the vectors of the words in `vocabulary`, and no others, into memory.

    Text (`word v1 v2 ...` a line, with or without a first line `count features`) or,
    where the name has `.bin`, word2vec's binary form; either may end in `.gz`. The
    first of two vectors for one word counts.

    Args:
        path: of the file.
        vocabulary: the words, one per row of the result.
        seed: of the random rows for words that the file lacks.

    Raises:
        WordVectorError: the file is missing, malformed (the error names file and
            line), or has none of the words.
    """
    path = Path(path)
    if not path.is_file():
        raise WordVectorError(f"no word vectors at {path}")
    rows = {word.encode(): row for row, word in enumerate(vocabulary)}
    packed = path.suffix == ".gz"
    binary = (path.with_suffix("") if packed else path).suffix == ".bin"
    opener = gzip.open if packed else open
    kept: dict[int, np.ndarray] = {}
    try:
        with opener(path, "rb") as file:
            read = _binary_rows if binary else _text_rows
            for row, vector in read(cast(IO[bytes], file), path, rows):
                kept.setdefault(row, vector)
    except (OSError, EOFError) as error:
        raise WordVectorError(f"{path} cannot be read: {error}") from error
    if not kept:
        raise WordVectorError(
            f"{path} has none of the {len(vocabulary)} words of the vocabulary"
        )
    found = np.zeros(len(vocabulary), bool)
    found[list(kept)] = True
    vectors = np.stack(list(kept.values()))
    table = np.random.default_rng(seed).normal(
        0, max(float(vectors.std()), 1e-6), (len(vocabulary), vectors.shape[1])
    )
    table[list(kept)] = vectors
    return WordVectors(table.astype(np.float32), found)


def _text_rows(
    file: IO[bytes], path: Path, rows: dict[bytes, int]
) -> Iterator[tuple[int, np.ndarray]]:
    features = 0
    for number, line in enumerate(file, 1):
        fields = line.split()
        if number == 1 and len(fields) == 2 and fields[0].isdigit():
            features = _header(fields, path)[1]
            continue
        if not fields:
            continue
        features = features or len(fields) - 1
        if len(fields) <= features or features < 1:
            raise WordVectorError(
                f"{path}:{number}: must hold a word and {max(features, 1)} numbers, "
                f"got {len(fields)} fields"
            )
        # Some published files have words with spaces in them: count from the right.
        row = rows.get(b" ".join(fields[:-features]))
        if row is not None:
            yield row, _numbers(fields[-features:], f"{path}:{number}")


def _numbers(fields: list[bytes], where: str) -> np.ndarray:
    try:
        vector = np.array(fields, np.float32)
    except ValueError as error:
        raise WordVectorError(f"{where}: not a number: {error}") from error
    if not np.isfinite(vector).all():
        raise WordVectorError(f"{where}: the vector is not finite")
    return vector


def _header(fields: list[bytes], path: Path) -> tuple[int, int]:
    try:
        count, features = (int(field) for field in fields)
    except ValueError:
        count = features = 0
    if count < 1 or features < 1:
        raise WordVectorError(
            f"{path}:1: must hold the count of words and of features, got "
            f"{b' '.join(fields)[:40].decode(errors='replace')!r}"
        )
    return count, features


def _binary_rows(
    file: IO[bytes], path: Path, rows: dict[bytes, int]
) -> Iterator[tuple[int, np.ndarray]]:
    count, features = _header(file.readline(200).split(), path)
    size, rest = 4 * features, b""
    # A packed byte stands for 1,032 at most.
    most = path.stat().st_size * (1032 if path.suffix == ".gz" else 1)
    if count * size > most:
        raise WordVectorError(
            f"{path}: must hold the {count:,} vectors of {features:,} numbers that it "
            f"announces; it is too short for them"
        )
    for number in range(1, count + 1):
        space = rest.find(b" ")
        while space < 0 or len(rest) < space + 1 + size:
            more = file.read(max(1 << 20, size))
            if not more:
                raise WordVectorError(
                    f"{path}: ends at vector {number} of the {count} it announces"
                )
            rest += more
            space = rest.find(b" ")
        word, start = rest[:space].lstrip(b"\n"), space + 1
        row = rows.get(word)
        if row is not None:
            vector = np.frombuffer(rest, "<f4", features, start).astype(np.float32)
            if not np.isfinite(vector).all():
                raise WordVectorError(f"{path}: vector {number} is not finite")
            yield row, vector
        rest = rest[start + size :]
