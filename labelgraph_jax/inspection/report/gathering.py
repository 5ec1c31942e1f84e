"""From a finished run over labelled texts to what its report says."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import Corpus, DataError, Document
from labelgraph_jax.functional.mixture.experts import GateStatistics
from labelgraph_jax.inspection.label_side import (
    first_params,
    has_label_graph,
    label_sides,
)
from labelgraph_jax.inspection.report.about_run import (
    data_of_documents,
    read_history,
    settings_of,
)
from labelgraph_jax.inspection.report.contents import (
    Gates,
    Graph,
    Inapplicable,
    Metric,
    Overall,
    Report,
    Scored,
    Vectors,
    Worst,
)
from labelgraph_jax.inspection.report.graph_section import (
    graph_section,
    vectors_section,
)
from labelgraph_jax.inspection.report.intervals import (
    RESAMPLES,
    TITLES,
    interval,
    resampled,
)
from labelgraph_jax.inspection.report.measured import score
from labelgraph_jax.inspection.report.tree import taxonomy_tree
from labelgraph_jax.inspection.report.worst_documents import worst
from labelgraph_jax.inspection.titles import titles_of_numbers
from labelgraph_jax.predictors.documents import fingerprint
from labelgraph_jax.predictors.kept import read_kept
from labelgraph_jax.predictors.measure import with_unknown_labels
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.predictions import KeptPredictions
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.corpus import read_corpus
from labelgraph_jax.runs.records import documents_of_run, require_same_records
from labelgraph_jax.runs.restore import load_model
from labelgraph_jax.runs.result_rows import (
    result_rows,
    unlabelled_lines,
    unlabelled_rows,
    verdicts,
)
from labelgraph_jax.training.gate_report import GateReport

Say = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """Sources of a report.

    Attributes:
        place: the work directory.
        results: as of results.json; `test` may be of another file.
        model: restored from it.
        train: training documents, or why they are not there.
        test: documents that were measured, or why they are not there.
        kept: what was predicted of them, or why it is not there.
        validation: documents that chose the checkpoint, or why they are not there.
    """

    place: Workdir
    results: Mapping[str, Any]
    model: Model
    train: tuple[Document, ...] | str
    test: tuple[Document, ...] | str
    kept: KeptPredictions | str
    validation: tuple[Document, ...] | str = ()

    @property
    def splits(self) -> dict[str, tuple[Document, ...] | str]:
        """The documents by what they are here."""
        measured = "measured" if self.results.get("split") == "file" else "test"
        found = {"train": self.train, "validation": self.validation}
        return {**found, measured: self.test}


def gather(
    place: Workdir,
    *,
    data: str = "",
    data_dir: str = "",
    reading: ReadingConfig | None = None,
    say: Say = lambda line: None,
) -> Report:
    """Everything that the report of a run over labelled texts says.

    Args:
        place: a finished run.
        data: a labelled file to measure on; without it the run's own test split.
        data_dir: where the local corpus copies lie now, if they have moved.
        reading: how `data` is read, against the layout that the run kept.
        say: takes one line about what is going on.

    Raises:
        WorkdirError: no finished run stands there, or its test data has changed.
        DataError: the file is malformed.
    """
    results = dict(place.results())
    model = load_model(place.path)
    source = _source(place, results, model, data, data_dir, reading, say)
    names, titles = model.labels, titles_of_numbers(model.label_space)
    counts = with_unknown_labels(model.classifier.graph, len(names)).counts
    # How the test documents were predicted, and which of them worst.
    scored: Scored | str
    bad: Worst | str
    if isinstance(source.kept, str):
        scored = bad = source.kept
    else:
        f1 = _baseline_f1(source)
        scored = score(source.kept, names, titles, counts, model.decision, f1)
        bad = worst(source.kept, names, titles, source.test)
    graph, vectors = _label_side(source, counts, titles)
    return Report(
        title=_title(source, data),
        facts=_facts(source),
        data=data_of_documents(
            source.results, source.splits, counts, [titles.get(n, n) for n in names]
        ),
        settings=() if place.is_ensemble else settings_of(model.config),
        history=read_history(place),
        overall=overall(source),
        scored=scored,
        graph=graph,
        vectors=vectors,
        gates=_gates(source),
        worst=bad,
        unlabelled=(unlabelled_lines(results), unlabelled_rows(results)),
        tree=taxonomy_tree(
            model.label_space, (source.results.get("test") or {}).get("per_label", {})
        ),
    )


def _source(
    place: Workdir,
    results: dict[str, Any],
    model: Model,
    data: str,
    data_dir: str,
    reading: ReadingConfig | None,
    say: Say,
) -> Source:
    train, validation, test = _documents(place, model, data, data_dir, reading)
    source = Source(place, results, model, train, test, "", validation)
    # Predictions: never made, kept by the run, or made anew.
    if results.get("test") is None and not data:
        why = unmeasured(results)
        return replace(source, test=(), kept=why)
    kept = None if data else read_kept(place)
    known = (results.get("test") or {}).get("fingerprint")
    if kept is not None and kept.fingerprint == known:
        if not isinstance(test, str) and fingerprint(test) != known:
            test = "the test documents are no longer those of the run"
        return replace(source, test=test, kept=kept)
    if isinstance(test, str):
        why = (
            "The predictions of the test documents are not kept in this directory, and "
            f"the documents cannot be scored again: {test}"
        )
        return replace(source, kept=why)
    if not data:
        require_same_records(
            place.path,
            "test",
            fingerprint(test),
            known,
            instead="name the file to report on with --data",
        )
    what = data or "the test split, whose predictions are not kept here"
    say(f"scoring {counted(len(test), 'document')} of {what}")
    found: list[KeptPredictions] = []
    measured = model.evaluate(test, keep=found.append)
    if data:
        results = {**results, "test": measured, "split": "file", "baseline": None}
    return replace(source, results=results, kept=found[0])


def _documents(
    place: Workdir,
    model: Model,
    data: str,
    data_dir: str,
    reading: ReadingConfig | None,
) -> list[tuple[Document, ...] | str]:
    """Training, validation and measured documents, or why they are not there."""
    corpus: Corpus | str
    own = model.config.data
    try:
        config = replace(own, data_dir=data_dir or own.data_dir)
        corpus = read_corpus(config, layout=place.layout())
    except (ValueError, OSError) as error:
        corpus = " ".join(str(error).split())
    found: list[tuple[Document, ...] | str] = []
    for name in ("train", "validation"):
        if isinstance(corpus, str):
            found.append(corpus)
            continue
        split, word = corpus.splits[name], {"train": "training"}.get(name, name)
        same = not split or fingerprint(split) == place.data().get(name)
        changed = f"the {word} documents are no longer those of the run"
        found.append(split if same else changed)
    if data:
        _, documents = documents_of_run(model, data=data, reading=reading)
        if not documents:
            raise DataError(f"{data}: there is no document to report on")
        return [*found, documents]
    return [*found, corpus if isinstance(corpus, str) else corpus.test]


def _title(source: Source, data: str) -> str:
    return Path(data).name if data else str(source.results["corpus"])


def _facts(source: Source) -> tuple[tuple[str, str], ...]:
    results, config = source.results, source.model.config
    test = results.get("test") or {}
    training = results.get("training") or {}
    documents = results.get("documents") or {}
    facts = [
        ("labels", f"{len(source.model.labels):,}"),
        ("training documents", f"{documents.get('train', 0):,}"),
        (
            "documents measured"
            if results.get("split") == "file"
            else "test documents",
            f"{test.get('documents', 0):,}",
        ),
        ("encoder", _encoder(source)),
        ("label graph", _graph_words(source)),
        ("parameters", f"{results.get('parameters', 0):,}"),
    ]
    if config.mixture.kind != "none":
        facts.append(("mixture", f"{config.mixture.kind}, {config.mixture.experts}"))
    if "seconds" in training:
        facts.append(("training time", _seconds(training["seconds"])))
    if training.get("best_step") is not None:
        facts.append(("best step", f"{training['best_step']:,}"))
    facts.append(("seed", f"{results.get('seed', 0)}"))
    if results.get("memory"):
        facts.append(("memory", str(results["memory"]["summary"])))
    return tuple(facts)


def _encoder(source: Source) -> str:
    if source.place.is_ensemble:
        return f"{len(source.results['ensemble']['weights'])} models joined"
    text = source.model.config.text
    if text.vectors in ("pretrained", "static"):
        kind = text.encoder if text.vectors == "pretrained" else "static"
        return f"{kind}, {Path(text.pretrained).name}"
    return text.encoder


def _graph_words(source: Source) -> str:
    if source.place.is_ensemble:
        return "of its members"
    graph, head = source.model.config.graph, source.model.config.head
    if head.kind == "recurrent" or graph.layers == 0:
        return "none"
    layers = f"{graph.layers} layer{'s' if graph.layers > 1 else ''}"
    heads = "" if graph.attention == "convolution" else f", {graph.heads} heads"
    return f"{graph.attention}, {graph.role}, {layers}{heads}"


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def unmeasured(results: Mapping[str, object]) -> str:
    """Say why there are no metrics."""
    if "stream" in results:
        return "What was learned from a stream is measured with --data, or by evaluate."
    return "There is no test split, so nothing was measured."


def overall(source: Source) -> Overall | str:
    """The metrics, their intervals, and those of other models beside them."""
    results = source.results
    test = results.get("test")
    if test is None:
        return unmeasured(results)
    # Intervals, where predictions are at hand.
    values, kept = test["metrics"], source.kept
    draws: Mapping[str, np.ndarray] = {}
    note = "No intervals: " + (kept if isinstance(kept, str) else "")
    if not isinstance(kept, str):
        draws = resampled(kept)
        note = (
            f"Intervals: 95 of 100 of {RESAMPLES:,} resamples of the "
            f"{counted(len(kept.documents), 'document')}, centred on the value; what "
            "another seed would change is not in them."
        )
    metrics = [
        Metric(
            name,
            title,
            float(values[name]),
            *(interval(float(values[name]), draws[name]) if name in draws else ()),
        )
        for name, title in TITLES.items()
        if values.get(name) is not None
    ]
    rows = result_rows(dict(results))
    others = {
        name.strip(): {key: found.get(key) for key in TITLES}
        for name, found in rows[1:]
    }
    compared = "; ".join(verdicts(results))
    return Overall(tuple(metrics), others, _best_baseline(results), note, compared)


def _best_baseline(results: Mapping[str, Any]) -> str:
    """Name of the row with the best micro F1; empty without a baseline."""
    found = (results.get("baseline") or {}).get("metrics") or {}
    return max(found, key=lambda name: found[name]["micro_f1"], default="")


def _baseline_f1(source: Source) -> list[float | None] | None:
    """F1 of each label by the best baseline; None where no run wrote it down."""
    found = (source.results.get("baseline") or {}).get("label_f1") or {}
    return found.get(_best_baseline(source.results))


def _label_side(
    source: Source, counts: np.ndarray, titles: Mapping[str, str]
) -> tuple[Graph | str, Vectors | str]:
    model, place = source.model, source.place
    if place.is_ensemble:
        why = (
            "An ensemble has no label graph of its own: `labelgraph report` of its "
            f"members shows theirs ({place.path / 'members'})."
        )
        return why, why
    names = [titles.get(name, name) for name in model.labels]
    trained = len(model.classifier.graph.counts)
    sides = None
    if has_label_graph(model.config):
        sides = (
            label_sides(model.classifier, first_params(model)),
            label_sides(model.classifier, model.params),
        )
    # Labels that were added have no node: they are known by their texts alone.
    graph = graph_section(model, sides, counts[:trained], names[:trained], source.train)
    if sides is None:
        why = "A recurrent decoder has no label vectors of a label graph."
        return graph, Inapplicable(why)
    seed = model.config.training.seed
    return graph, vectors_section(sides[1], graph, counts[:trained], seed)


def _gates(source: Source) -> Gates | str:
    """The gates on the test documents: from results.json, else read again."""
    model, kind = source.model, source.model.config.mixture.kind
    if kind == "none":
        return Inapplicable("This run has no mixture of experts (mixture.kind='none').")
    if source.place.is_ensemble or not model.classifier.has_gates:
        return Inapplicable(f"A mixture of kind '{kind}' has no gates.")
    found = source.results.get("gates")
    if not found or source.results.get("split") == "file":
        if isinstance(source.test, str):
            return f"The gates cannot be read: {source.test}"
        statistics = model.gate_statistics(source.test)
        assert isinstance(statistics, GateStatistics)
        report = GateReport.make("", len(source.test), model.task_names, statistics)
        found = report.to_json()
    return gates_of(found)


def gates_of(found: Mapping[str, Any]) -> Gates:
    """A section from what results.json says of gates."""
    return Gates(
        tuple(found["tasks"]),
        np.asarray(found["mean_weights"], np.float64),
        int(found["rows"]),
        tuple(found["warnings"]),
    )
