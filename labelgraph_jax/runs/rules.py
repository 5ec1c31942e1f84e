"""Rules beside a trained model, checked against documents, and mined from them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from labelgraph_jax.config import ConfigError, DataConfig, RulesConfig
from labelgraph_jax.data.documents import Corpus, DataError, LabelSpace
from labelgraph_jax.data.labels.label_rules import (
    LabelRules,
    Mined,
    mine_rules,
    read_rules,
)
from labelgraph_jax.functional.structure.rules import broken_rules, unreachable_labels
from labelgraph_jax.predictors.decision import read_decision
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.rules import with_rules
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.corpus import read_corpus, require_labels
from labelgraph_jax.runs.records import corpus_of_run
from labelgraph_jax.runs.restore import require_model

if TYPE_CHECKING:
    from labelgraph_jax.predictors.tables.model import TableModel

EXAMPLES = 3
"""Documents that are named of those that break a rule."""
AT_ONCE = 4_096
"""Documents whose labels are looked at as an array."""


def model_with_rules(
    model: "Model | TableModel", config: RulesConfig
) -> "Model | TableModel":
    """A model that decides with a file's rules, if named, in place of its own.

    Raises:
        DataError: of a model of a table; as `read_rules`.
        ConfigError: the model keeps the best labels alone, or as `with_rules`.
    """
    if not config.file:
        return model
    require_model(model, "--rules")
    assert isinstance(model, Model)
    if not model.gives_every_label:
        raise ConfigError(
            "--rules needs the probabilities of all labels; this model keeps the best "
            "ones of each document (head.label_chunk)"
        )
    if config.kind == "loss":
        raise ConfigError("rules.kind='loss' is of training; give report or decode")
    own = dataclasses.replace(model.decision, rules=None, obeys=False)
    return model.with_decision(with_rules(own, config, model.labels))


class BrokenRule(TypedDict):
    """A rule, the line that it stands in, and the documents that break it."""

    rule: str
    where: str
    documents: int
    ids: list[str]


class RuleCheck(TypedDict):
    """Result of `check_rules`."""

    rules: int
    hard: int
    labels: int
    documents: int
    unreachable: list[str]
    broken: list[BrokenRule]


def check_rules(source: str, data: DataConfig) -> RuleCheck:
    """Check rules against documents and return the result as JSON values.

    Args:
        source: a run with rules, or a file of them.
        data: of a file, the documents whose labels it names.

    Raises:
        DataError: as `read_rules`, contradictions among them.
        ConfigError: the run has no rules.
    """
    # A run has rules and documents; a file of rules needs documents beside it.
    if _is_run(source):
        place = Workdir.existing(source)
        corpus, labels = corpus_of_run(place), place.labels()
        rules = read_decision(place, labels.names).rules
        if rules is None:
            raise ConfigError(
                f"{source}: this run has no rules; name a file of them and documents: "
                "labelgraph rules check FILE --data DOCUMENTS"
            )
    else:
        if not Path(source).is_file():
            raise DataError(f"{source}: neither a run nor a file of rules")
        corpus = read_corpus(data)
        require_labels(corpus.train, corpus)
        labels = LabelSpace.from_documents(corpus.train)
        rules = LabelRules(read_rules(source, set(labels.names)), labels.names)
    # Count what breaks each rule, some documents at a time, and keep a few ids.
    hard = rules.chosen(hard=True)
    count = np.zeros(len(rules.rules), int)
    ids: list[list[str]] = [[] for _ in rules.rules]
    sets = labels.label_sets(corpus.train)[0].tocsr()
    for start in range(0, len(corpus.train), AT_ONCE):
        rows, clauses = broken_rules(
            sets[start : start + AT_ONCE].toarray() > 0, rules.clauses
        )
        pairs = np.unique(np.stack([rules.owners[clauses], rows + start], 1), axis=0)
        count += np.bincount(pairs[:, 0], minlength=len(count))
        for rule, row in pairs:
            if len(ids[rule]) < EXAMPLES:
                ids[rule].append(corpus.train[row].id)
    # The rules that are broken most often come first.
    broken: list[BrokenRule] = [
        {
            "rule": rules.rules[i].line,
            "where": rules.rules[i].where,
            "documents": int(count[i]),
            "ids": ids[i],
        }
        for i in np.argsort(-count, kind="stable")
        if count[i]
    ]
    return {
        "rules": len(rules.rules),
        "hard": len(hard.rules),
        "labels": len(labels),
        "documents": len(corpus.train),
        "unreachable": [labels.names[i] for i in unreachable_labels(hard.clauses)],
        "broken": broken,
    }


def mined_rules(
    source: str,
    named: Callable[[], DataConfig],
    *,
    least_support: int,
    least_bound: float,
    least_expected: float,
) -> tuple[Corpus, list[Mined]]:
    """The rules that the training documents of a run or corpus suggest.

    Args:
        source: a run, a corpus or a file.
        named: the settings of a corpus or file.
        least_support: see `mine_rules`.
        least_bound: see `mine_rules`.
        least_expected: see `mine_rules`.
    """
    if _is_run(source):
        place = Workdir.existing(source)
        corpus, labels = corpus_of_run(place), place.labels()
    else:
        corpus = read_corpus(named())
        require_labels(corpus.train, corpus)
        labels = LabelSpace.from_documents(corpus.train)
    sets, held_out = (
        labels.label_sets(documents)[0]
        for documents in (corpus.train, corpus.validation)
    )
    return corpus, mine_rules(
        sets,
        held_out,
        labels.names,
        least_support=least_support,
        least_bound=least_bound,
        least_expected=least_expected,
    )


def _is_run(source: str) -> bool:
    return (Path(source) / "config.json").is_file()
