"""A trained model in memory: raw text in, labels and probabilities out."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

import jax
import numpy as np

from labelgraph_jax.config import Config
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import DataError, Document, LabelSpace
from labelgraph_jax.data.features.documents import feature_documents
from labelgraph_jax.data.tokenizers.features import FeatureTokenizer
from labelgraph_jax.functional.attribution import Attribution
from labelgraph_jax.functional.mixture.experts import GateStatistics
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.display import as_html, as_text, model_facts
from labelgraph_jax.predictors.documents import (
    AnyTokenizer,
    Encoded,
    encode_documents,
    require_annotations,
)
from labelgraph_jax.predictors.evaluation import (
    measure,
    measure_tasks,
    score_examples,
    summary,
)
from labelgraph_jax.predictors.frames import predictions_frame, probabilities_frame
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.group_results import measure_groups
from labelgraph_jax.predictors.hierarchy import label_ancestors
from labelgraph_jax.predictors.kept_predictions import KeptPredictions, keep_dense
from labelgraph_jax.predictors.many_labels import label_chunk, require_room
from labelgraph_jax.predictors.memory.files import with_added_labels
from labelgraph_jax.predictors.memory.memory import Memory, Reader
from labelgraph_jax.predictors.memory.metrics import (
    added_label_metrics,
    with_unknown_labels,
)
from labelgraph_jax.predictors.memory.texts import own_reader
from labelgraph_jax.predictors.network import (
    Classifier,
)
from labelgraph_jax.predictors.ranking import (
    RankFn,
    chosen_and_top,
    compile_ranking,
    evaluate_ranked,
    ranked_labels,
    scores_of_labels,
    top_of_texts,
)
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.training.evaluate import ProbabilityFn, compile_probabilities
from labelgraph_jax.training.gates import collect_gate_statistics, compile_gate_sums
from labelgraph_jax.training.local_batches import own_batches
from labelgraph_jax.training.many_labels import (
    PlacedModel,
    TopLabels,
    predict_top_labels,
)

if TYPE_CHECKING:
    from pandas import DataFrame

    from labelgraph_jax.inspection.explain import Explanation


@dataclass(frozen=True, repr=False)
class Model:
    """What `lg.load(workdir)` returns.

    Attributes:
        workdir: where it came from.
        config: the configuration it was trained with.
        label_space: labels with descriptions and taxonomy; added ones come last.
        tokenizer: text -> token ids.
        classifier: pure `init` and `apply`.
        params: the best checkpoint's parameters.
        decision: how probabilities become labels.
        encoder: the frozen pretrained encoder, where the model reads one.
        memory: what is looked up beside the classifier.
        step: of the checkpoint, where it is known.
    """

    workdir: Workdir
    config: Config
    label_space: LabelSpace
    tokenizer: AnyTokenizer
    classifier: Classifier
    params: Any
    decision: Decision
    encoder: FrozenEncoder | None = None
    memory: Memory | None = None
    step: int | None = None

    def __repr__(self) -> str:
        return as_text(type(self).__name__, model_facts(self))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return as_html(type(self).__name__, model_facts(self))

    @cached_property
    def ancestors(self) -> np.ndarray | None:
        """Which label lies above which, bool `[N, N]`; None without a taxonomy, and
        where labels are scored in chunks."""
        return None if self.label_chunk else label_ancestors(self.label_space)

    @cached_property
    def label_chunk(self) -> int:
        """How many labels are scored at a time; 0 where all are at once. Labels that
        were added change nothing: the classifier does not score them."""
        return label_chunk(self.config, len(self.classifier.graph.counts))

    @property
    def thresholds(self) -> np.ndarray:
        """Decision threshold per label, float64 `[N]`; 0.5 where top_k decides."""
        return self.decision.thresholds

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names, in the order of the columns of `predict_proba`."""
        return self.label_space.names

    @property
    def reads_features(self) -> bool:
        """Whether documents are features with values rather than texts."""
        return isinstance(self.tokenizer, FeatureTokenizer)

    @overload
    def predict_proba(
        self,
        texts: Any,
        *,
        as_frame: Literal[False] = ...,
        batch_size: int | None = ...,
    ) -> np.ndarray: ...

    @overload
    def predict_proba(
        self, texts: Any, *, as_frame: Literal[True], batch_size: int | None = ...
    ) -> "DataFrame": ...

    def predict_proba(
        self, texts: Any, *, as_frame: bool = False, batch_size: int | None = None
    ) -> "np.ndarray | DataFrame":
        """Probability of every label for every text, float32 `[M, N]`.

        Args:
            texts: strings, as a list, array or pandas Series, or one; of a model that
                reads features `Features`, documents that have some, or a scipy sparse
                matrix `[M, V]`.
            as_frame: a pandas frame with a column per label; of a Series its index.
            batch_size: documents at a time; it does not change the numbers.

        Raises:
            DataError: a text is not a string, or a row not features.
            ImportError: a frame is asked for and pandas is not installed.
        """
        if as_frame:
            found = self.predict_proba(texts, batch_size=batch_size)
            return probabilities_frame(texts, found, self.labels)
        documents = self._documents(texts)
        if not documents:
            return np.zeros((0, len(self.labels)), np.float32)
        require_room(
            len(documents),
            len(self.labels),
            "probabilities, an array",
            "ask for predict_top, or for fewer texts at once",
        )
        return self.score_documents(documents, batch_size=batch_size)[1]

    def _documents(self, texts: Any) -> list[Document]:
        """What is to be predicted, as documents without labels."""
        if self.reads_features:
            return feature_documents(texts)
        return [Document(str(i), text, ()) for i, text in enumerate(as_texts(texts))]

    @overload
    def predict(
        self,
        texts: Any,
        *,
        as_frame: Literal[False] = ...,
        batch_size: int | None = ...,
    ) -> list[list[str]]: ...

    @overload
    def predict(
        self, texts: Any, *, as_frame: Literal[True], batch_size: int | None = ...
    ) -> "DataFrame": ...

    def predict(
        self, texts: Any, *, as_frame: bool = False, batch_size: int | None = None
    ) -> "list[list[str]] | DataFrame":
        """The labels of every text, as `decision` says, the most probable first.

        A text may have none. `texts` are as in `predict_proba`. As a frame: text,
        labels, their scores, top_label and top_probability, which a text has even where
        no label is probable enough to be predicted.
        """
        if as_frame:
            chosen, top = chosen_and_top(self, self._documents(texts), batch_size)
            return predictions_frame(texts, chosen, top)
        if self.label_chunk:
            return ranked_labels(self, self._documents(texts), batch_size=batch_size)
        probabilities = self.predict_proba(texts, batch_size=batch_size)
        return [self.decide(row) for row in probabilities]

    def predict_top(
        self, texts: Any, k: int = 5, *, batch_size: int | None = None
    ) -> list[list[tuple[str, float]]]:
        """The k most probable labels of every text with their probabilities.

        However many labels there are, no array of texts by labels is made where
        labels are scored in chunks.

        Raises:
            ValueError: k is below 1 or above what the model keeps of a document.
        """
        return top_of_texts(self, self._documents(texts), k, batch_size=batch_size)

    def decide(self, probabilities: np.ndarray) -> list[str]:
        """Labels of one document from its probabilities `[N]`, most probable first."""
        chosen = self.decision.decide(probabilities[None])[0]
        order = np.argsort(-probabilities, kind="stable")
        return [self.labels[i] for i in order if chosen[i]]

    def evaluate(
        self,
        documents: Sequence[Document],
        *,
        batch_size: int | None = None,
        keep: Callable[[KeptPredictions], None] | None = None,
    ) -> dict[str, Any]:
        """Metrics of labelled documents, see `evaluation.summary`.

        Args:
            documents: with their labels.
            batch_size: documents at a time; it does not change the numbers.
            keep: takes what was predicted of them.

        Raises:
            DataError: there is no document, or none is annotated for a label.
        """
        if not documents:
            raise DataError("there is no document to evaluate")
        require_annotations(documents, self.label_space)
        if self.label_chunk:
            return evaluate_ranked(self, documents, batch_size=batch_size, keep=keep)
        encoded, probabilities = self.score_documents(documents, batch_size=batch_size)
        targets = encoded.examples.multi_hot
        mask = encoded.examples.target_mask
        positive = targets > 0
        absent = ~positive.any(axis=0)
        if mask is not None:
            # Labels that nobody annotated here are no part of the averages.
            absent = ~(positive & mask).any(axis=0) & mask.any(axis=0)
        decided = self.decision.decide(probabilities)
        if keep is not None:
            truth = encoded.examples.targets
            keep(keep_dense(documents, probabilities, decided, truth, mask))
        measured = (
            probabilities,
            targets,
            decided,
            with_unknown_labels(self.classifier.graph, len(self.labels)),
            mask,
            self.ancestors,
        )
        found = summary(
            documents,
            encoded.truncated,
            encoded.unseen,
            measure(*measured),
            measure_tasks(self.label_space, *measured),
            self.decision,
            int(absent.sum()),
        )
        if mask is None:
            found["groups"] = measure_groups(probabilities, targets, measured[3].counts)
        if self.memory is not None and len(self.memory.added):
            found["added_labels"] = added_label_metrics(
                *measured[:3], mask, self.memory
            )
        return found

    def score_documents(
        self, documents: Sequence[Document], *, batch_size: int | None = None
    ) -> tuple[Encoded, np.ndarray]:
        """Documents as the model reads them, and their probabilities `[M, N]`."""
        encoded = self.encode(documents)
        size = batch_size or self.config.training.evaluation_batch_size
        size = max(1, min(size, len(documents)))
        probabilities = self.score(encoded.examples, batch_size=size)
        return encoded, self.mix(documents, encoded.examples, probabilities)

    def mix(
        self,
        documents: Sequence[Document],
        examples: Examples,
        probabilities: np.ndarray,
    ) -> np.ndarray:
        """The classifier's probabilities `[M, N]` with the memory's beside them.

        Labels that were added after training stand behind the N. Without a memory
        they come back as they are.

        Args:
            documents, examples: the same ones, raw and encoded.
            probabilities: from `score`.
        """
        if self.memory is None or not len(documents):
            return probabilities
        queries = self.memory.queries(documents, examples)
        return self.memory.mix(probabilities, queries)

    def encode(self, documents: Sequence[Document]) -> Encoded:
        """Documents as the model reads them."""
        return encode_documents(
            documents,
            self.label_space,
            self.tokenizer,
            self.config.text,
            self.encoder,
            sparse_targets=self.label_chunk > 0,
        )

    def rank(self, examples: Examples, *, batch_size: int | None = None) -> TopLabels:
        """The most probable labels of encoded documents, `head.kept_labels` of each,
        of a model that scores labels in chunks."""
        size = batch_size or self.config.training.evaluation_batch_size
        batches = own_batches(examples, batch_size=max(1, min(size, len(examples))))
        return predict_top_labels(self._rank, self._placed, batches)

    def rank_documents(
        self, documents: Sequence[Document], *, batch_size: int | None = None
    ) -> tuple[Encoded, TopLabels]:
        """Documents as the model reads them, and their most probable labels, with the
        memory's among them."""
        encoded = self.encode(documents)
        top = self.rank(encoded.examples, batch_size=batch_size)
        return encoded, self.mix_top(documents, encoded.examples, top)

    def mix_top(
        self, documents: Sequence[Document], examples: Examples, top: TopLabels
    ) -> TopLabels:
        """As `mix`, of the best labels of each document, from `rank`."""
        if self.memory is None or not len(documents):
            return top
        return TopLabels(
            *self.memory.mix_top(
                (top.ids, top.probabilities),
                self.classifier_at(documents, examples),
                self.memory.queries(documents, examples),
                k=top.ids.shape[1],
            )
        )

    def classifier_at(
        self, documents: Sequence[Document], examples: Examples
    ) -> Callable[[slice, np.ndarray], np.ndarray]:
        """`at(rows, ids)` -> the classifier's probabilities of some labels."""
        return scores_of_labels(self._placed, self._read(documents, examples))

    def score(self, examples: Examples, *, batch_size: int | None = None) -> np.ndarray:
        """The classifier's probabilities of encoded documents, float32 `[M, N]`."""
        size = batch_size or self.config.training.evaluation_batch_size
        return score_examples(self._run, self.params, examples, size)

    @property
    def task_names(self) -> tuple[str, ...]:
        """The label sets, where the model has several."""
        return tuple(self.label_space.task_columns)

    def gate_statistics(
        self, documents: Sequence[Document], *, batch_size: int | None = None
    ) -> GateStatistics | None:
        """What the gates do with some documents; None for a model without gates.

        Raises:
            DataError: there is no document.
        """
        if not documents:
            raise DataError("there is no document to read gates of")
        if not self.classifier.has_gates:
            return None
        encoded = self.encode(documents)
        size = batch_size or self.config.training.evaluation_batch_size
        batches = own_batches(encoded.examples, batch_size=size)
        sums = compile_gate_sums(self.classifier.gate_weights)
        return collect_gate_statistics(sums, self.params, batches)

    def explain(
        self, text: Any, labels: Sequence[str] | None = None, **options: Any
    ) -> "Explanation":
        """What moved the prediction for one text, see `explain.explain`."""
        from labelgraph_jax.inspection.explain import explain

        return explain(self, text, labels, **options)

    def with_decision(self, decision: Decision) -> "Model":
        """The same model that decides otherwise; nothing is compiled."""
        return self._with(decision=decision)

    def with_memory(self, memory: Memory) -> "Model":
        """The same model with a memory beside it, and the labels that were added.

        Every added label is decided at the memory's threshold for labels of which only
        their text is known.
        """
        names = self.label_space.names[: len(memory.keys.seen)]
        labels = dataclasses.replace(self.label_space, names=names)
        thresholds = self.decision.thresholds[: len(names)]
        added = np.full(len(memory.added), memory.text_rule.threshold)
        other = self._with(
            memory=memory, label_space=with_added_labels(labels, memory.added)
        )
        other.__dict__.pop("ancestors", None)
        decision = dataclasses.replace(
            self.decision,
            thresholds=np.concatenate([thresholds, added]),
            ancestors=other.ancestors if self.decision.consistent else None,
        )
        return other.with_decision(decision)

    def _with(self, **changes: Any) -> "Model":
        other = dataclasses.replace(self, **changes)
        for compiled in ("_run", "_rank", "_placed", "label_side", "_attribute"):
            if compiled in self.__dict__:
                other.__dict__[compiled] = self.__dict__[compiled]
        return other

    @cached_property
    def label_side(self) -> tuple[jax.Array, jax.Array]:
        """Label vectors `[N, D]` and biases `[N]` of a model whose logits are products
        of vectors."""
        if self.label_chunk:
            return self._placed.labels, self._placed.bias
        return jax.jit(self.classifier.label_side)(self.params)

    @cached_property
    def _attribute(self) -> Callable[..., Attribution]:
        from labelgraph_jax.inspection.explain.attribute import compile_attribution

        return compile_attribution(self)

    @cached_property
    def _rank(self) -> RankFn:
        labels, chunk = len(self.classifier.graph.counts), self.label_chunk
        return compile_ranking(self.config, self.classifier, labels, chunk)

    @cached_property
    def _placed(self) -> PlacedModel:
        """Parameters and label vectors on the devices."""
        return self._rank.place_params(self.params)

    @cached_property
    def _read(self) -> Reader:
        """Documents as the classifier reads them."""
        return own_reader(
            self.classifier,
            self.params,
            self.label_space,
            self.tokenizer,
            self.config.text,
            self.encoder,
        )

    @cached_property
    def _run(self) -> ProbabilityFn:
        return compile_probabilities(self.classifier.apply)


def as_texts(texts: Any) -> list[str]:
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):
        raise DataError(
            "texts must be strings in a list, array or Series, got a "
            f"{type(texts).__name__}; of a frame or mapping give one column"
        )
    try:
        texts = list(texts)
    except TypeError:
        raise DataError(
            f"texts must be strings in a list, array or Series, got {texts!r:.60}"
        ) from None
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"text {place} must be a string, got {type(text).__name__}")
    return texts
