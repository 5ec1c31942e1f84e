"""Base of all corpus builders: TFDS, in array_record files, without TensorFlow."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from labelgraph_jax.data.corpora.sources import Files, Source, files_in
from labelgraph_jax.data.documents import Corpus, DataError, Document


class _LocalInfo(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Do nothing: our corpora do not lie in TFDS's bucket."""


class CorpusBuilder(tfds.core.GeneratorBasedBuilder):
    """Writes the documents of one corpus; `builder_class` says how to read them.

    An example has `id`, `text`, `labels` and `source`, and for a corpus of several
    tasks `tasks`, a list of labels under each task's name. Label descriptions,
    taxonomy and notes stand in the metadata.
    """

    VERSION = tfds.core.Version("1.0.0")
    SOURCE: Source
    TASKS: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any):
        # TFDS has a goemotions of its own, and two of one name break its registry.
        super().__init_subclass__(skip_registration=True, **kwargs)

    @staticmethod
    @abc.abstractmethod
    def read(files: Files, protocol: str) -> Corpus:
        """The documents of the corpus's files, split by the protocol."""

    @property
    def MANUAL_DOWNLOAD_INSTRUCTIONS(self) -> str:  # noqa: N802 - TFDS's name
        """Sentence that TFDS prints where the files of the corpus are missing."""
        return f"Put the files of {self.SOURCE.home} into manual_dir."

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        features: dict[str, Any] = {
            "id": text,
            "text": text,
            "labels": tfds.features.Sequence(text),
            "source": text,
        }
        if self.TASKS:
            features["tasks"] = {
                task: tfds.features.Sequence(text) for task in self.TASKS
            }
        return _LocalInfo(
            builder=self,
            description=" ".join((type(self).__doc__ or "").split()),
            features=tfds.features.FeaturesDict(features),
            homepage=self.SOURCE.home,
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> Mapping[str, Any]:
        protocol = self.builder_config.name
        files = files_in(self.SOURCE, protocol, Path(dl_manager.manual_dir))
        if files is None:
            raise DataError(f"{dl_manager.manual_dir}: lacks files of {self.name}")
        corpus = self.read(files, protocol)
        check_sizes(self.SOURCE, protocol, corpus)
        self.info.metadata["label_descriptions"] = dict(corpus.label_descriptions)
        self.info.metadata["parents"] = {k: list(v) for k, v in corpus.parents.items()}
        self.info.metadata["notes"] = list(corpus.notes)
        self.info.metadata["candidate_labels"] = list(corpus.candidate_labels)
        return {
            split: self._generate_examples(documents)
            for split, documents in corpus.splits.items()
            if documents
        }

    def _generate_examples(
        self, documents: tuple[Document, ...]
    ) -> Iterator[tuple[int, dict[str, object]]]:
        for number, document in enumerate(documents):
            example: dict[str, object] = {
                "id": document.id,
                "text": document.text,
                "labels": list(document.labels),
                "source": document.source,
            }
            if self.TASKS:
                tasks = document.tasks or {}
                example["tasks"] = {t: list(tasks.get(t) or ()) for t in self.TASKS}
            yield number, example


def builder_class(package: str) -> type[CorpusBuilder]:
    """Make the builder of a corpus.

    Args:
        package: of the corpus: it holds `SOURCE`, `read(files, protocol)` and, for a
            corpus of several tasks, `TASKS`.
    """
    corpus = importlib.import_module(package)
    configs = [tfds.core.BuilderConfig(name=name) for name in corpus.SOURCE.protocols]
    members = {
        "__doc__": corpus.__doc__,
        "__module__": package,
        "name": corpus.SOURCE.name,
        "SOURCE": corpus.SOURCE,
        "TASKS": getattr(corpus, "TASKS", ()),
        "BUILDER_CONFIGS": configs,  # one per protocol, the default first
        "read": staticmethod(corpus.read),
    }
    return type("Builder", (CorpusBuilder,), members)


def check_sizes(source: Source, protocol: str, corpus: Corpus) -> None:
    """Raise a DataError unless the splits have the sizes the protocol promises."""
    expected = source.sizes.get(protocol)
    got = tuple(len(split) for split in corpus.splits.values())
    if expected is not None and got != expected:
        shown = [" / ".join(f"{n:,}" for n in sizes) for sizes in (expected, got)]
        raise DataError(
            f"corpus {source.name}, protocol {protocol}: must have {shown[0]} "
            f"documents in train / validation / test; got {shown[1]}, so the files "
            f"are not those of {source.home}"
        )
