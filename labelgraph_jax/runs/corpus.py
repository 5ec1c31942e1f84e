"""The documents that a run's settings name."""

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypedDict

from labelgraph_jax.config import Config, ConfigError, DataConfig
from labelgraph_jax.config.text import JOIN, OWN, require_sources
from labelgraph_jax.data.corpora.joined import join_corpora
from labelgraph_jax.data.documents import Corpus, DataError, Document, LabelSpace
from labelgraph_jax.data.features.documents import reads_features
from labelgraph_jax.data.labels.tasks import (
    learn_tasks,
    leave_out_unannotated,
    select_tasks,
)
from labelgraph_jax.data.labels.taxonomy import (
    attach_taxonomy,
    closed_corpus,
    closed_share,
    read_taxonomy,
    require_taxonomy_of,
)
from labelgraph_jax.data.labels.unlabelled import set_unlabelled_apart, with_unlabelled
from labelgraph_jax.data.layout import Layout
from labelgraph_jax.data.readers.limits import within
from labelgraph_jax.data.readers.lines import Complain, refuse
from labelgraph_jax.data.readers.roles import Mode
from labelgraph_jax.predictors.many_labels import MANY

MOST_COPIES = 40
"""Most copies that a validation document of a large weight counts as."""
FEW = 20
"""Below so many different texts in memory none is kept back for validation: the
thresholds are then fitted on the training texts, and words are read that occur in one
text only."""
IN_MEMORY = "documents in memory"
"""Name of the corpus in config.json of a run on documents in memory."""


def read_corpus(
    config: DataConfig,
    *,
    split: bool = True,
    tasks: Sequence[str] = (),
    layout: Layout | None = None,
    known: Collection[str] = (),
    complain: Complain = refuse,
) -> Corpus:
    """Read the corpus that the settings name, missing splits cut off.

    Args:
        config: the settings.
        split: cut off missing splits; without, they stay empty.
        tasks: the label sets that a model has learned, in place of those that the
            settings name: one that no document has is then no error, but not
            annotated.
        layout: of the training file of a run, where that is known.
        known: labels that were trained, where the files are later ones.
        complain: is told of a document of an own file that cannot be read.

    Raises:
        DataError: a file or corpus is absent or malformed.
        ConfigError: settings that contradict each other.
    """
    require_sources(config)
    with within(config):
        return _read_corpus(config, split, tasks, layout, known, complain)


