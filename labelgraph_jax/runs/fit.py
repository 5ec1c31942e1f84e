"""Training, whole: documents -> trained, thresholded, evaluated work directory."""

import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from labelgraph_jax.config import Config, ConfigError, MemoryConfig, to_dict
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.data.batches.batches import (
    Batch,
    Examples,
    evaluation_batches,
    steps_per_epoch,
    train_batches,
)
from labelgraph_jax.data.documents import Corpus, Document, LabelSpace
from labelgraph_jax.data.tokenizers.features import FeatureTokenizer
from labelgraph_jax.data.tokenizers.word_vectors import read_word_vectors
from labelgraph_jax.functional.metrics.labels import evaluate_scores
from labelgraph_jax.inspection.gate_report import GateReport
from labelgraph_jax.modules.magnet import TaskMagnet
from labelgraph_jax.modules.pretrained import find_pretrained
from labelgraph_jax.predictors.decision import choose_decision, save_decision
from labelgraph_jax.predictors.documents import (
    AnyTokenizer,
    Encoded,
    document_tokenizer,
    encode_documents,
    fingerprint,
    require_annotations,
    token_weights,
)
from labelgraph_jax.predictors.evaluation import KS, validation_metrics
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder, upper_layers
from labelgraph_jax.predictors.hierarchy import lacking_ancestors, require_taxonomy
from labelgraph_jax.predictors.kept_predictions import save_kept
from labelgraph_jax.predictors.label_model import Model
from labelgraph_jax.predictors.loss_choice import choose_loss
from labelgraph_jax.predictors.many_labels import label_chunk, require_room
from labelgraph_jax.predictors.memory.build import Scores, learn_memory, memory_results
from labelgraph_jax.predictors.memory.memory import AddedLabels
from labelgraph_jax.predictors.network import (
    Classifier,
    build_classifier,
    count_parameters,
    first_trained_layer,
    is_body,
    is_frozen,
    padded_length,
)
from labelgraph_jax.predictors.ranked_decisions import (
    choose_ranked_decision,
    no_labels,
    ranked_validation_metrics,
)
from labelgraph_jax.predictors.ranking import compile_ranking
from labelgraph_jax.predictors.task_network import task_objective
from labelgraph_jax.predictors.workdir import LabelGraphArrays, Workdir, WorkdirError
from labelgraph_jax.runs.corpus import read_corpus, require_labels
from labelgraph_jax.runs.execution import (
    Execution,
    executing,
    require_free,
    require_one_run,
    require_same_data,
)
from labelgraph_jax.runs.label_graph import label_graph_arrays
from labelgraph_jax.runs.restore import restore
from labelgraph_jax.training.checkpoint import CheckpointStore
from labelgraph_jax.training.evaluate import (
    compile_probabilities,
    predict_probabilities,
)
from labelgraph_jax.training.gates import GateWatch
from labelgraph_jax.training.hosts import is_first, on_first, together
from labelgraph_jax.training.local_batches import own_batches
from labelgraph_jax.training.logs import MetricsLog
from labelgraph_jax.training.loop import TrainResult, train_loop
from labelgraph_jax.training.many_labels import (
    TopLabels,
    many_label_objective,
    predict_top_labels,
)
from labelgraph_jax.training.objectives import multi_label_objective
from labelgraph_jax.training.optimizer import make_optimizer, make_schedule
from labelgraph_jax.training.signals import StoppedError
from labelgraph_jax.training.step import (
    TrainState,
    TrainStep,
    init_train_state,
    make_train_step,
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """Everything that training reads, and nothing it writes."""

    corpus: Corpus
    labels: LabelSpace
    tokenizer: AnyTokenizer
    train: Encoded
    validation: Encoded
    graph: LabelGraphArrays
    classifier: Classifier
    initial_values: dict[str, Any]


def cache_folder() -> Path:
    """Where encodings are kept from one run to the next."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "labelgraph_jax" / "encodings"


def fit(
    config: Config,
    workdir: str | Path,
    *,
    baseline: bool = False,
    progress: bool = True,
    say: Say = lambda line: None,
    run: RunConfig | None = None,
    corpus: Corpus | None = None,
) -> dict[str, Any]:
    """Trains, or resumes training, and evaluates the best checkpoint once.

    With tasks of a table (`config.table.tasks`) this is `table_fit.fit_table`. The
    thresholds come from the validation split and the test split is read once, at
    the end. A finished work directory is not trained again. Where several processes
    are one run, each makes this call.

    Args:
        config: the run's settings.
        workdir: where everything goes; nothing is written there before the data and
            the settings were found to be in order.
        baseline: also train TF-IDF + one-vs-rest linear SVM on the same splits.
        progress: show a progress bar, or a line per epoch where there is no terminal.
        say: takes one line about what is going on.
        run: devices and processes; all devices of this process by default.
        corpus: documents in memory, in place of those that `config.data` names; with
            a validation split, and without a test split if nothing is to be measured.

    Returns:
        What `results.json` holds.

    Raises:
        ConfigError, DataError, WorkdirError, HostsError: see those.
        NonFiniteLossError: training diverged; the last good checkpoint is kept.
        StoppedError: a KeyboardInterrupt; a signal came, and the same call goes on.
    """
    with executing(run or RunConfig(), say) as execution:
        if config.table.tasks:
            from labelgraph_jax.runs.table_fit import fit_table as task
        else:
            task = partial(_fit, corpus=corpus)
        return task(
            config.resolved(),
            Workdir(Path(workdir)),
            execution,
            baseline=baseline,
            progress=progress and is_first(),
        )


def _fit(
    config: Config,
    place: Workdir,
    execution: Execution,
    *,
    baseline: bool,
    progress: bool,
    corpus: Corpus | None = None,
) -> dict[str, Any]:
    say, workdir = execution.say, place.path
    stored = with_absolute_paths(config)
    require_one_run(stored, execution.settings)

    def check() -> None:
        place.check(stored)
        require_free(place)
        training = config.training
        execution.check(training.batch_size, training.micro_batches)

    together(check)
    if place.is_finished:
        say(f"{workdir}: training has finished; these are its results")
        results = place.results()
        if baseline and results.get("baseline") is None:
            corpus = corpus or read_corpus(config.data)
            if fingerprint(corpus.test) != results["test"]["fingerprint"]:
                raise WorkdirError(
                    f"{workdir}: the test documents have changed since training, so a "
                    "baseline on them would not stand beside its numbers"
                )
            results["baseline"] = _baseline(corpus, place.labels(), config, say)
            on_first(lambda: place.save_results(results))
        return results
    with execution.stop.during(leaving=True):
        prepared = execution.first_then_others(lambda: prepare(config, say, corpus))
    splits = prepared.corpus.splits
    data = {name: fingerprint(documents) for name, documents in splits.items()}
    require_same_data(data)

    together(lambda: execution.check_model(lambda: _first_params(prepared)))

    def claim() -> None:
        place.claim(stored, data)
        _save_model_files(place, prepared, config)

    with execution.holding(place):
        on_first(claim)
        result = _train(place, prepared, config, progress, execution)
        if result.interrupted:
            raise StoppedError(
                execution.stop.by, f"at step {result.step}, which is saved"
            )
        execution.stop.where = "after training, which is saved, while testing"
        with execution.stop.during(leaving=True):
            return _finish(place, prepared, config, result, baseline, say)


def with_absolute_paths(config: Config) -> Config:
    """The same run, which finds its files from any current directory."""

    def absolute(section: Any, *names: str) -> Any:
        paths = {name: getattr(section, name) for name in names}
        named = {n: str(Path(p).absolute()) for n, p in paths.items() if p}
        return dataclasses.replace(section, **named)

    return dataclasses.replace(
        config,
        data=absolute(
            config.data, "data", "validation", "test", "data_dir", "taxonomy"
        ),
        text=absolute(config.text, "vectors_file"),
        graph=absolute(config.graph, "vectors_file", "adjacency_file"),
    )


def prepare(
    config: Config, say: Say = lambda line: None, corpus: Corpus | None = None
) -> Prepared:
    """Reads the corpus, or takes one, and builds what training needs, in memory."""
    corpus = corpus or read_corpus(config.data)
    require_labels(corpus.train, corpus)
    for note in corpus.notes:
        say(f"{corpus.name}: {note}")
    # A label that no training document carries is known by its text alone.
    also = corpus.candidate_labels if config.memory.kind != "none" else ()
    labels = LabelSpace.from_documents(
        corpus.train,
        corpus.label_descriptions,
        corpus.parents,
        corpus.learned_tasks,
        also=also,
    )
    for split in ("validation", "test"):
        require_annotations(corpus.splits[split], labels, f"{split} documents")
    require_taxonomy(config, labels)
    in_chunks = label_chunk(config, len(labels)) > 0
    text = config.text
    tokenizer = document_tokenizer(text, corpus.train)
    pretrained = text.vectors == "pretrained"
    encoder = None
    if pretrained:
        encoder = FrozenEncoder.load(
            find_pretrained(text.pretrained), cache=cache_folder()
        )
        positions = encoder.shape.max_positions
        if padded_length(text.max_length) > positions:
            raise ConfigError(
                f"text.max_length must be at most {positions // 8 * 8} for an encoder "
                f"of {positions} positions, got {text.max_length}"
            )
    frozen = None if text.trainable else encoder
    first_layer = first_trained_layer(text, encoder.shape if encoder else None)
    if first_layer:
        frozen = FrozenEncoder.load(
            find_pretrained(text.pretrained), layers=first_layer, cache=cache_folder()
        )
    if frozen is not None:
        say("encoding the documents once with the frozen layers (cached)")
    train, validation = (
        encode_documents(
            documents, labels, tokenizer, text, frozen, sparse_targets=in_chunks
        )
        for documents in (corpus.train, corpus.validation)
    )
    values: dict[str, Any] = {}
    if pretrained and text.trainable:
        assert encoder is not None
        values["transformer"] = (
            upper_layers(encoder.params, first_layer) if first_layer else encoder.params
        )
    elif text.encoder == "bag" and not pretrained:
        values["token_weight"] = token_weights(train.examples, tokenizer)
    if text.vectors == "file":
        assert not isinstance(tokenizer, FeatureTokenizer)  # see require_bag
        vectors = read_word_vectors(text.vectors_file, tokenizer.vocabulary)
        say(f"{text.vectors_file}: {vectors.coverage:.1%} of the vocabulary found")
        values["embedding"] = vectors.table
    sets, mask = train.examples.targets, train.examples.target_mask
    if config.threshold.consistent and (
        note := lacking_ancestors(labels, sets.toarray(), mask)
    ):
        say(f"{corpus.name}: {note}")
    graph = label_graph_arrays(config, labels, sets, tokenizer, encoder, mask)
    classifier = build_classifier(
        config,
        graph,
        vocabulary_size=tokenizer.vocabulary_size,
        transformer=encoder.shape if encoder else None,
        features=values["embedding"].shape[1] if "embedding" in values else None,
        tasks=labels.task_columns,
    )
    if validation.unseen:
        say(
            f"{corpus.name}: {validation.unseen.total():,} occurrences of "
            f"{len(validation.unseen):,} labels in validation have no training "
            "document and are left out there"
        )
    say(
        f"{corpus.name}: {len(corpus.train):,} documents to train on, "
        f"{len(corpus.validation):,} for validation, {len(corpus.test):,} for the "
        f"test, {len(labels):,} labels; {train.truncated:,} training documents are "
        f"longer than the {text.max_length} tokens read of a window"
    )
    return Prepared(
        corpus, labels, tokenizer, train, validation, graph, classifier, values
    )


def _save_model_files(place: Workdir, prepared: Prepared, config: Config) -> None:
    """What the model is, beside its parameters; the same again on a resumed run."""
    place.save_labels(prepared.labels)
    place.save_label_graph(prepared.graph)
    prepared.tokenizer.save(place.tokenizer)
    if config.text.vectors != "pretrained":
        return
    place.encoder.mkdir(exist_ok=True)
    folder = find_pretrained(config.text.pretrained)
    copied = [folder / "config.json"]
    if not config.text.trainable or config.text.trained_layers:
        copied += sorted(folder.glob("*.safetensors*"))
    for path in copied:
        target = place.encoder / path.name
        if not target.is_file() or target.stat().st_size != path.stat().st_size:
            partial = target.with_name(target.name + ".partial")
            shutil.copyfile(path, partial)
            partial.replace(target)


def _train(
    place: Workdir,
    prepared: Prepared,
    config: Config,
    progress: bool,
    execution: Execution,
) -> TrainResult:
    settings, examples = config.training, prepared.train.examples
    assert settings.learning_rate is not None
    epoch_steps = steps_per_epoch(len(examples), settings.batch_size)
    total_steps = epoch_steps * settings.epochs
    key = jax.random.key(settings.seed)
    classifier = prepared.classifier
    optimizer, step = optimizer_and_step(
        config, classifier, jax.random.fold_in(key, 1), total_steps=total_steps
    )
    mesh = execution.mesh()
    validation = prepared.validation.examples
    score = _validation_scorer(config, prepared, mesh)
    watch = None
    if classifier.has_gates:
        tasks = tuple(prepared.labels.tasks)
        watch = GateWatch(classifier.gate_weights, tasks, execution.say, mesh)
    size = settings.evaluation_batch_size

    def evaluate(params: Any) -> dict[str, float]:
        batches = execution.evaluation_batches(validation, batch_size=size)
        metrics = score(params, batches)
        if watch is not None:
            metrics |= watch(params, own_batches(validation, batch_size=size))
        return metrics

    state = _initial_state(prepared, optimizer, key)
    with CheckpointStore(place.checkpoints, metric=settings.selection_metric) as store:
        return train_loop(
            state,
            execution.compile(step, mesh, state),
            train_batches(
                examples,
                batch_size=settings.batch_size,
                epochs=settings.epochs,
                seed=settings.seed,
                shard_index=jax.process_index(),
                shard_count=jax.process_count(),
                prefetch_threads=1,
            ),
            total_steps=total_steps,
            steps_per_epoch=epoch_steps,
            evaluate_fn=evaluate if len(validation) else None,
            metric=settings.selection_metric if len(validation) else None,
            patience=settings.patience or None,
            store=store,
            log=MetricsLog(place.path) if is_first() else None,
            config=to_dict(config),
            checkpoint_every=execution.settings.checkpoint_every or None,
            progress=progress,
            stop=execution.stop,
            profile=execution.profile,
        )


def _validation_scorer(
    config: Config, prepared: Prepared, mesh: Any
) -> Callable[[Any, Iterable[Batch]], dict[str, float]]:
    """`score(params, batches)` -> the metrics that select a checkpoint."""
    classifier, labels = prepared.classifier, len(prepared.labels)
    examples = prepared.validation.examples
    if chunk := label_chunk(config, labels):
        rank = compile_ranking(config, classifier, labels, chunk, mesh)

        def ranked(params: Any, batches: Iterable[Batch]) -> dict[str, float]:
            top = predict_top_labels(rank, params, batches)
            return ranked_validation_metrics(top, examples.targets)

        return ranked
    run = compile_probabilities(classifier.apply, mesh)
    require_room(
        len(examples),
        labels,
        "the scores of the validation documents, an array",
        "score labels in chunks with head.label_chunk=4096",
    )

    def whole(params: Any, batches: Iterable[Batch]) -> dict[str, float]:
        probabilities = predict_probabilities(run, params, batches)
        return validation_metrics(
            probabilities, examples.multi_hot, examples.target_mask
        )

    return whole


def optimizer_and_step(
    config: Config, classifier: Classifier, key: jax.Array, *, total_steps: int
) -> tuple[optax.GradientTransformation, TrainStep]:
    """The optimizer and the train step of a run, from its settings.

    Args:
        config: resolved settings.
        classifier: the model; what it reads of the label graph may be traced.
        key: the run's dropout key; may be traced.
        total_steps: where the decay of the learning rate ends.
    """
    settings = config.training
    assert settings.learning_rate is not None
    frozen = is_frozen(config.text)
    schedule: dict[str, Any] = {
        "warmup_steps": int(settings.warmup_fraction * total_steps),
        "total_steps": total_steps,
        "schedule": settings.schedule,
    }
    optimizer = make_optimizer(
        learning_rate=settings.learning_rate,
        body_learning_rate=settings.body_learning_rate,
        is_body=is_body if config.text.vectors == "pretrained" else None,
        is_frozen=frozen,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        **schedule,
    )
    if isinstance(classifier.module, TaskMagnet):
        loss_fn = task_objective(
            config, classifier.module, classifier.graph, classifier.apply
        )
    elif chunk := label_chunk(config, len(classifier.graph.counts)):
        loss_fn = many_label_objective(
            classifier.factors, choose_loss(config.loss, classifier.graph), chunk=chunk
        )
    else:
        loss_fn = classifier.own_loss or multi_label_objective(
            classifier.apply, choose_loss(config.loss, classifier.graph)
        )
    step = make_train_step(
        loss_fn,
        optimizer,
        key,
        is_frozen=frozen,
        micro_batches=settings.micro_batches,
        learning_rate=make_schedule(settings.learning_rate, **schedule),
    )
    return optimizer, step


def _initial_state(prepared: Prepared, optimizer: Any, key: jax.Array) -> TrainState:
    return init_train_state(_first_params(prepared, key), optimizer)


def _first_params(prepared: Prepared, key: jax.Array | None = None) -> Any:
    batch = evaluation_batches(prepared.train.examples, batch_size=1)[0]
    key = jax.random.key(0) if key is None else key
    return prepared.classifier.init(key, batch, **prepared.initial_values)


def _finish(
    place: Workdir,
    prepared: Prepared,
    config: Config,
    result: TrainResult,
    baseline: bool,
    say: Say,
) -> dict[str, Any]:
    """Thresholds from validation, the test split once, results.json."""
    started = time.perf_counter()
    # The test documents are read twice, for the metrics and for the gates.
    model = restore(place, cache=cache_folder(), with_memory=False)
    model = _decided(place, config, prepared, model, say)
    test = evaluate_test(place, model, prepared.corpus.test)
    gates = test_gates(model, prepared.corpus)
    results: dict[str, Any] = {
        "corpus": prepared.corpus.name,
        "labels": len(prepared.labels),
        "workdir": str(place.path),
        "split": "test",
        "notes": list(prepared.corpus.notes),
        "documents": {
            name: len(documents) for name, documents in prepared.corpus.splits.items()
        },
        "parameters": count_parameters(model.params),
        "truncated_training_documents": prepared.train.truncated,
        "unseen_validation_labels": dict(sorted(prepared.validation.unseen.items())),
        "seed": config.training.seed,
        "devices": [f"{d.platform}:{d.device_kind}" for d in jax.devices()],
        "training": {
            "steps": result.step,
            "best_step": result.best_step,
            "best_validation": result.best_metric,
            "selection_metric": config.training.selection_metric,
            "stopped_early": result.stopped_early,
            "seconds": round(result.seconds, 1),
            "documents_per_second": round(result.documents_per_second, 1),
        },
        "memory": memory_results(model.memory) if model.memory else None,
        "test": test,
        "gates": gates,
        "test_seconds": round(time.perf_counter() - started, 1),
        "baseline": None,
    }
    if baseline:
        results["baseline"] = _baseline(prepared.corpus, prepared.labels, config, say)
    on_first(lambda: place.save_results(results))
    return results


def _decided(
    place: Workdir, config: Config, prepared: Prepared, model: Model, say: Say
) -> Model:
    """The model, with its memory, that decides as its validation documents say."""
    examples, corpus = prepared.validation.examples, prepared.corpus
    scores = validation_scores(model, examples)
    if config.memory.kind == "none":
        return fit_decision(place, config, scores, examples, model)
    return remember(place, model, config.memory, corpus, examples, scores, say=say)


def validation_scores(model: Model, examples: Examples) -> Scores:
    """The classifier's probabilities: of all labels, or the best of each document."""
    if model.label_chunk:
        return model.rank(examples) if len(examples) else no_labels()
    return model.score(examples) if len(examples) else np.zeros((0, 0))


def remember(
    place: Workdir,
    model: Model,
    memory: MemoryConfig,
    corpus: Corpus,
    examples: Examples,
    scores: Scores,
    *,
    say: Say = lambda line: None,
) -> Model:
    """Puts a memory beside a classifier, and fits again how labels are decided.

    Args:
        place: where both are saved.
        model: the classifier, without a memory.
        memory: what is asked for, `kind` not none.
        corpus: training documents to remember, validation documents to choose on.
        examples: the validation documents as the classifier reads them.
        scores: the classifier's, of these, from `validation_scores`.
        say: takes one line about what is going on.

    Returns:
        The model with its memory, and with the labels that were added to `place`.
    """
    learned = learn_memory(
        place,
        model,
        memory,
        corpus.train,
        (corpus.validation, examples, scores),
        cache=cache_folder(),
        say=say,
    )
    plain = model.with_memory(learned.with_added(AddedLabels()))
    mixed: Scores
    if isinstance(scores, TopLabels):
        mixed = plain.mix_top(corpus.validation, examples, scores)
    else:
        mixed = plain.mix(corpus.validation, examples, scores)
    plain = fit_decision(place, model.config, mixed, examples, plain)
    return plain.with_memory(learned)


def evaluate_test(
    place: Workdir, model: Model, documents: Sequence[Document]
) -> dict[str, Any] | None:
    """The metrics of the test documents, if there are any; what was predicted of them
    is kept beside the results."""
    if not documents:
        return None
    return model.evaluate(
        documents, keep=lambda kept: on_first(lambda: save_kept(place, kept))
    )


def test_gates(model: Model, corpus: Corpus) -> dict[str, Any] | None:
    """What the gates do with the test documents; None where there is no gate."""
    statistics = model.gate_statistics(corpus.test) if corpus.test else None
    if statistics is None:
        return None
    name, rows = f"{corpus.name}, test", len(corpus.test)
    return GateReport.make(name, rows, model.task_names, statistics).to_json()


def fit_decision(
    place: Workdir,
    config: Config,
    scores: Scores,
    examples: Examples,
    model: Model,
) -> Model:
    """Chooses how labels are decided, on validation documents, and saves it.

    Args:
        place: where thresholds.json goes.
        config: what is asked for.
        scores: of the validation documents, `[M, N]`, or the best labels of each.
        examples: these documents; there may be none.
        model: what they were scored with.

    Returns:
        The model that decides so.
    """
    shape = (len(examples), len(model.labels))
    if isinstance(scores, TopLabels):
        decision = choose_ranked_decision(config.threshold, scores, examples.targets)
    else:
        decision = choose_decision(
            config.threshold,
            scores.reshape(shape),
            examples.multi_hot.reshape(shape),
            model.classifier.graph.counts,
            target_mask=examples.target_mask,
            ancestors=model.ancestors if config.threshold.consistent else None,
        )
    if model.memory is not None:
        # Validation documents carry no label that training never saw.
        thresholds = decision.thresholds.copy()
        thresholds[model.memory.unseen] = model.memory.text_rule.threshold
        decision = dataclasses.replace(decision, thresholds=thresholds)
    on_first(lambda: save_decision(place, decision, model.labels))
    return model.with_decision(decision)


def _baseline(
    corpus: Corpus, labels: LabelSpace, config: Config, say: Say
) -> dict[str, Any]:
    """TF-IDF + one-vs-rest linear SVM on the same splits, at 0 and tuned."""
    from labelgraph_jax.runs.baseline import tfidf_svm_baseline

    say("training the baseline: TF-IDF + one-vs-rest linear SVM")
    # Of documents of features their rows.
    texts: dict[str, list[Any]] = {
        name: [d.text if d.features is None else d.features for d in documents]
        for name, documents in corpus.splits.items()
    }
    require_room(
        len(corpus.train),
        len(labels),
        "the baseline's targets, an array",
        "leave --baseline out",
    )
    targets = {
        name: labels.targets(documents)[0] for name, documents in corpus.splits.items()
    }
    masks = {
        name: labels.target_mask(documents) for name, documents in corpus.splits.items()
    }
    fitted = tfidf_svm_baseline(
        texts["train"],
        targets["train"],
        texts["test"],
        validation_texts=texts["validation"],
        validation_targets=targets["validation"],
        train_target_mask=masks["train"],
        validation_target_mask=masks["validation"],
        threshold_shrinkage=config.threshold.shrinkage,
    )
    counts = targets["train"].sum(axis=0)
    documents = np.full(len(counts), len(texts["train"]))
    if masks["train"] is not None:
        documents = masks["train"].sum(axis=0)
    rows = {"SVM, tuned": fitted.tuned, "SVM, at 0": fitted.at_zero}
    return {
        "c": {name: row.c for name, row in rows.items()},
        "features": fitted.features,
        "seconds": round(fitted.seconds, 1),
        "metrics": {
            name: evaluate_scores(
                row.test_scores,
                targets["test"],
                row.thresholds,
                target_mask=masks["test"],
                train_label_counts=counts,
                train_documents=documents,
                ks=KS,
            )
            for name, row in rows.items()
        },
    }
