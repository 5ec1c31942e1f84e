"""The documents that a run's settings name."""

from collections.abc import Sequence
from pathlib import Path

from labelgraph_jax.config import ConfigError, DataConfig
from labelgraph_jax.data.corpora.joined import JOIN, join_corpora
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.data.features.documents import reads_features
from labelgraph_jax.data.labels.tasks import (
    learn_tasks,
    leave_out_unannotated,
    select_tasks,
)
from labelgraph_jax.data.labels.taxonomy import attach_taxonomy


def read_corpus(
    config: DataConfig, *, split: bool = True, tasks: Sequence[str] = ()
) -> Corpus:
    """Reads the corpus that the settings name, missing splits cut off.

    Args:
        split: cut off missing splits; without, they stay empty.
        tasks: the label sets that a model has learned, in place of those that the
            settings name: one that no document has is then no error, but not
            annotated.

    Raises:
        DataError: a file or corpus is absent or malformed.
        ConfigError: settings that contradict each other.
    """
    if config.data:
        corpus = _own_files(config, has_tasks=bool(tasks or config.task))
    else:
        corpus = _named_corpus(config)
    reads_features([d for split in corpus.splits.values() for d in split])
    if tasks:
        corpus = learn_tasks(corpus, tasks)
    elif config.task:
        corpus = select_tasks(corpus, config.task)
    corpus = leave_out_unannotated(corpus)
    if config.taxonomy:
        corpus = attach_taxonomy(corpus, config.taxonomy, shape=config.taxonomy_shape)
    if split:
        from labelgraph_jax.data.splits import complete_splits

        corpus = complete_splits(
            corpus,
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
            seed=config.split_seed,
        )
    return corpus


def _named_corpus(config: DataConfig) -> Corpus:
    from labelgraph_jax.data.corpora import load_corpus
    from labelgraph_jax.data.splits import complete_splits

    if config.validation or config.test:
        raise ConfigError(
            "data.validation and data.test name files beside an own training file: "
            "give data.data too"
        )
    names = config.corpus.split(JOIN)
    if len(names) == 1:
        return load_corpus(
            config.corpus,
            data_dir=config.data_dir or None,
            protocol=config.protocol or None,
        )
    for name in ("task", "protocol"):
        if value := getattr(config, name):
            raise ConfigError(
                f"data.corpus={config.corpus!r} joins corpora, and each of them is a "
                f"task of its own: leave data.{name} out, got {value!r}"
            )
    # A split that one corpus lacks is cut off its own documents.
    return join_corpora(
        [
            complete_splits(
                load_corpus(name, data_dir=config.data_dir or None),
                validation_fraction=config.validation_fraction,
                test_fraction=config.test_fraction,
                seed=config.split_seed,
            )
            for name in names
        ]
    )


def _own_files(config: DataConfig, *, has_tasks: bool) -> Corpus:
    from labelgraph_jax.data.readers.texts import read_documents

    def read(path: str) -> tuple[Document, ...]:
        if not path:
            return ()
        return tuple(
            read_documents(
                path,
                label_delimiter=config.label_delimiter or None,
                text_column=config.text_column or None,
                label_columns=config.label_columns or None,
                require_labels=not has_tasks,
            )
        )

    if config.protocol:
        raise ConfigError(
            f"data.protocol={config.protocol!r} belongs to a named corpus, "
            "not to an own file"
        )
    if Path(config.data).is_dir():
        return _own_folder(config)
    return Corpus(
        name=Path(config.data).name,
        train=read(config.data),
        validation=read(config.validation),
        test=read(config.test),
    )


def _own_folder(config: DataConfig) -> Corpus:
    from labelgraph_jax.data.readers.xmc_folder import read_folder

    for name in ("validation", "test", "text_column", "label_columns", "task"):
        if value := getattr(config, name):
            raise ConfigError(
                f"data.data={config.data!r} is a folder, which says itself what is "
                f"where: leave data.{name} out, got {value!r}"
            )
    return read_folder(config.data)


def require_labels(documents: Sequence[Document], corpus: Corpus) -> None:
    """Refuses a training split without documents or labels.

    Raises:
        DataError: there is nothing to learn from.
    """
    if not documents:
        raise DataError(f"{corpus.name}: there is no training document")
    if not any(document.labels for document in documents):
        raise DataError(f"{corpus.name}: no training document carries a label")
