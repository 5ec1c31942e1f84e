"""Finding a corpus's files: local copies, downloads, and what is said without."""

import hashlib
from pathlib import Path

import pytest

from labelgraph_jax.data.corpora.protocols import random80
from labelgraph_jax.data.corpora.sources import (
    Download,
    Layout,
    Source,
    files_in,
    find_folder,
    fingerprint,
)
from labelgraph_jax.data.documents import DataError


def _source(*downloads: Download, **fields) -> Source:
    return Source(
        name="made",
        home="https://example.org/made",
        protocols=("published", "other"),
        layouts=(
            Layout(("texts.txt", "labels.txt"), optional=("names.txt",)),
            Layout(("other.txt",), protocols=("other",)),
        ),
        downloads=downloads,
        **fields,
    )


def _write(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(name.encode())
    return folder


def _find(source, downloads_dir, data_dir=None, protocol="published"):
    return find_folder(source, protocol, data_dir=data_dir, downloads_dir=downloads_dir)


def test_files_may_be_compressed_and_optional_ones_missing(tmp_path):
    _write(tmp_path, "texts.txt.gz", "labels.txt.xz")
    files = files_in(_source(), "published", tmp_path)
    assert {name: path.name for name, path in files.items()} == {
        "texts.txt": "texts.txt.gz",
        "labels.txt": "labels.txt.xz",
    }
    _write(tmp_path, "names.txt")
    assert "names.txt" in files_in(_source(), "published", tmp_path)


def test_a_layout_can_be_for_one_protocol(tmp_path):
    _write(tmp_path, "other.txt")
    assert files_in(_source(), "published", tmp_path) is None
    assert files_in(_source(), "other", tmp_path) is not None


def test_the_option_goes_before_the_variable(tmp_path, monkeypatch):
    for place in ("option", "variable"):
        _write(tmp_path / place / "made", "texts.txt", "labels.txt")
    monkeypatch.setenv("LABELGRAPH_DATA", str(tmp_path / "variable"))
    assert _find(_source(), tmp_path).parent.name == "variable"
    found = _find(_source(), tmp_path, data_dir=tmp_path / "option")
    assert found.parent.name == "option"


def test_without_copy_and_network_one_line_says_what_to_put_where(tmp_path):
    source = _source(Download("texts.txt", "https://example.org/texts.txt"))
    with pytest.raises(DataError) as caught:
        _find(source, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "texts.txt, labels.txt",
        "DIR/made/",
        "--data-dir",
        "LABELGRAPH_DATA",
        "https://example.org/made",
        "no network in tests",
    ):
        assert part in message


def test_a_corpus_that_cannot_be_downloaded_says_so(tmp_path):
    with pytest.raises(DataError, match="owner has it fetched by hand"):
        _find(_source(), tmp_path)


def test_a_local_copy_that_lacks_a_file_is_an_error_that_lists_both(
    tmp_path, monkeypatch
):
    folder = _write(tmp_path / "made", "texts.txt")
    wanted = "made must hold texts.txt, labels.txt .*; got texts.txt"
    with pytest.raises(DataError, match=wanted):
        _find(_source(), tmp_path, data_dir=tmp_path)
    monkeypatch.setenv("LABELGRAPH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=wanted):
        _find(_source(), tmp_path)
    (folder / "texts.txt").unlink()
    with pytest.raises(DataError, match="got an empty folder"):
        _find(_source(), tmp_path, data_dir=tmp_path)


def test_a_data_dir_that_is_no_folder_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"data_dir .* must name a folder"):
        _find(_source(), tmp_path, data_dir=tmp_path / "nowhere")
    monkeypatch.setenv("LABELGRAPH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="LABELGRAPH_DATA must name a folder"):
        _find(_source(), tmp_path)


def test_the_variable_may_name_a_folder_without_this_corpus(tmp_path, monkeypatch):
    home = _write(tmp_path / "home", "texts.txt", "labels.txt")
    monkeypatch.setenv("LABELGRAPH_DATA", str(_write(tmp_path / "data")))
    downloads = [Download(n, (home / n).as_uri()) for n in ("texts.txt", "labels.txt")]
    assert _find(_source(*downloads), tmp_path / "cache").parent.name == "cache"


def test_a_download_is_kept_and_used_again_without_network(tmp_path):
    home = _write(tmp_path / "home", "texts.txt", "labels.txt")
    downloads = [
        Download(
            name, (home / name).as_uri(), hashlib.sha256(name.encode()).hexdigest()
        )
        for name in ("texts.txt", "labels.txt")
    ]
    folder = _find(_source(*downloads), tmp_path / "cache")
    assert sorted(path.name for path in folder.iterdir()) == ["labels.txt", "texts.txt"]
    for path in home.iterdir():
        path.unlink()
    assert _find(_source(*downloads), tmp_path / "cache") == folder


def test_a_file_that_is_optional_may_fail_to_come(tmp_path):
    home = _write(tmp_path / "home", "texts.txt", "labels.txt")
    downloads = [Download(n, (home / n).as_uri()) for n in ("texts.txt", "labels.txt")]
    downloads.append(Download("names.txt", (home / "names.txt").as_uri()))
    assert len(list(_find(_source(*downloads), tmp_path / "cache").iterdir())) == 2


def test_a_download_with_another_checksum_is_refused_and_not_kept(tmp_path):
    home = _write(tmp_path / "home", "texts.txt")
    download = Download("texts.txt", (home / "texts.txt").as_uri(), "0" * 64)
    with pytest.raises(DataError, match="must have sha256 0000"):
        _find(_source(download), tmp_path / "cache")
    assert list((tmp_path / "cache" / "made").iterdir()) == []


def test_the_fingerprint_changes_with_content_and_with_the_reading_code(tmp_path):
    files = {"texts.txt": _write(tmp_path / "a", "texts.txt") / "texts.txt"}
    reader = _write(tmp_path / "reader", "__init__.py")
    first = fingerprint(files, reader)
    copy = {"texts.txt": _write(tmp_path / "b", "texts.txt") / "texts.txt"}
    assert fingerprint(copy, reader) == first
    copy["texts.txt"].write_text("other")
    assert fingerprint(copy, reader) != first
    (reader / "__init__.py").write_text("other")
    assert fingerprint(files, reader) != first


def test_a_random_cut_is_80_to_20_keeps_the_order_and_never_changes():
    train, test = random80(range(10_788))
    assert (len(train), len(test)) == (8_630, 2_158)
    assert sorted(train) == list(train)
    assert sorted(train + test) == list(range(10_788))
    assert random80(range(10_788)) == (train, test)
    for count, sizes in ((804_414, (643_531, 160_883)), (55_840, (44_672, 11_168))):
        assert tuple(len(part) for part in random80(range(count))) == sizes
