"""A trained model shown: a short text in a terminal, a small table in a notebook."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from labelgraph_jax.config import Config
from labelgraph_jax.config.wording import counted
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.loss_choice import annotated_documents
from labelgraph_jax.predictors.memory.memory import Memory
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.pickled import Pickled
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError

if TYPE_CHECKING:
    from labelgraph_jax.data.tables.schema import TableSchema
    from labelgraph_jax.data.tables.targets import Target

SHOWN = {
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "P@1": "P@1",
    "nDCG@5": "nDCG@5",
}
"""Test metrics of a model of texts, and their names."""
ENCODERS = {"cnn": "CNN", "bilstm": "BiLSTM", "blocks": "block self-attention"}
"""Names of kinds of text encoders; of others the kind."""
TASK_METRICS = ("auc", "accuracy", "micro_f1", "rmse")
"""Metrics of a table's task in order of preference: the first that it has is shown."""
MOST_TASKS = 6
"""Tasks that are named; of further ones their number."""

Facts = list[tuple[str, str]]


class Shown(Pickled):
    """Base of both kinds of trained models: how they are shown and pickled."""

    @property
    def kind(self) -> str:
        """Name of the class, and facts of the model."""
        return type(self).__name__

    def _facts(self) -> Facts:
        raise NotImplementedError

    def __repr__(self) -> str:
        return as_text(self.kind, self._facts())

    def _repr_html_(self) -> str:
        """HTML that a notebook shows."""
        return as_html(self.kind, self._facts())


class TextModel(Protocol):
    """Properties of a text model that are displayed."""

    @property
    def workdir(self) -> Workdir:
        """Directory that the model was loaded from."""

    @property
    def config(self) -> Config:
        """Resolved settings of the run."""

    @property
    def classifier(self) -> Classifier:
        """Network behind the scores."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, in the order of the scores."""

    @property
    def decision(self) -> Decision:
        """Rule that turns probabilities into labels."""

    @property
    def memory(self) -> Memory | None:
        """Memory that the predictions are mixed with; None for none."""

    @property
    def step(self) -> int | None:
        """Training step of the checkpoint; None where there is none."""


class RowModel(Protocol):
    """Properties of a table model that are displayed."""

    @property
    def workdir(self) -> Workdir:
        """Directory that the model was loaded from."""

    @property
    def config(self) -> Config:
        """Resolved settings of the run."""

    @property
    def schema(self) -> "TableSchema":
        """Columns that the model reads."""

    @property
    def targets(self) -> "tuple[Target, ...]":
        """Tasks that the model predicts."""

    @property
    def step(self) -> int | None:
        """Training step of the checkpoint; None where there is none."""


def model_facts(model: TextModel) -> Facts:
    """Return a short summary of a text model: pairs of name and value."""
    config, results = model.config, _results(model.workdir)
    documents = annotated_documents(model.classifier.graph)
    most = int(documents.max()) if len(documents) else 0
    members = getattr(model, "members", ())
    # What the model is: labels, documents, encoder or members, what is beside them.
    facts = [
        ("from", _place(model.workdir)),
        ("labels", f"{len(model.labels):,}"),
        ("trained on", f"{counted(most, 'document')}{_of_corpus(results)}"),
    ]
    if members:
        facts.append(("members", "; ".join(_encoder(m.config) for m in members)))
    else:
        facts += [("encoder", _encoder(config)), ("label graph", _graph(config))]
    if config.mixture.kind != "none":
        facts.append(("mixture", _mixture(config)))
    if model.memory is not None:
        facts.append(("memory", _memory(model)))
    # How it decides, and how it did on the test split.
    facts.append(("decides by", _decision(model)))
    test = results.get("test")
    if test is not None:
        shown = [
            f"{name} {test['metrics'][metric]:.3f}"
            for metric, name in SHOWN.items()
            if metric in test["metrics"]
        ]
        facts.append(
            (f"test, {counted(test['documents'], 'document')}", ", ".join(shown))
        )
    elif model.workdir.path.exists() and not model.workdir.is_finished:
        facts.append(("training", "not finished"))
    return facts if members else [*facts, *_checkpoint(model.step)]