def _read_corpus(
    config: DataConfig,
    split: bool,
    tasks: Sequence[str],
    layout: Layout | None,
    known: Collection[str],
    complain: Complain,
) -> Corpus:
    # Files of one's own, or a corpus by name.
    if config.data:
        mode: Mode = "optional" if tasks or config.task else "required"
        corpus = _own_files(config, mode, layout, known, complain)
    elif config.corpus == IN_MEMORY:
        raise DataError(
            "the documents of this run were in memory and are not kept: it can be "
            "evaluated on a file (evaluate --data FILE), and predict others"
        )
    else:
        corpus = _named_corpus(config)
    # Documents that have no labels stand apart; tasks are chosen.
    corpus = set_unlabelled_apart(corpus)
    reads_features([d for split in corpus.splits.values() for d in split])
    if tasks:
        corpus = learn_tasks(corpus, tasks)
    elif config.task:
        corpus = select_tasks(corpus, config.task)
    corpus = leave_out_unannotated(corpus)
    # What is given beside the corpus: unlabelled texts, a taxonomy.
    if config.unlabelled:
        corpus = with_unlabelled(corpus, config)
    if config.taxonomy == OWN:
        require_taxonomy_of(corpus)
    elif config.taxonomy:
        corpus = attach_taxonomy(corpus, config.taxonomy, shape=config.taxonomy_shape)
    if config.taxonomy_targets == "closed":
        corpus = closed_corpus(corpus)
    # Splits that are missing.
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

    names = config.corpus.split(JOIN)
    if len(names) == 1:
        return load_corpus(
            config.corpus,
            data_dir=config.data_dir or None,
            protocol=config.protocol or None,
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


def _own_files(
    config: DataConfig,
    mode: Mode,
    layout: Layout | None,
    known: Collection[str],
    complain: Complain,
) -> Corpus:
    from labelgraph_jax.data.readers.folders import (
        HUB,
        paths_of,
        read_in_turn,
        read_splits,
    )
    from labelgraph_jax.data.readers.xmc_folder import is_xmc_folder

    name = Path(config.data).name
    # A folder itself says which files are which split.
    if config.data.startswith(HUB) or Path(config.data).is_dir():
        if is_xmc_folder(Path(config.data)):
            return _xmc_folder(config)
        for setting in ("validation", "test"):
            if value := getattr(config, setting):
                raise ConfigError(
                    f"data.data={config.data!r} is a folder, which says itself what is "
                    f"where: leave data.{setting} out, got {value!r}"
                )
        return read_splits(
            config.data, config, labels=mode, layout=layout, complain=complain
        )
    # Else the settings name the files of each split.
    sources = {
        "train": config.data,
        "validation": config.validation,
        "test": config.test,
    }
    return read_in_turn(
        name,
        {split: paths_of(source) for split, source in sources.items() if source},
        config,
        labels=mode,
        layout=layout,
        known=known,
        complain=complain,
    )


def _xmc_folder(config: DataConfig) -> Corpus:
    from labelgraph_jax.data.readers.xmc_folder import read_folder

    for name in ("validation", "test", "text_column", "label_columns", "task"):
        if value := getattr(config, name):
            raise ConfigError(
                f"data.data={config.data!r} is a folder, which says itself what is "
                f"where: leave data.{name} out, got {value!r}"
            )
    return read_folder(config.data)


def corpus_in_memory(
    texts: Sequence[str],
    names: Sequence[tuple[str, ...]],
    unannotated: Sequence[tuple[str, ...]],
    data: DataConfig,
    weights: Sequence[float] | None = None,
) -> Corpus:
    """Training and validation documents; few texts are both.

    Args:
        texts: M of them.
        names: of each its labels.
        unannotated: of each the labels of which nothing is known.
        data: says how large the validation split is.
        weights: how much each counts; a validation document of twice the weight
            stands there twice. Whole numbers are exact, others in quarters of their
            mean.

    Raises:
        ValueError: no text has a label.
    """
    rows = enumerate(zip(texts, names, unannotated, strict=True))
    counts = [1.0] * len(texts) if weights is None else [float(w) for w in weights]
    documents = tuple(
        Document(str(i), text, own, unannotated=unknown, weight=counts[i])
        for i, (text, own, unknown) in rows
    )
    if not any(document.labels for document in documents if document.weight):
        raise ValueError("y must name at least one label, got none in any text")
    corpus = Corpus(IN_MEMORY, tuple(d for d in documents if d.weight))
    documents = corpus.train
    if len({document.content for document in documents}) < FEW:
        note = f"fewer than {FEW} different texts: validation is the training texts"
        corpus = dataclasses.replace(corpus, validation=documents, notes=(note,))
    else:
        from labelgraph_jax.data.splits import complete_splits

        corpus = complete_splits(
            corpus,
            validation_fraction=data.validation_fraction,
            test_fraction=0.0,
            seed=data.split_seed,
        )
    if weights is None:
        return corpus
    return dataclasses.replace(corpus, validation=_as_often(corpus.validation))


def _as_often(documents: Sequence[Document]) -> tuple[Document, ...]:
    """Each document as often as its weight says, of weight 1."""
    weights = [document.weight for document in documents]
    if not all(weight.is_integer() and weight <= MOST_COPIES for weight in weights):
        unit = sum(weights) / len(weights) / 4
        weights = [min(max(round(w / unit), 1), MOST_COPIES) for w in weights]
    return tuple(
        dataclasses.replace(document, id=f"{document.id}.{copy}", weight=1.0)
        for document, weight in zip(documents, weights, strict=True)
        for copy in range(int(weight))
    )


def require_plain_loss(config: Config, corpus: Corpus) -> None:
    """Refuse weights of documents where the loss does not read them.

    Raises:
        ConfigError: it says which setting is in the way.
    """
    chunk, labels = config.head.label_chunk, {n for d in corpus.train for n in d.labels}
    for wrong, setting in (
        (chunk or (chunk is None and len(labels) > MANY), "labels scored in chunks"),
        (config.mixture.kind != "none", f"mixture.kind='{config.mixture.kind}'"),
        (config.head.kind == "recurrent", "head.kind='recurrent'"),
    ):
        if wrong:
            raise ConfigError(f"weights of documents are not read with {setting}")


def require_labels(documents: Sequence[Document], corpus: Corpus) -> None:
    """Refuse a training split without documents or labels.

    Raises:
        DataError: there is nothing to learn from.
    """
    if not documents:
        raise DataError(f"{corpus.name}: there is no training document")
    if not any(document.labels for document in documents):
        raise DataError(f"{corpus.name}: no training document carries a label")


def layout_lines(corpus: Corpus) -> list[str]:
    """Say how own files were read, and the first document."""
    if corpus.layout is None or not corpus.layout.format:
        return []
    first = next(iter(corpus.train or corpus.test), Document("", "", ()))
    return corpus.layout.describe(corpus.name, first.text, first.labels)


class TaxonomyFacts(TypedDict):
    """Counts of a taxonomy and of the labels below it, and names worth a look."""

    labels: int
    nodes: int
    edges: int
    several_parents: list[str]
    unused: list[str]
    labels_outside: list[str]
    inner_nodes: int
    label_pairs: int
    closed_share: float


def taxonomy_facts(taxonomy: str, config: DataConfig) -> TaxonomyFacts:
    """Return facts on a taxonomy of the labels of a corpus, as JSON values.

    Args:
        taxonomy: a file, or auto for the corpus's own.
        config: which corpus.

    Raises:
        DataError: as `attach_taxonomy`, cycles among it; or the corpus has none.
    """
    own = dataclasses.replace(config, taxonomy=taxonomy, taxonomy_targets="as-given")
    corpus = read_corpus(own, split=False)
    documents = [d for split in corpus.splits.values() for d in split]
    labels = LabelSpace.from_documents(documents, parents=corpus.parents)
    every = dict(corpus.parents)
    unused: list[str] = []
    if taxonomy != OWN:
        whole = read_taxonomy(taxonomy, labels=labels.names, shape=own.taxonomy_shape)
        every, known = dict(whole.parents), {*labels.names, *corpus.parents}
        above = {name for parents in corpus.parents.values() for name in parents}
        unused = [name for name in whole.lines if name not in known | above]
    pairs = labels.parent_pairs()
    inside = {*every, *(name for above in every.values() for name in above)}
    if taxonomy != OWN:
        inside |= whole.lines.keys()
    return {
        "labels": len(labels),
        "nodes": len(inside),
        "edges": sum(map(len, every.values())),
        "several_parents": sorted(n for n, above in every.items() if len(above) > 1),
        "unused": unused,
        "labels_outside": sorted(set(labels.names) - inside),
        "inner_nodes": len(inside - set(labels.names) - set(unused)),
        "label_pairs": len(pairs),
        "closed_share": closed_share(labels.label_sets(documents)[0], pairs),
    }
