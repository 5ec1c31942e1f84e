"""Arrays that are read from files: nothing is believed before it is checked."""

import io
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgraph_jax.data.arrays import read_npy
from labelgraph_jax.data.files import read_npz, write_npz


class DamagedError(ValueError):
    """What the tests want to be told by."""


ARRAYS = {
    "x": np.arange(6, dtype=np.float32).reshape(2, 3),
    "ids": np.array([0, 2, 1], np.int32),
    "starts": np.array([0, 1, 3]),
    "name": np.array("text"),
}


def took(path: Path, arrays: dict[str, Any], *asked: Any, **options: Any) -> np.ndarray:
    write_npz(path, ARRAYS | arrays)
    with read_npz(path, error=DamagedError, sizes={"N": 3}) as stored:
        return stored.take(*asked, **options)


def test_an_array_that_is_as_it_must_be_is_handed_out(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", ARRAYS)
    with read_npz(tmp_path / "a.npz", error=DamagedError, sizes={"N": 3}) as stored:
        np.testing.assert_array_equal(stored.take("x", "f", "M", "N"), ARRAYS["x"])
        ids = stored.take("ids", "iu", "N", low=0, below=3)
        np.testing.assert_array_equal(ids, [0, 2, 1])
        assert stored.rows("starts", of=3, rows="M").tolist() == [0, 1, 3]
        assert stored.text("name") == "text"
        assert set(stored) == set(ARRAYS)
        assert stored.sizes == {"N": 3, "M": 2}


@pytest.mark.parametrize(
    ("arrays", "asked", "options", "message"),
    [
        ({}, ("ids", "f", "N"), {}, "ids must hold floating-point numbers, got int32"),
        ({}, ("ids", "iu", 4), {}, r"ids must be of shape \[4\], got \[3\]"),
        ({}, ("ids", "iu"), {}, r"ids must be of shape one number, got \[3\]"),
        ({}, ("x", "f", "N", "M"), {}, r"x must be of shape \[3, M\], got \[2, 3\]"),
        ({}, ("x", "f", "D", "D"), {}, r"x must be of shape \[D, D\], got \[2, 3\]"),
        ({}, ("ids", "iu", "N"), {"below": 2}, "ids must be below 2, got 2"),
        ({"ids": [-2]}, ("ids", "iu", "K"), {"low": -1}, "must be -1 at least, got -2"),
        ({"ids": [2**63]}, ("ids", "iu", "K"), {"below": 9}, "below 9, got 92233"),
        ({"x": [np.nan]}, ("x", "f", "K"), {}, "x must be finite"),
        ({}, ("name", "U", "N"), {}, r"name must be of shape \[3\], got \[\]"),
        ({}, ("y", "f"), {}, "cannot be read: .*y is not a file in the archive"),
    ],
)
def test_an_array_that_is_otherwise_is_told_with_its_file(
    tmp_path: Path,
    arrays: dict[str, Any],
    asked: tuple[Any, ...],
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(DamagedError, match=rf"a\.npz: .*{message}"):
        took(tmp_path / "a.npz", arrays, *asked, **options)


@pytest.mark.parametrize(
    "starts", [[0, 3, 1, 3], [0, 1, 2, 4], [1, 1, 2, 3], [0, -1, 2, 3]]
)
@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_starts_of_rows_rise_from_zero_to_the_end(
    tmp_path: Path, starts: list[int], kind: type
) -> None:
    write_npz(tmp_path / "a.npz", {"starts": np.array(starts, kind)})
    with (
        pytest.raises(DamagedError, match="starts must"),
        read_npz(tmp_path / "a.npz", error=DamagedError) as stored,
    ):
        stored.rows("starts", of=3, rows=3)


def header(shape: str, descr: str = "<f4") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


HUGE = {
    "a million million numbers": header("(1000000000000,)"),
    "more than memory has addresses": header("(99999999999999999999,)"),
    "a negative size": header("(-1,)"),
    "sizes whose product is right": header("(-1, -2)"),
    "text of great length": header("(1,)", "<U999999999"),
    "deep brackets": header("(" * 9000 + ")" * 9000),
    "another version": b"\x93NUMPY\x09\x00" + header("(2,)")[8:],
    "half a header": header("(2,)")[:20],
    "no header": b"",
}


@pytest.fixture
def little_memory() -> Any:
    """No more than 2 GiB beyond what this process has mapped."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (pages * resource.getpagesize() + (2 << 30), before[1])
    )
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("case", HUGE)
def test_a_header_is_not_believed_before_memory_is_asked_for(
    tmp_path: Path, case: str, little_memory: None
) -> None:
    content = HUGE[case] + b"\0" * 8
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(Exception, match=r".") as caught:
        read_npy(tmp_path / "x.npy")
    assert not isinstance(caught.value, MemoryError) or "deep" in case
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with (
        pytest.raises(DamagedError, match=r"a\.npz: cannot be read: ."),
        read_npz(tmp_path / "a.npz", error=DamagedError) as stored,
    ):
        np.asarray(stored["x"])


def lie_about_the_size(content: bytearray) -> None:
    """Say that the first member has 100 GB, in the directory of the archive too."""
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = (0xFFFFFFF0).to_bytes(4, "little")


def unknown_packing(content: bytearray) -> None:
    place = content.index(b"PK\x01\x02") + 10
    content[place : place + 2] = (14).to_bytes(2, "little")


def encrypted(content: bytearray) -> None:
    place = content.index(b"PK\x01\x02") + 8
    content[place] |= 1
    content[6] |= 1


@pytest.mark.parametrize("change", [lie_about_the_size, unknown_packing, encrypted])
@pytest.mark.parametrize("compressed", [True, False])
def test_an_archive_that_lies_is_told(
    tmp_path: Path,
    compressed: bool,
    change: Callable[[bytearray], None],
    little_memory: None,
) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, ARRAYS, compressed=compressed)
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    with (
        pytest.raises(DamagedError, match=r"a\.npz: cannot be read: ."),
        read_npz(path, error=DamagedError) as stored,
    ):
        stored.take("x", "f", "M", "N")


def test_numbers_of_another_byte_order_are_read(tmp_path: Path) -> None:
    found = took(tmp_path / "a.npz", {"x": np.array([1.5], ">f4")}, "x", "f", "K")
    assert found.dtype.isnative
    assert found.tolist() == [1.5]


def test_one_array_is_read_as_numpy_reads_it(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.asfortranarray(ARRAYS["x"]))
    (tmp_path / "x.npy").write_bytes(stream.getvalue())
    np.testing.assert_array_equal(read_npy(tmp_path / "x.npy"), ARRAYS["x"])
