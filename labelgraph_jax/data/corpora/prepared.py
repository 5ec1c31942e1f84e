"""Prepared corpora: written once as TFDS array_record files, then read from there."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelgraph_jax.data.corpora import sources
from labelgraph_jax.data.corpora.quiet import quiet
from labelgraph_jax.data.corpora.sources import Source, files_in, find_folder
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.files import cache_folder

if TYPE_CHECKING:
    from labelgraph_jax.data.corpora.builder import CorpusBuilder


def load_prepared(
    source: Source,
    package: str,
    protocol: str,
    *,
    data_dir: str | Path | None,
    cache_dir: str | Path | None,
) -> Corpus:
    """The corpus from its prepared files, which are written first where missing.

    They lie in `cache_dir/corpora/FINGERPRINT/name/protocol/version`; the fingerprint
    changes with the source's files and with the code of `package`, so that a changed
    source is never answered with what was prepared from another. They appear
    there whole or not at all.

    Args:
        source: where the corpus comes from.
        package: the corpus's package, see `builder_class`.
        protocol: one of the source's.
        data_dir: a folder of local copies.
        cache_dir: for downloads and prepared files; `cache_folder()` without it.

    Raises:
        DataError: the files are nowhere, damaged, or not those of the corpus.
    """
    cache = Path(cache_dir).expanduser() if cache_dir else cache_folder()
    folder = find_folder(
        source, protocol, data_dir=data_dir, downloads_dir=cache / "downloads"
    )
    files = files_in(source, protocol, folder) or {}
    reader = Path(str(importlib.import_module(package).__file__)).parent
    key = sources.fingerprint(files, reader)
    try:
        # TFDS prints and draws bars, and imports modules that warn.
        with quiet():
            builder = _builder(package, protocol, cache / "corpora" / key)
            if not builder.is_prepared():
                _prepare(builder, folder)
                builder = _builder(package, protocol, cache / "corpora" / key)
    except OSError as error:
        raise DataError(
            f"corpus {source.name}: cannot write its prepared copy into {cache}; "
            f"{error}; name another folder with cache_dir"
        ) from None
    try:
        with quiet():
            return _read_back(builder, source.name, protocol)
    except (OSError, ValueError, KeyError, IndexError, RuntimeError) as error:
        raise DataError(
            f"corpus {source.name}: its prepared copy is damaged ({error}); delete "
            f"{builder.data_path} and run again"
        ) from None


def _builder(package: str, protocol: str, folder: Path) -> "CorpusBuilder":
    # TFDS takes a second to import.
    from labelgraph_jax.data.corpora.builder import builder_class

    return builder_class(package)(
        data_dir=str(folder), config=protocol, file_format="array_record"
    )


def _prepare(builder: "CorpusBuilder", folder: Path) -> None:
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(
        manual_dir=str(folder), try_download_gcs=False, compute_stats="skip"
    )
    try:
        builder.download_and_prepare(download_config=config)
    except OSError:
        # Another process may have finished the same files in the meantime.
        if not builder.is_prepared():
            raise


def _read_back(builder: "CorpusBuilder", name: str, protocol: str) -> Corpus:
    splits = {
        split: _documents(builder.as_data_source(split=split))
        for split in builder.info.splits
    }
    metadata = builder.info.metadata
    return Corpus(
        name=name if protocol == builder.SOURCE.protocols[0] else f"{name}/{protocol}",
        train=splits.get("train", ()),
        validation=splits.get("validation", ()),
        test=splits.get("test", ()),
        label_descriptions=metadata.get("label_descriptions", {}),
        parents={k: tuple(v) for k, v in metadata.get("parents", {}).items()},
        notes=tuple(metadata.get("notes", ())),
        candidate_labels=tuple(metadata.get("candidate_labels", ())),
    )


def _documents(data_source: Any) -> tuple[Document, ...]:
    examples = data_source.__getitems__(range(len(data_source)))
    return tuple(_document(example) for example in examples)


def _document(example: Mapping[str, Any]) -> Document:
    tasks = example.get("tasks")
    return Document(
        id=example["id"].decode(),
        text=example["text"].decode(),
        labels=_names(example["labels"]),
        tasks=None if tasks is None else {t: _names(v) for t, v in tasks.items()},
        source=example["source"].decode(),
    )


def _names(values: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(value.decode() for value in values)
