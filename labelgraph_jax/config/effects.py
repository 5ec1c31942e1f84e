"""The effect of each setting, and the refusal of those that have none.

A rule says when a setting is read. It is not asked when a `Config` is made, so that
the files of older runs and the settings of a preset stay what they are; it is asked of
what a person typed or wrote (`refuse_idle`).
"""

import functools
from collections.abc import Callable
from typing import Any

from labelgraph_jax.config.schema import Config
from labelgraph_jax.config.settings import ConfigError, flatten, to_dict
from labelgraph_jax.config.structure import RULES_LEARNED
from labelgraph_jax.config.tasks import GATED, LEVELLED
from labelgraph_jax.config.text import require_sources

GRAPH = ("head.kind=product|label_attention", "graph.layers>=1")
"""There is a label graph."""
MESSAGES = (*GRAPH[:1], "graph.layers>=1, or graph.kind='document'")
"""Labels send each other messages, once or in every document."""
OWN_FORM = "hierarchy.kind=none|consistent|regularised|contrast|auto"
"""The form of the label graph is its settings', and not the taxonomy's."""
MIXTURE = ("a mixture.kind, or tasks of a table",)
EFFECTS: dict[str, tuple[str, ...]] = {
    # Documents.
    "data.corpus data.data_dir": ("no data.data",),
    "data.validation_fraction": ("no data.validation",),
    "data.test_fraction": ("no data.test",),
    "data.split_seed table.split": ("a split that is cut off",),
    "data.taxonomy_shape": ("a file of data.taxonomy",),
    "data.taxonomy_targets": ("labels of texts",),
    # Texts.
    "text.pretrained": ("vectors of a pretrained encoder",),
    "text.max_windows text.window_pooling": ("text.long_documents=windows",),
    "text.vocabulary_size text.min_count": ("text.vectors=random|file",),
    "text.dim": (
        "text.vectors=random",
        "text.encoder=bag|cnn|bilstm|blocks|transformer",
    ),
    "text.hidden": ("text.encoder=cnn|bilstm|blocks",),
    "text.layers": ("text.encoder=transformer", "text.vectors=random|file"),
    "text.attention_dropout": ("a transformer that is trained",),
    # The label graph.
    "graph.layers": ("labels of a graph, or none",),
    "graph.attention graph.rank graph.residual graph.gated graph.skip graph.dropout "
    "graph.attention_dropout": GRAPH,
    "graph.role graph.method graph.features": MESSAGES,
    "graph.heads": (*MESSAGES, OWN_FORM, "graph.attention=gat|gatv2|relu"),
    "graph.hidden": (*GRAPH[:1], "graph.layers>=2"),
    "graph.negative_slope": (*MESSAGES, OWN_FORM, "graph.attention=gat|gatv2"),
    "graph.learned": (*GRAPH, "graph.role=additive|multiplicative"),
    "graph.initialisation": (*MESSAGES, "an adjacency"),
    "graph.tau graph.p": (
        *(*MESSAGES, "an adjacency", "graph.initialisation=thresholded"),
    ),
    "graph.neighbours": (
        *(*MESSAGES, OWN_FORM, "an adjacency", "few neighbours of a label"),
    ),
    "graph.feature_dim": (*GRAPH, "label features that are drawn"),
    # The head, the mixture, the memory, the decision.
    "head.hidden head.max_labels": ("head.kind=recurrent",),
    "head.kept_labels": (
        *("head.kind=product", "mixture.kind=none", "labels scored in chunks"),
    ),
    "mixture.hidden mixture.shared mixture.towers mixture.dropout": MIXTURE,
    "mixture.weighting mixture.task_weights": (*MIXTURE, "several tasks"),
    "mixture.experts mixture.gate_dropout mixture.expert_norm": (*MIXTURE, "gates"),
    "mixture.levels": (*MIXTURE, "a mixture.kind of levels, mmoe or ple"),
    "mixture.own_experts": ("mixture.kind=ple",),
    "mixture.l2": ("mixture.kind=l2_constrained",),
    "memory.neighbours": ("memory.kind=documents|pretrained",),
    "memory.pretrained memory.max_length": ("memory.kind=pretrained",),
    "threshold.metric": ("a threshold.kind that is fitted",),
    "threshold.shrinkage": ("threshold.kind=auto|label",),
    "loss.logit_adjustment": ("a loss of labels that is its kind's",),
    "loss.r_drop": (
        "a loss of labels that is its kind's",
        "head.kind=product|label_attention",
        "text.dropout above 0, and no other term of the loss",
    ),
    # Tables.
    "table.group": ("a binary task",),
    # Training.
    "training.body_learning_rate": ("a pretrained encoder that is trained",),
    "training.selection_metric": ("labels of texts (a table has always 'skill')",),
    "training.row_updates": (
        "a large table of vectors that is trained",
        "training.average=none",
    ),
    # Knowledge and documents beside the labelled ones.
    "rules.weight": (f"rules.kind={'|'.join(RULES_LEARNED)}",),
    "semi.weight semi.ratio semi.compare": ("semi.kind=auto|cap|teacher|graph|vat",),
    "adapt.weight": ("adapt.kind=auto|coral|adversarial|self",),
}
"""Of settings, by their names: the conditions under which they are read, the most
general first: `setting=one|other`, `setting>=1`, or the words of one of `CONDITIONS`.
Settings that stand nowhere here are read in every run, or their own section refuses
them where they are not."""


