"""Fitting after training: decisions and memory, on validation documents."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from labelgraph_jax.config import Config, MemoryConfig
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Corpus, Document
from labelgraph_jax.data.files import cache_folder
from labelgraph_jax.functional.trees import Params
from labelgraph_jax.predictors.choosing import choose_decision
from labelgraph_jax.predictors.decision import save_decision
from labelgraph_jax.predictors.kept import save_kept
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.memory.memory import AddedLabels
from labelgraph_jax.predictors.memory.model import MemoryModel, with_memory
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.network import count_parameters
from labelgraph_jax.predictors.predictions import Predictions, no_predictions
from labelgraph_jax.predictors.rules import with_rules
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.memory import learn_memory
from labelgraph_jax.training.gate_report import GateReport
from labelgraph_jax.training.hosts import on_first
from labelgraph_jax.training.loop import TrainResult

Say = Callable[[str], None]


def validation_predictions(
    model: LabelModel, documents: Sequence[Document], examples: Examples
) -> Predictions:
    """The network's predictions of the validation documents, with their truth."""
    if not len(examples):
        return no_predictions(len(model.labels))
    predictions = model.predict_examples(documents, examples)
    return predictions.with_truth(examples.targets, examples.target_mask)


def calibrate(
    place: Workdir,
    model: LabelModel,
    memory: MemoryConfig,
    corpus: Corpus,
    examples: Examples,
    *,
    say: Say = lambda line: None,
) -> Model:
    """Fit how labels are decided, and make the memory that is asked for.

    Args:
        place: where both are saved.
        model: the network.
        memory: what is asked for.
        corpus: training documents to remember, validation documents to choose on.
        examples: the validation documents as the network reads them.
        say: takes one line about what is going on.

    Returns:
        The model that decides so, with its memory and with the labels that were added
        to `place`.
    """
    predictions = validation_predictions(model, corpus.validation, examples)
    if memory.kind == "none":
        return fit_decision(place, model, predictions)
    learned = learn_memory(
        place,
        model,
        memory,
        corpus.train,
        (corpus.validation, examples, predictions),
        cache=cache_folder("encodings"),
        say=say,
    )
    plain = with_memory(model, learned.with_added(AddedLabels()))
    assert predictions.truth is not None
    mixed = plain.mix(corpus.validation, examples, predictions)
    mixed = mixed.with_truth(predictions.truth, predictions.known)
    return with_memory(fit_decision(place, plain, mixed), learned)


def fit_decision(place: Workdir, model: Model, predictions: Predictions) -> Model:
    """Choose how labels are decided, on validation documents, and save it.

    Args:
        place: where thresholds.json goes.
        model: what the documents were scored with.
        predictions: of these documents, with their truth; there may be none.

    Returns:
        The model that decides so.
    """
    config = model.config.threshold
    if model.classifier.parents is not None:
        config = dataclasses.replace(config, consistent=True)
    decision = choose_decision(
        config,
        predictions,
        model.classifier.graph.counts,
        ancestors=model.ancestors if config.consistent else None,
    )
    if isinstance(model, MemoryModel) and model.memory is not None:
        # Validation documents carry no label that training never saw.
        thresholds = decision.thresholds.copy()
        thresholds[model.memory.unseen] = model.memory.text_rule.threshold
        decision = dataclasses.replace(decision, thresholds=thresholds)
    decision = with_rules(decision, model.config.rules, model.labels)
    on_first(lambda: save_decision(place, decision, model.labels))
    return model.with_decision(decision)


def evaluate_test(
    place: Workdir, model: Model, documents: Sequence[Document]
) -> dict[str, Any] | None:
    """The metrics of the test documents, if there are any.

    What was predicted of them is kept beside the results.
    """
    if not documents:
        return None
    return model.evaluate(
        documents, keep=lambda kept: on_first(lambda: save_kept(place, kept))
    )


def test_gates(model: Model, corpus: Corpus) -> dict[str, object] | None:
    """Statistics of the gates on the test documents; None where there is no gate."""
    statistics = model.gate_statistics(corpus.test) if corpus.test else None
    if statistics is None:
        return None
    name, rows = f"{corpus.name}, test", len(corpus.test)
    return GateReport.make(name, rows, model.task_names, statistics).to_json()


def run_facts(
    place: Workdir, config: Config, params: Params, result: TrainResult
) -> dict[str, object]:
    """Facts that results.json has of every run."""
    unit = "rows" if config.table.tasks else "documents"
    return {
        "workdir": str(place.path),
        "split": "test",
        "parameters": count_parameters(params),
        "seed": config.training.seed,
        "devices": [f"{d.platform}:{d.device_kind}" for d in jax.devices()],
        "training": {
            "steps": result.step,
            "best_step": result.best_step,
            "best_validation": result.best_metric,
            "selection_metric": config.training.selection_metric,
            "stopped_early": result.stopped_early,
            "seconds": round(result.seconds, 1),
            f"{unit}_per_second": round(result.documents_per_second, 1),
        },
    }
