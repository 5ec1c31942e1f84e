import pickle
from pathlib import Path

import numpy as np
import pytest

from labelgraph_jax.data.encoding_cache import (
    EncodingCache,
    EncodingCacheError,
    EncodingCacheWriter,
    encoding_key,
)

LENGTHS = [3, 1, 2]


def vectors(index: int) -> np.ndarray:
    generator = np.random.default_rng(index)
    return generator.normal(size=(LENGTHS[index], 4)).astype(np.float16)


def fill(root: Path, key: str = "key") -> EncodingCache:
    writer = EncodingCacheWriter(root, key, LENGTHS, 4)
    for index in writer.missing:
        writer.write(index, vectors(index).astype(np.float32))
    return writer.finish()


def test_what_was_written_in_length_order_is_read_in_the_texts_order(tmp_path) -> None:
    cache = fill(tmp_path)
    assert len(cache) == 3
    assert cache.features == 4
    np.testing.assert_array_equal(cache.lengths, LENGTHS)
    for index in range(3):
        np.testing.assert_array_equal(cache[index], vectors(index))
    found = EncodingCache.find(tmp_path, "key")
    assert found is not None
    np.testing.assert_array_equal(found[2], vectors(2))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cache))[0], vectors(0))
    with pytest.raises(IndexError, match="sequence 3 of 3"):
        cache[3]


def test_the_missing_come_shortest_first(tmp_path: Path) -> None:
    writer = EncodingCacheWriter(tmp_path, "key", LENGTHS, 4)
    assert writer.missing.tolist() == [1, 2, 0]


def test_an_interrupted_cache_goes_on_and_is_never_found_before(tmp_path) -> None:
    writer = EncodingCacheWriter(tmp_path, "key", LENGTHS, 4)
    writer.write(1, vectors(1))
    assert writer.missing.tolist() == [2, 0]
    with pytest.raises(EncodingCacheError, match="2 of 3 sequences were not written"):
        writer.finish()
    del writer
    assert EncodingCache.find(tmp_path, "key") is None

    writer = EncodingCacheWriter(tmp_path, "key", LENGTHS, 4)
    assert writer.missing.tolist() == [2, 0]
    for index in (0, 2):
        writer.write(index, vectors(index))
    cache = writer.finish()
    np.testing.assert_array_equal(cache[1], vectors(1))
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_an_unfinished_cache_of_other_sizes_starts_over(tmp_path: Path) -> None:
    writer = EncodingCacheWriter(tmp_path, "key", [3, 1], 4)
    writer.write(1, vectors(1))
    del writer
    writer = EncodingCacheWriter(tmp_path, "key", LENGTHS, 4)
    assert len(writer.missing) == 3


def test_a_second_writer_of_the_same_cache_does_no_harm(tmp_path: Path) -> None:
    first = EncodingCacheWriter(tmp_path, "key", LENGTHS, 4)
    for index in range(3):
        first.write(index, vectors(index))
    first.finish()
    np.testing.assert_array_equal(fill(tmp_path)[0], vectors(0))


def test_the_key_follows_everything_that_decides_the_vectors() -> None:
    ids = [np.array([1, 2]), np.array([3])]
    keys = {
        encoding_key("a", {"x": 1}, ids),
        encoding_key("b", {"x": 1}, ids),
        encoding_key("a", {"x": 2}, ids),
        encoding_key("a", {"x": 1}, ids[::-1]),
        encoding_key("a", {"x": 1}, [np.array([1]), np.array([2, 3])]),
    }
    assert len(keys) == 5
    same = encoding_key("a", {"x": 1}, [i.astype(np.int64) for i in ids])
    assert same in keys


def test_damage_and_bad_input_are_told(tmp_path: Path) -> None:
    writer = EncodingCacheWriter(tmp_path, "key", LENGTHS, 4)
    with pytest.raises(EncodingCacheError, match=r"shape \(3, 4\), got \(2, 4\)"):
        writer.write(0, np.zeros((2, 4)))
    for value in (1e6, np.nan):
        with pytest.raises(EncodingCacheError, match="float16 cannot hold"):
            writer.write(1, np.full((1, 4), value))
    with pytest.raises(EncodingCacheError, match="at least one token"):
        EncodingCacheWriter(tmp_path, "empty", [], 4)
    with pytest.raises(EncodingCacheError, match="GB are free"):
        EncodingCacheWriter(tmp_path, "huge", [10**15], 384)
    with pytest.raises(EncodingCacheError, match="no complete cache"):
        EncodingCache(tmp_path / "nothing")
    cache = fill(tmp_path)
    (cache.folder / "vectors.f16").write_bytes(b"12")
    with pytest.raises(EncodingCacheError, match="must hold 6 x 4 numbers"):
        EncodingCache(cache.folder)
    (cache.folder / "meta.json").write_text('{"version": 99, "features": 4}')
    with pytest.raises(EncodingCacheError, match="has version 99, not 1"):
        EncodingCache(cache.folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("meta.json", b""),
        ("meta.json", b"[" * 100_000),
        ("lengths.npy", b""),
        ("vectors.f16", b"half"),
    ],
)
def test_a_damaged_cache_is_none_and_goes(
    tmp_path: Path, name: str, content: bytes
) -> None:
    writer = EncodingCacheWriter(tmp_path, "key", [2, 1], 4)
    for index, length in enumerate([2, 1]):
        writer.write(index, np.ones((length, 4), np.float32))
    writer.finish()
    assert EncodingCache.find(tmp_path, "key") is not None
    (tmp_path / "key" / name).write_bytes(content)
    assert EncodingCache.find(tmp_path, "key") is None
    assert not list(tmp_path.iterdir())


def test_lengths_that_would_reach_beyond_the_vectors_are_refused(
    tmp_path: Path,
) -> None:
    writer = EncodingCacheWriter(tmp_path, "key", [2, 1], 4)
    for index, length in enumerate([2, 1]):
        writer.write(index, np.ones((length, 4), np.float32))
    writer.finish()
    np.save(tmp_path / "key" / "lengths.npy", np.array([5, -2]))
    with pytest.raises(EncodingCacheError, match="the length of each sequence"):
        EncodingCache(tmp_path / "key")