def table_facts(model: RowModel) -> Facts:
    """Return a short summary of a table model: pairs of name and value."""
    results = _results(model.workdir)
    tasks = [f"{target.name} ({target.kind})" for target in model.targets]
    facts = [
        ("from", _place(model.workdir)),
        ("tasks", _some(tasks)),
        ("columns", f"{len(model.schema.columns):,}"),
        ("mixture", _mixture(model.config)),
    ]
    test = results.get("test")
    if test is not None:
        shown = [
            f"{name}: {metric} {task['metrics'][metric]:.3f}"
            for name, task in test["tasks"].items()
            if (metric := _task_metric(task["metrics"]))
        ]
        facts.append((f"test, {counted(test['rows'], 'row')}", _some(shown)))
    elif model.workdir.path.exists() and not model.workdir.is_finished:
        facts.append(("training", "not finished"))
    return [*facts, *_checkpoint(model.step)]


def as_text(kind: str, facts: Facts) -> str:
    """Facts under one another, for `repr`."""
    width = max(len(name) for name, _ in facts)
    return "\n".join([kind, *(f"  {name:<{width}}  {fact}" for name, fact in facts)])


def as_html(kind: str, facts: Facts) -> str:
    """Facts as an HTML table without a style of its own; everything is escaped."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(fact)}</td></tr>'
        for name, fact in facts
    )
    return f"<table><caption>{escape(kind)}</caption><tbody>{rows}</tbody></table>"


def _place(place: Workdir) -> str:
    return str(place.path) if place.path.exists() else "memory"


def _results(place: Workdir) -> dict[str, Any]:
    """Return the results of a finished run; empty if its folder is gone or damaged."""
    try:
        return place.results() if place.is_finished else {}
    except WorkdirError:
        return {}


def _of_corpus(results: Mapping[str, object]) -> str:
    return f" of {results['corpus']}" if "corpus" in results else ""


def _encoder(config: Config) -> str:
    text = config.text
    if text.encoder == "bag+static":
        return f"bag of n-grams + static vectors that imitate {text.pretrained}"
    if text.encoder == "bag":
        kind = "bag of n-grams" if text.reads_ngrams else "bag of words"
    else:
        kind = ENCODERS.get(text.encoder, text.encoder)
    if text.vectors == "pretrained":
        state = "fine-tuned" if text.trainable else "frozen"
        return f"{kind}, {text.pretrained}, {state}"
    if text.vectors == "static":
        return f"static vectors that imitate {text.pretrained}"
    return f"{kind}, vectors of a file" if text.vectors == "file" else kind


def model_name(config: Config) -> str:
    """Name a model of texts by what it is made of: `bag + label graph`."""
    text, head = config.text, config.head.kind
    name = ENCODERS.get(text.encoder, text.encoder)
    if text.vectors == "pretrained":
        own = Path(text.pretrained).name
        name = own if text.encoder == "transformer" else f"{own}, {name}"
    if text.vectors == "static":
        name = f"static {Path(text.pretrained).name}"
    if head == "recurrent":
        return f"{name} + label decoder"
    if head == "label_attention":
        name += " + label attention"
    if config.mixture.kind != "none":
        name += f" + {config.mixture.kind}"
    if config.graph.kind == "document":
        return f"{name} + label graph of the document"
    return name + (" + label graph" if config.graph.layers else ", no graph")


def _graph(config: Config) -> str:
    graph = config.graph
    if graph.layers == 0:
        return "none: a free vector for every label"
    layers = "1 layer" if graph.layers == 1 else f"{graph.layers} layers"
    heads = "" if graph.attention == "convolution" else f", {graph.heads} heads"
    return f"{layers} of {graph.attention}{heads}, from {graph.initialisation}"


def _mixture(config: Config) -> str:
    return str(config.mixture.kind)


def _memory(model: TextModel) -> str:
    assert model.memory is not None
    added = len(model.memory.added)
    kind = str(model.config.memory.kind)
    return f"{kind}, {counted(added, 'label')} added after training" if added else kind


def _decision(model: TextModel) -> str:
    decision = model.decision
    if decision.kind == "top_k":
        words = f"the {decision.k} most probable labels"
    elif decision.kind == "half":
        words = "0.5 for every label"
    elif decision.kind == "global":
        words = f"one threshold, {decision.thresholds[0]:.3f}"
    elif decision.kind == "sloped":
        words = "a threshold that slopes with how often a label occurs"
    else:
        words = "a threshold per label"
    return words + (", at least one label" if decision.at_least_one else "")


def _checkpoint(step: int | None) -> Facts:
    return [] if step is None else [("checkpoint", f"step {step:,}")]


def _task_metric(found: Mapping[str, object]) -> str:
    known = (name for name in TASK_METRICS if isinstance(found.get(name), float))
    return next(known, "")


def _some(names: list[str]) -> str:
    more = len(names) - MOST_TASKS
    shown = ", ".join(names[:MOST_TASKS])
    return f"{shown} and {more:,} more" if more > 0 else shown
