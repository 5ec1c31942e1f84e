"""A trained model in memory: raw text in, labels and probabilities out."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import jax
import numpy as np

import labelgraph_jax
from labelgraph_jax.config import Config
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Document, LabelSpace
from labelgraph_jax.data.features.documents import feature_documents
from labelgraph_jax.data.tokenizers.features import FeatureTokenizer
from labelgraph_jax.functional.mixture.experts import GateStatistics
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.display import Facts, Shown, model_facts
from labelgraph_jax.predictors.documents import (
    AnyTokenizer,
    Encoded,
    Texts,
    as_documents,
    as_texts,
    prediction_batches,
    require_annotations,
)
from labelgraph_jax.predictors.frames import predictions_frame, probabilities_frame
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.hierarchy import label_ancestors
from labelgraph_jax.predictors.many_labels import (
    FEWER,
    label_chunk,
    require_k,
    require_room,
)
from labelgraph_jax.predictors.measure import evaluation
from labelgraph_jax.predictors.memory.memory import Memory
from labelgraph_jax.predictors.network import Classifier
from labelgraph_jax.predictors.predictions import (
    KeptPredictions,
    Predictions,
    no_predictions,
)
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.training.gates import collect_gate_statistics, compile_gate_sums

if TYPE_CHECKING:
    from pandas import DataFrame

Scored = tuple[str, float]
"""A label with its probability."""


@dataclass(frozen=True, repr=False)
class Model(Shown, ABC):
    """Result of `lg.load(workdir)` for a run over texts.

    A `LabelModel` is one network; a `MemoryModel` looks labels up beside another model,
    and an `Ensemble` joins several: each of them predicts, decides and evaluates in the
    same way.

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

    @abstractmethod
    def encode(self, documents: Sequence[Document]) -> Encoded:
        """Documents as the model reads them."""

    @abstractmethod
    def predict_examples(
        self,
        documents: Sequence[Document],
        examples: Examples,
        *,
        batch_size: int | None = None,
        every_label: bool = False,
    ) -> Predictions:
        """The model's predictions of documents that are encoded.

        Args:
            documents: M of them.
            examples: the same, from `encode`.
            batch_size: documents at a time; it does not change the numbers.
            every_label: the probabilities of all labels, where otherwise the best
                labels alone would be kept.
        """

    def predict_documents(
        self,
        documents: Sequence[Document],
        *,
        batch_size: int | None = None,
        every_label: bool = False,
    ) -> tuple[Encoded, Predictions]:
        """Encoded documents and their predictions; arguments as `predict_examples`."""
        encoded = self.encode(as_documents(documents))
        return encoded, self.predict_examples(
            documents, encoded.examples, batch_size=batch_size, every_label=every_label
        )

    @property
    @abstractmethod
    def network(self) -> "Model":
        """The network that predicts; of several the first."""

    @property
    def label_side(self) -> tuple[jax.Array, jax.Array]:
        """Label vectors `[N, D]` and biases `[N]`, where logits are their products."""
        return self.network.label_side

    def with_decision(self, decision: Decision) -> Self:
        """The same model that decides otherwise; nothing is compiled."""
        if not isinstance(decision, Decision):
            raise ValueError(f"must be a `Decision`, got {type(decision).__name__}")
        return dataclasses.replace(self, decision=decision)

    @property
    def kind(self) -> str:
        """Name under which the model is shown."""
        return "Model"

    def _facts(self) -> Facts:
        return model_facts(self)

    @cached_property
    def ancestors(self) -> np.ndarray | None:
        """Ancestors, bool `[N, N]`; None without a taxonomy, or with label chunks."""
        return None if self.label_chunk else label_ancestors(self.label_space)

    @cached_property
    def label_chunk(self) -> int:
        """Number of trained labels scored at a time; 0 where all are at once."""
        return label_chunk(self.config, len(self.classifier.graph.counts))

    @property
    def gives_every_label(self) -> bool:
        """True where predictions hold every label without being asked for them all."""
        return not self.label_chunk

    @property
    def most_labels(self) -> int:
        """Number of labels of a document with a probability: all, or the best ones."""
        every = len(self.labels)
        return min(self.config.head.kept_labels, every) if self.label_chunk else every

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
        """True if documents are features with values rather than texts."""
        return isinstance(self.tokenizer, FeatureTokenizer)

    @property
    def task_names(self) -> tuple[str, ...]:
        """The label sets, where the model has several."""
        return tuple(self.label_space.task_columns)

    @overload
    def predict_proba(
        self,
        texts: Texts,
        *,
        as_frame: Literal[False] = ...,
        batch_size: int | None = ...,
    ) -> np.ndarray: ...

    @overload
    def predict_proba(
        self, texts: Texts, *, as_frame: Literal[True], batch_size: int | None = ...
    ) -> "DataFrame": ...

    def predict_proba(
        self, texts: Texts, *, as_frame: bool = False, batch_size: int | None = None
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
        documents = self.documents(texts)
        if not documents:
            return np.zeros((0, len(self.labels)), np.float32)
        self.require_room(len(documents), FEWER, every_label=True)
        return self.score_documents(documents, batch_size=batch_size)[1]

    def documents(self, texts: Texts) -> list[Document]:
        """Return the inputs as documents without labels.

        Raises:
            DataError: a text is not a string, or a row not features.
        """
        if self.reads_features:
            return feature_documents(texts)
        return [Document(str(i), text, ()) for i, text in enumerate(as_texts(texts))]

    @overload
    def predict(
        self,
        texts: Texts,
        *,
        as_frame: Literal[False] = ...,
        batch_size: int | None = ...,
    ) -> list[list[str]]: ...

    @overload
    def predict(
        self, texts: Texts, *, as_frame: Literal[True], batch_size: int | None = ...
    ) -> "DataFrame": ...

    def predict(
        self, texts: Texts, *, as_frame: bool = False, batch_size: int | None = None
    ) -> "list[list[str]] | DataFrame":
        """The labels of every text, as `decision` says, the most probable first.

        A text may have none. `texts` are as in `predict_proba`. As a frame: text,
        labels, their scores, top_label and top_probability, which a text has even where
        no label is probable enough to be predicted.
        """
        predictions = self._decided(self.documents(texts), batch_size)
        chosen, top = list[list[Scored]](), list[Scored]()
        for ids, scores, decided in predictions.best_first():
            chosen.append(self._named(ids[decided], scores[decided]))
            top += self._named(ids[:1], scores[:1])
        if as_frame:
            return predictions_frame(texts, chosen, top)
        return [[name for name, _ in pairs] for pairs in chosen]

    def predict_top(
        self, texts: Texts, k: int = 5, *, batch_size: int | None = None
    ) -> list[list[Scored]]:
        """The k most probable labels of every text with their probabilities.

        However many labels there are, no array of texts by labels is made where
        labels are scored in chunks.

        Raises:
            ValueError: k is below 1 or above what the model keeps of a document.
        """
        documents = self.documents(texts)
        self.require_k(k)
        return [
            self._named(ids[:k], scores[:k])
            for ids, scores, _ in self._decided(documents, batch_size).best_first()
        ]

    def _named(self, ids: np.ndarray, scores: np.ndarray) -> list[Scored]:
        return [(self.labels[i], float(p)) for i, p in zip(ids, scores, strict=True)]

    def require_k(self, k: int) -> None:
        """Refuse a number of labels that the model does not give.

        Raises:
            ValueError: k is below 1 or above what the model keeps of a document.
        """
        require_k(k, self.most_labels, len(self.labels))

    def _decided(
        self, documents: Sequence[Document], batch_size: int | None
    ) -> Predictions:
        if not documents:
            return no_predictions(len(self.labels)).decide(self.decision)
        self.require_room(len(documents), FEWER)
        _, predictions = self.predict_documents(documents, batch_size=batch_size)
        return predictions.decide(self.decision)

    def require_room(
        self, count: int, instead: str, *, every_label: bool = False
    ) -> None:
        """Refuse documents whose probabilities do not fit into memory (ConfigError)."""
        if every_label or self.gives_every_label:
            require_room(
                count, len(self.labels), "the probabilities, an array", instead
            )

    def decide(self, probabilities: np.ndarray) -> list[str]:
        """Labels of one document from its probabilities `[N]`, most probable first."""
        if np.shape(probabilities) != (len(self.labels),):
            got = list(np.shape(probabilities))
            raise ValueError(f"must be of shape [{len(self.labels)}], got {got}")
        row = Predictions(None, np.asarray(probabilities)[None], len(self.labels))
        ids, _, decided = next(row.decide(self.decision).best_first())
        return [self.labels[i] for i in ids[decided]]

    def score_documents(
        self, documents: Sequence[Document], *, batch_size: int | None = None
    ) -> tuple[Encoded, np.ndarray]:
        """Documents as the model reads them, and their probabilities `[M, N]`."""
        encoded, predictions = self.predict_documents(
            documents, batch_size=batch_size, every_label=True
        )
        return encoded, predictions.probabilities

    def evaluate(
        self,
        documents: Sequence[Document],
        *,
        batch_size: int | None = None,
        keep: Callable[[KeptPredictions], None] | None = None,
    ) -> dict[str, Any]:
        """Metrics of labelled documents, see `predictors.measure.evaluation`.

        LRAP and mAP need the scores of all labels and are not among them where labels
        are scored in chunks.

        Args:
            documents: with their labels.
            batch_size: documents at a time; it does not change the numbers.
            keep: takes what was predicted of them.

        Raises:
            DataError: there is no document, or none is annotated for a label.
        """
        documents = as_documents(documents, "to evaluate")
        require_annotations(documents, self.label_space)
        encoded, predictions = self.predict_documents(documents, batch_size=batch_size)
        predictions = predictions.with_truth(
            encoded.examples.targets,
            encoded.examples.target_mask,
            self.label_space.missing_sets(documents),
        ).decide(self.decision)
        if keep is not None:
            keep(predictions.kept(documents))
        return evaluation(
            documents,
            encoded,
            predictions,
            decision=self.decision,
            labels=self.label_space,
            graph=self.classifier.graph,
            ancestors=self.ancestors,
        )

    def explain(
        self, text: str, labels: Sequence[str] | None = None, **options: Any
    ) -> Any:
        """Explain the prediction for one text: `lg.explain(model, text)`."""
        return labelgraph_jax.explain(self, text, labels, **options)

    def gate_statistics(
        self, documents: Sequence[Document], *, batch_size: int | None = None
    ) -> GateStatistics | None:
        """Return statistics of the gates on documents; None for a model without gates.

        Raises:
            DataError: there is no document.
        """
        documents = as_documents(documents, "to read gates of")
        if not self.classifier.has_gates:
            return None
        encoded = self.encode(documents)
        own = self.config, self.tokenizer
        batches = prediction_batches(*own, encoded.examples, batch_size)
        sums = compile_gate_sums(self.classifier.gate_weights)
        return collect_gate_statistics(sums, self.params, batches)