def _has_rows(c: Config) -> bool:
    looked_up = c.text.encoder != "transformer" and c.text.vectors != "pretrained"
    beside = c.data.unlabelled or c.data.target
    return bool(c.table.tasks) or (looked_up and c.text.trainable and not beside)


def _has_few_neighbours(c: Config) -> bool:
    if c.graph.initialisation == "cooccurrence":
        # Of many labels the graph is a list of edges.
        return c.graph.method in ("auto", "sparse") and c.graph.attention != "gatv2"
    return bool(c.graph.initialisation == "similarity")


def _draws_features(c: Config) -> bool:
    drawn = c.text.vectors == "random" and not c.text.reads_static
    return bool(c.graph.features == "random" or (c.graph.features == "names" and drawn))


def _has_own_loss(c: Config) -> bool:
    replaced = c.hierarchy.kind in ("consistent", "auto") or c.rules.kind == "shield"
    return not (c.table.tasks or replaced)


def _passes_differ(c: Config) -> bool:
    learned = c.rules.kind in RULES_LEARNED and c.rules.file
    terms = (
        c.loss.contrast or c.hierarchy.kind in ("regularised", "contrast") or learned
    )
    one_pass = c.mixture.kind != "none" or c.head.label_chunk or terms
    return c.text.dropout != 0 and not one_pass


def _is_mixture(c: Config, kinds: tuple[str, ...]) -> bool:
    # Several tasks of a table take mmoe unless a kind is given.
    several = c.mixture.kind == "none" and len(c.table.tasks) > 1
    return several or c.mixture.kind in kinds


