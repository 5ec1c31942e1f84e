"""The problem of labels of texts: what `fit` asks of it."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from scipy.sparse import csr_array
from scipy.special import logit

from labelgraph_jax.config import Config, HierarchyConfig
from labelgraph_jax.data.batches.batches import Examples, evaluation_batches
from labelgraph_jax.data.documents import Corpus
from labelgraph_jax.data.files import cache_folder
from labelgraph_jax.data.layout import Layout
from labelgraph_jax.modules.magnet import TaskMagnet
from labelgraph_jax.predictors.adapted import AdaptChoice, drop_shift, save_chosen
from labelgraph_jax.predictors.display import model_name
from labelgraph_jax.predictors.frozen_encoder import keep_encoder
from labelgraph_jax.predictors.host_bag import host_bag
from labelgraph_jax.predictors.loss_choice import adjusted, adjustment, choose_loss
from labelgraph_jax.predictors.many_labels import label_chunk, require_room
from labelgraph_jax.predictors.measure import validation_metrics
from labelgraph_jax.predictors.memory.build import memory_results
from labelgraph_jax.predictors.memory.files import has_memory, stored_settings
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.scorers import compile_scorer
from labelgraph_jax.predictors.structure import (
    HierarchyChoice,
    save_structure,
    with_hierarchy,
)
from labelgraph_jax.predictors.task_network import task_objective
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.adapt import (
    adaptation_results,
    adapted_objective,
    correct_priors,
    first_parameters,
    with_target,
)
from labelgraph_jax.runs.calibrate import calibrate, evaluate_test, test_gates
from labelgraph_jax.runs.corpus import (
    read_corpus,
)
from labelgraph_jax.runs.graph_worth import (
    GraphResults,
    chosen_graph,
    keep_choice,
    kept_choice,
)
from labelgraph_jax.runs.prepared_texts import PreparedTexts, prepare
from labelgraph_jax.runs.problem import Say, Validate
from labelgraph_jax.runs.records import fingerprints
from labelgraph_jax.runs.restore import load_model, restore_network
from labelgraph_jax.runs.rivals import (
    decided_by,
    differences,
    label_f1,
    svm_baseline,
)
from labelgraph_jax.runs.semi import (
    compared,
    semi_results,
)
from labelgraph_jax.runs.structure import with_structure
from labelgraph_jax.training.hosts import on_first
from labelgraph_jax.training.many_labels import many_label_objective
from labelgraph_jax.training.objectives import (
    ApplyFn,
    Batch,
    LossFn,
    Params,
    given_outputs,
    loss_of_batches,
    loss_of_outputs,
    multi_label_objective,
    two_pass_objective,
)


@dataclass(frozen=True)
class LabelProblem:
    """Labels of texts, see `Problem`."""

    config: Config
    layout: Layout | None = None
    origin: Workdir | None = None
    """The run whose tokenizer it reads with, where it is not its own."""
    adapted: AdaptChoice | None = None
    """The way in which it adapts to target documents, where the run was begun."""
    choice: GraphResults | None = None
    """Its label graph, where graph.kind='auto' chose it."""
    hierarchy: HierarchyChoice | None = None
    """The use that it makes of its taxonomy, where the run was begun."""
    what = "documents"

    def read(self, given: Corpus | None = None) -> Corpus:
        """Return the given corpus or that of the settings, with target documents."""
        data = self.config.data
        return with_target(given or read_corpus(data, layout=self.layout), data)

    def fingerprints(self, records: Corpus) -> dict[str, str]:
        """Return the fingerprint of each split's documents."""
        return fingerprints(records)

    def settled(self, records: Corpus, say: Say) -> "LabelProblem":
        """Return the problem with the label graph that `graph.kind='auto'` chose."""
        config, choice = chosen_graph(self.config, records, say)
        return dataclasses.replace(self, config=config, choice=choice)

    def prepare(self, records: Corpus, say: Say) -> PreparedTexts:
        """Prepare documents, label graph, tokenizer and network for training."""
        begun = self.origin, self.adapted, self.hierarchy
        return prepare(self.config, say, records, *begun)

    def save(self, place: Workdir, prepared: PreparedTexts) -> None:
        """Save all but parameters and settings, with the choices that were made."""
        place.save_layout(self.layout or prepared.corpus.layout or Layout())
        place.save_labels(prepared.labels)
        place.save_label_graph(prepared.graph)
        prepared.tokenizer.save(place.tokenizer)
        keep_encoder(self.config.text, place.encoder)
        save_structure(place, prepared.hierarchy, prepared.shield)
        if prepared.adaptation is not None:
            save_chosen(place, prepared.adaptation.about)
        if self.choice is not None:
            keep_choice(place, self.choice)

    def init(self, prepared: PreparedTexts, key: jax.Array) -> Params:
        """Draw the parameters, but for those that documents or another run give."""
        batch = evaluation_batches(prepared.train, batch_size=1)[0]
        params = prepared.classifier.init(key, batch, **prepared.initial_values)
        if self.config.loss.logit_adjustment and "label_bias" in params:
            # It begins at the log-odds that the loss adds some of.
            known = adjustment(self.config.loss, prepared.graph)
            params = {**params, "label_bias": params["label_bias"] - known}
        own = self.config, prepared.classifier, prepared.adaptation
        return first_parameters(params, *own, batch, key)

    def network(self, prepared: PreparedTexts) -> Classifier:
        """Return the classifier of the documents."""
        return prepared.classifier

    def objective(self, prepared: PreparedTexts) -> LossFn:
        """Return the loss of the labels, with structure and unlabelled documents."""
        config = with_hierarchy(self.config, prepared.hierarchy)
        classifier = prepared.classifier
        labelled = with_structure(
            config,
            prepared.labels,
            classifier,
            lambda apply: label_objective(config, classifier, apply),
        )
        if prepared.semi is None:
            how = prepared.adaptation
            return adapted_objective(labelled, config, classifier, how)
        return prepared.semi.objective(labelled, classifier, config.semi.weight)

    def validate(self, prepared: PreparedTexts, mesh: Mesh) -> Validate:
        """Return the function that measures the validation documents."""
        examples, classifier = prepared.validation, prepared.classifier
        assert isinstance(examples, Examples)
        if not label_chunk(self.config, len(prepared.labels)):
            require_room(
                len(examples),
                len(prepared.labels),
                "the scores of the validation documents, an array",
                "score labels in chunks with head.label_chunk=4096",
            )
        score = compile_scorer(self.config, classifier, mesh)
        label_side = jax.jit(classifier.label_side)
        # Of all scores the loss follows; where they are not, or do not give it, the
        # documents go through the model once more.
        chunked = label_chunk(self.config, len(prepared.labels))
        from_scores = not (chunked or classifier.own_loss)
        given = given_outputs if from_scores else None
        loss = jax.jit(label_objective(self.config, classifier, given, train=False))
        size = self.config.training.evaluation_batch_size

        def validate(params: Params, batches: Iterable[Batch]) -> dict[str, float]:
            bag = None if chunked else host_bag(classifier, params, label_side)
            scores = bag(examples) if bag else score(params, batches)
            predictions = scores.with_truth(examples.targets, examples.target_mask)
            metrics = validation_metrics(predictions)
            if not from_scores:
                again = evaluation_batches(examples, batch_size=size)
                metrics["loss"] = loss_of_batches(loss, params, again)
            else:
                known, p = predictions.known, predictions.probabilities
                logits = logit(np.clip(p, 1e-7, 1 - 1e-7))
                metrics["loss"] = loss_of_outputs(
                    loss, params, logits, predictions.targets, known
                )
            return metrics

        return validate

    def calibrate(self, place: Workdir, prepared: PreparedTexts, say: Say) -> Model:
        """Restore the model and choose how it decides, on the validation documents."""
        on_first(lambda: drop_shift(place))
        model = restore_network(place, cache=cache_folder("encodings"))
        examples = prepared.validation_documents.examples
        # More epochs make a memory anew that stands there, as `memory` made it.
        memory = stored_settings(place) if has_memory(place) else self.config.memory
        corpus, how = prepared.corpus, prepared.adaptation
        decided = calibrate(place, model, memory, corpus, examples, say=say)
        if how is None or not correct_priors(place, model, corpus, how):
            return decided
        return load_model(place.path, cache=cache_folder("encodings"))

    def results(
        self, place: Workdir, prepared: PreparedTexts, model: Model
    ) -> dict[str, Any]:
        """Return the corpus, the choices and the test metrics, for results.json."""
        corpus, splits = prepared.corpus, prepared.corpus.splits
        unseen = prepared.validation_documents.unseen
        return {
            "corpus": corpus.name,
            "model": model_name(self.config),
            "labels": len(prepared.labels),
            "notes": list(corpus.notes),
            "documents": {name: len(documents) for name, documents in splits.items()},
            "truncated_training_documents": prepared.train_documents.truncated,
            "unseen_validation_labels": dict(sorted(unseen.items())),
            "memory": memory_results(model.memory) if model.memory else None,
            **self._adapted(prepared, model),
            **({"graph": choice} if (choice := kept_choice(place)) else {}),
            "hierarchy_choice": prepared.hierarchy,
            "test": evaluate_test(place, model, corpus.test),
            "gates": test_gates(model, corpus),
            "semi": semi_results(prepared.semi, prepared.labels.names, model)
            if prepared.semi
            else None,
        }

    def _adapted(self, prepared: PreparedTexts, model: Model) -> dict[str, Any]:
        how = prepared.adaptation
        if how is None:
            return {}
        return {"adaptation": adaptation_results(model, prepared.corpus, how)}

    def names(self, prepared: PreparedTexts) -> tuple[str, ...]:
        """Return the names of the labels, in the order of the logits."""
        return prepared.labels.names

    def names_of(self, place: Workdir) -> tuple[str, ...]:
        """Return the names of the labels of another run."""
        return place.labels().names

    def without_graph(self) -> "LabelProblem | None":
        """Return the problem without a label graph; None where it is not worth it."""
        graph, text = self.config.graph, self.config.text
        costly = text.vectors == "pretrained" and text.trainable
        if graph.layers == 0 or self.config.head.kind == "recurrent" or costly:
            return None
        plain = dataclasses.replace(
            graph, layers=0, residual=True, gated=False, skip=False, rank=0
        )
        config = dataclasses.replace(self.config, graph=plain)
        if config.hierarchy.kind == "graph":
            config = dataclasses.replace(config, hierarchy=HierarchyConfig())
        return LabelProblem(config, origin=self.origin)

    def supervised(self, prepared: PreparedTexts) -> "LabelProblem | None":
        """Return the problem without unlabelled documents; None if it has none."""
        found = prepared.semi
        if found is None or found.guess is None or not self.config.semi.compare:
            return None
        semi = dataclasses.replace(self.config.semi, kind="none")
        config = dataclasses.replace(self.config, semi=semi)
        return LabelProblem(config, origin=self.origin)

    def compared(
        self, place: Workdir, other: Workdir, records: Corpus
    ) -> dict[str, Any]:
        """Return what the unlabelled documents changed, for results.json."""
        return compared(place, other, records, place.labels())

    def baseline(
        self, place: Workdir, records: Corpus, say: Say, plain: Workdir | None = None
    ) -> dict[str, Any]:
        """Fit the rivals, linear SVMs, and compare the run with them."""
        labels = place.labels()
        found, rivals = svm_baseline(records, labels, self.config, say)
        if plain is not None:
            name = model_name(plain.config())
            test = plain.results()["test"]
            found["metrics"] = {name: test["metrics"], **found["metrics"]}
            rivals = {name: decided_by(plain, records.test), **rivals}
        truth = csr_array(labels.targets(records.test)[0])
        known = labels.target_mask(records.test)
        own = decided_by(place, records.test)
        found["differences"] = differences(own, rivals, truth, known)
        found["label_f1"] = {n: label_f1(x, truth, known) for n, x in rivals.items()}
        return found


def label_objective(
    config: Config,
    classifier: Classifier,
    apply: ApplyFn | None = None,
    *,
    train: bool = True,
) -> LossFn:
    """The loss that the settings name, over the labels of a network.

    Args:
        config: resolved settings.
        classifier: the network; what it reads of the label graph may be traced.
        apply: in place of the network's own, where logits of all labels are there.
        train: with dropout, where the network's own is applied.
    """
    own = classifier.own_loss if train else classifier.own_validation_loss
    graph, settings = classifier.graph, config.loss
    apply = adjusted(apply or classifier.apply, settings, graph)
    if isinstance(classifier.module, TaskMagnet):
        return task_objective(config, classifier.module, graph, apply)
    if own is not None:
        return own
    loss = choose_loss(settings, graph)
    if chunk := label_chunk(config, len(graph.counts)):
        factors = adjusted(classifier.factors, settings, graph)
        return many_label_objective(factors, loss, chunk=chunk, train=train)
    if train and settings.r_drop:
        return two_pass_objective(apply, loss, settings.r_drop)
    return multi_label_objective(apply, loss)
