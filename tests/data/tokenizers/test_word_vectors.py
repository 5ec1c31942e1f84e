import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.data.tokenizers.word_vectors import (
    WordVectorError,
    read_word_vectors,
)

WORDS = ["[PAD]", "the", "cat", "unheard"]
LINES = "the 1 2 3\nat a b 7 7 7\ndog 0 0 0\ncat 4 5 6\ncat 9 9 9\n"
BINARY = (
    b"3 3\nthe " + struct.pack("<3f", 1, 2, 3)
    + b"\ndog " + struct.pack("<3f", 0, 0, 0)
    + b"\ncat " + struct.pack("<3f", 4, 5, 6) + b"\n"
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("glove.txt", LINES.encode()),
        ("fast.vec", b"5 3\n" + LINES.encode()),
        ("glove.txt.gz", gzip.compress(LINES.encode(), mtime=0)),
        ("news.bin", BINARY),
        ("news.bin.gz", gzip.compress(BINARY, mtime=0)),
    ],
)
def test_every_form_gives_the_same_rows(tmp_path: Path, name, content) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    vectors = read_word_vectors(path, WORDS)
    assert vectors.table.shape == (4, 3)
    assert vectors.table.dtype == np.float32
    np.testing.assert_array_equal(vectors.table[1:3], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(vectors.found, [False, True, True, False])
    assert vectors.coverage == 0.5
    assert np.isfinite(vectors.table).all()


def test_rows_that_the_file_lacks_follow_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text(LINES)
    first, same, other = (read_word_vectors(path, WORDS, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.table, same.table)
    assert not np.array_equal(first.table[3], other.table[3])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.txt", b"the 1 2 3\ncat 1 2\n", r"v\.txt:2: must hold a word and 3 numbers"),
        ("v.txt", b"the 1 2 3\ncat 1 x 2\n", r"v\.txt:2: not a number"),
        ("v.txt", b"the 1 nan 3\n", r"v\.txt:1: the vector is not finite"),
        ("v.txt", b"dog 1 2 3\n", "none of the 4 words"),
        ("v.txt", b"", "none of the 4 words"),
        ("v.txt.gz", b"the 1 2 3\n", "cannot be read"),
        ("v.bin", BINARY[:-6], r"v\.bin: ends at vector 3 of the 3"),
        ("v.bin", b"the cat\n", r"v\.bin:1: must hold the count of words"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(
    tmp_path: Path, name, content, message
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WordVectorError, match=message):
        read_word_vectors(path, WORDS)


def test_a_missing_file_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(WordVectorError, match="no word vectors at"):
        read_word_vectors(tmp_path / "none.txt", WORDS)