CONDITIONS: dict[str, Callable[[Any], Any]] = {
    "no data.data": lambda c: not c.data.data,
    "no data.validation": lambda c: not c.data.validation,
    "no data.test": lambda c: not c.data.test,
    "a split that is cut off": lambda c: not (c.data.validation and c.data.test),
    "a file of data.taxonomy": lambda c: c.data.taxonomy not in ("", "auto"),
    "vectors of a pretrained encoder": lambda c: (
        c.text.vectors == "pretrained" or c.text.reads_static
    ),
    "a transformer that is trained": lambda c: (
        c.text.trainable
        if c.text.vectors == "pretrained"
        else c.text.encoder == "transformer"
    ),
    "labels of a graph, or none": lambda c: (
        c.head.kind != "recurrent" or not c.graph.layers
    ),
    "graph.layers>=1, or graph.kind='document'": lambda c: (
        c.graph.layers >= 1 or c.graph.kind == "document"
    ),
    "an adjacency": lambda c: c.graph.role != "none" and not c.graph.rank,
    "few neighbours of a label": _has_few_neighbours,
    "label features that are drawn": _draws_features,
    "labels scored in chunks": lambda c: c.head.label_chunk != 0,
    "a mixture.kind, or tasks of a table": lambda c: (
        c.mixture.kind != "none" or c.table.tasks
    ),
    "several tasks": lambda c: len(c.table.tasks) != 1,
    "gates": lambda c: _is_mixture(c, GATED),
    "a mixture.kind of levels, mmoe or ple": lambda c: _is_mixture(c, LEVELLED),
    "a threshold.kind that is fitted": lambda c: (
        c.threshold.kind != "half" and not c.threshold.k
    ),
    "a binary task": lambda c: any(
        spec.kind in ("binary", "auto") for spec in c.table.specs
    ),
    "a pretrained encoder that is trained": lambda c: (
        c.text.vectors == "pretrained" and c.text.trainable
    ),
    "labels of texts": lambda c: not c.table.tasks,
    "a loss of labels that is its kind's": _has_own_loss,
    "text.dropout above 0, and no other term of the loss": _passes_differ,
    "labels of texts (a table has always 'skill')": lambda c: (
        not c.table.tasks or c.training.selection_metric in ("micro_f1", "skill")
    ),
    "a large table of vectors that is trained": _has_rows,
}


def value_of(config: Config, name: str) -> Any:
    """Return the value of a setting, `training.epochs`."""
    return functools.reduce(getattr, name.split("."), config)


def _unmet(condition: str, config: Config) -> str:
    """The want of a condition, and the value there is; "" where it holds."""
    if condition in CONDITIONS:
        return "" if CONDITIONS[condition](config) else condition
    setting, sign, wanted = condition.partition(">=" if ">=" in condition else "=")
    value, values = value_of(config, setting), wanted.split("|")
    if value in values if sign == "=" else value >= int(wanted):
        return ""
    shown = " or ".join(map(repr, values)) if sign == "=" else wanted
    return f"{setting}{sign}{shown}, not {value!r}"


@functools.cache
def _defaults() -> dict[str, object]:
    return flatten(to_dict(Config()))


def changed(config: Config) -> dict[str, object]:
    """Return the settings that differ from their defaults, by name."""
    values, defaults = flatten(to_dict(config)), _defaults()
    return {name: value for name, value in values.items() if value != defaults[name]}


def idle(config: Config) -> dict[str, str]:
    """Return why settings that differ from their defaults have no effect in a run.

    Example:
        >>> from labelgraph_jax.config import GraphConfig
        >>> idle(Config(graph=GraphConfig(tau=0.4)))
        {'graph.tau': "graph.initialisation='thresholded', not 'cooccurrence'"}

    Args:
        config: the whole run.

    Returns:
        Of each such setting the condition under which it would be read.
    """
    given = changed(config)
    found = {
        name: next(filter(None, (_unmet(each, config) for each in conditions)), "")
        for names, conditions in EFFECTS.items()
        for name in names.split()
        if name in given
    }
    return {name: needs for name, needs in found.items() if needs}


def refuse_idle(config: Config, start: Config | None = None) -> None:
    """Refuse settings that a person gave and that have no effect in the run.

    Args:
        config: the run.
        start: the settings that it started from, such as a preset's: what is as it is
            there was not given.

    Raises:
        ConfigError: names the first of them, and when it is read.
    """
    require_sources(config.data)
    given, before = changed(config), flatten(to_dict(start or Config()))
    for name, needs in idle(config).items():
        if given[name] != before[name]:
            raise ConfigError(
                f"{name}={given[name]!r} has no effect in this run: it is read only "
                f"with {needs}"
            )
