"""Texts -> what `predict` writes of them, in shapes that are compiled beforehand.

There is no second way through the model: tokens, scores, memory and decisions come from
the functions that `Model.predict` uses, only that every batch is padded to a shape of
the service's own.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from labelgraph_jax.data.batches.shapes import row_counts
from labelgraph_jax.data.documents import Document
from labelgraph_jax.data.tokenizers.fused import FusedTokenizer
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.deploy.serve.about import about_model
from labelgraph_jax.deploy.serve.errors import RefusedError
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.shapes import (
    Bucket,
    Costs,
    buckets,
    fits,
    lengths,
    rows_of,
)
from labelgraph_jax.predictors.documents import encode_documents
from labelgraph_jax.predictors.ensemble import Ensemble
from labelgraph_jax.predictors.frozen_encoder import FrozenEncoder
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.memory.model import MemoryModel
from labelgraph_jax.predictors.memory.texts import FrozenReader
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.predictions import Predictions
from labelgraph_jax.predictors.workdir import WorkdirError
from labelgraph_jax.runs.predict import prediction_rows
from labelgraph_jax.training.evaluate import compile_probabilities

NGRAMS_PER_WORD = 64
"""A word of twenty letters has so many parts and pairs; a text beyond that many per
word that the model reads is refused."""

TIMED = 3
"""Batches of a shape that are timed; the fastest counts."""

Windows = Sequence[np.ndarray]


@dataclass(frozen=True)
class Asked:
    """Options of a request for each of its texts.

    Attributes:
        top_k: so many labels in place of those that the model decides for; 0 for these.
        scores: the probability of every label, too.
        columns: of these labels, too.
    """

    top_k: int = 0
    scores: bool = False
    columns: tuple[int, ...] = ()


@dataclass(frozen=True)
class Text:
    """A text as the model (each member of an ensemble) reads it.

    Attributes:
        document: the raw text.
        windows: of token ids, per member.
        buckets: what it is padded to, per member.
    """

    document: Document
    windows: tuple[Windows, ...]
    buckets: tuple[Bucket, ...]


class Member:
    """One model whose batches all have shapes from a list.

    Attributes:
        model: parameters on the device, encoders limited to these shapes.
        compiled: whether it has compiled programs; a bag on the host has none, so that
            its texts are not padded and may all go together.
        buckets: what texts are padded to, short ones first.
        rows: texts of a batch.
    """

    def __init__(self, model: Model, limits: Limits) -> None:
        assert isinstance(model, (LabelModel, MemoryModel))
        text = model.config.text
        if model.reads_features:
            raise WorkdirError(
                f"{model.workdir.path}: its model reads features, and `serve` serves "
                "models that read texts; `labelgraph predict` reads features"
            )
        self.rows = row_counts(limits.max_batch)
        is_bag = isinstance(model.tokenizer, NgramTokenizer | FusedTokenizer)
        windows = text.max_windows if text.long_documents == "windows" else 1
        longest = text.max_length * (NGRAMS_PER_WORD if is_bag else 1)
        reads_itself = model.memory and not isinstance(
            model.memory.reader, FrozenReader
        )
        self.compiled = bool(reads_itself) or model.network.on_host is None
        self.model, self.buckets = model, [(windows, longest)]
        if self.compiled:
            self.buckets = buckets(longest, windows, limits.buckets, full=not is_bag)
        if self.compiled or model.memory:
            self.model = _placed(model, self.rows, limits.buckets)

    def read(self, documents: Sequence[Document]) -> list[Windows]:
        """Token ids of each document."""
        model = self.model
        encoded = encode_documents(
            documents, model.label_space, model.tokenizer, model.config.text
        )
        assert encoded.examples.windows is not None
        return list(encoded.examples.windows)

    def bucket(self, windows: Windows) -> Bucket:
        """The smallest bucket that a text fits into.

        Raises:
            RefusedError: there is none.
        """
        size = max(len(windows), 1), max(map(len, windows), default=1)
        for bucket in self.buckets:
            if fits(size, bucket):
                return bucket
        raise RefusedError(
            422,
            f"a text must have at most {self.buckets[-1][1]:,} words and parts of "
            f"words that the model reads; got {size[1]:,}",
            "too_many_tokens",
        )

    def rows_of(self, bucket: Bucket) -> Sequence[int]:
        """Return the numbers of texts of a bucket that may be scored together."""
        return rows_of(bucket, self.rows) if self.compiled else self.rows

    def score(
        self, documents: Sequence[Document], windows: Sequence[Windows], bucket: Bucket
    ) -> Predictions:
        """Predictions of as many texts as a batch has rows."""
        examples = self.model.network.examples(windows, bucket)
        count = len(documents)
        return self.model.predict_examples(documents, examples, batch_size=count)


def _placed(
    model: LabelModel | MemoryModel, rows: tuple[int, ...], count: int
) -> LabelModel | MemoryModel:
    """The model with its parameters on the device and its encoders limited."""
    network = model.network
    changes: dict[str, Any] = {
        "params": compile_probabilities(network.classifier.apply).place_params(
            network.params
        )
    }
    if network.encoder is not None:
        known = lengths(network.config.text.max_length, count)
        changes["encoder"] = dataclasses.replace(
            network.encoder, rows=rows, lengths=known, cache=None
        )
    network = dataclasses.replace(network, **changes)
    if isinstance(model, LabelModel):
        return network
    memory = model.memory
    assert memory is not None
    if isinstance(memory.reader, FrozenReader):
        reader = memory.reader
        longest = min(reader.max_length, reader.encoder.shape.max_positions // 8 * 8)
        encoder = dataclasses.replace(
            reader.encoder, rows=rows, lengths=lengths(longest, count), cache=None
        )
        reader = dataclasses.replace(reader, encoder=encoder)
        memory = dataclasses.replace(memory, reader=reader)
    return dataclasses.replace(model, inner=network, memory=memory, **changes)


class Scorer:
    """A model, or an ensemble of several, behind shapes that are compiled beforehand.

    Attributes:
        model: whose labels and decision count.
        members: the models that score.
        costs: seconds of a batch, per member, bucket and rows; from `compile_all`.
    """

    what = "text"

    def __init__(self, model: Model, limits: Limits) -> None:
        self.model = model
        joined = isinstance(model, Ensemble)
        parts = model.members if isinstance(model, Ensemble) else (model,)
        self.members = tuple(Member(part, limits) for part in parts)
        if not joined:
            self.model = self.members[0].model
        self.costs: list[dict[Bucket, dict[int, float]]] = [{} for _ in self.members]
        self._of_keys: dict[tuple[Bucket, ...], Costs] = {}

    @property
    def about(self) -> dict[str, Any]:
        """Facts that /model tells."""
        return about_model(self.model)

    @cached_property
    def encoders(self) -> list[FrozenEncoder]:
        """Those that are compiled by themselves."""
        found = []
        for member in self.members:
            if member.model.encoder is not None:
                found.append(member.model.encoder)
            reader = getattr(member.model.memory, "reader", None)
            if isinstance(reader, FrozenReader):
                found.append(reader.encoder)
        return found

    def shapes(self) -> Iterator[tuple[int, Bucket, int]]:
        """Member, bucket and rows of all that is compiled."""
        for number, member in enumerate(self.members):
            for bucket in member.buckets:
                for rows in member.rows_of(bucket):
                    yield number, bucket, rows

    def compile_all(self, going_on: Callable[[], bool] = lambda: True) -> int:
        """Score a batch of every shape, and again to learn what it costs.

        Args:
            going_on: asked before each; false breaks off.

        Returns:
            How many shapes there are.
        """
        for encoder in self.encoders:
            if not going_on():
                return 0
            encoder.compile_all()
        count = 0
        for number, bucket, rows in self.shapes():
            if not going_on():
                return 0
            member = self.members[number]
            # What is not padded takes as long as it has tokens: those of a usual text.
            usual = member.model.config.text.max_length
            tokens = np.ones(bucket[1] if member.compiled else usual, np.int32)
            windows = [[tokens] * bucket[0]] * rows
            documents = [Document("0", "text", ())] * rows
            member.score(documents, windows, bucket)
            took = float("inf")
            for _ in range(TIMED):
                started = time.perf_counter()
                member.score(documents, windows, bucket)
                took = min(took, time.perf_counter() - started)
            self.costs[number].setdefault(bucket, {})[rows] = took
            count += 1
        # Decisions and what is written compile nothing, but import a little.
        texts = [text for text in self.read(["text"]) if isinstance(text, Text)]
        self.answer(texts, [Asked()])
        return count

    def cost(self, key: tuple[Bucket, ...]) -> Costs:
        """Seconds of a batch of a key, by its rows."""
        if key not in self._of_keys:
            each = [self.costs[i][bucket] for i, bucket in enumerate(key)]
            shared = set.intersection(*(set(costs) for costs in each))
            sums = {rows: sum(costs[rows] for costs in each) for rows in sorted(shared)}
            self._of_keys[key] = sums
        return self._of_keys[key]

    def join(self, keys: Sequence[tuple[Bucket, ...]]) -> tuple[Bucket, ...]:
        """The smallest key that texts of all these fit into."""
        if len(keys) == 1:
            return keys[0]
        found = []
        for member, own in zip(self.members, zip(*keys, strict=True), strict=True):
            size = max(b[0] for b in own), max(b[1] for b in own)
            found.append(next(b for b in member.buckets if fits(size, b)))
        return tuple(found)

    def read(self, texts: Sequence[str]) -> list[Text | RefusedError]:
        """Texts as the members read them, or why one is not read."""
        documents = [Document(str(i), text, ()) for i, text in enumerate(texts)]
        read = [member.read(documents) for member in self.members]
        found: list[Text | RefusedError] = []
        for document, *windows in zip(documents, *read, strict=True):
            pairs = zip(self.members, windows, strict=True)
            try:
                own = tuple(member.bucket(each) for member, each in pairs)
            except RefusedError as refused:
                found.append(refused)
            else:
                found.append(Text(document, tuple(windows), own))
        return found

    def answer(
        self, texts: Sequence[Text], asked: Sequence[Asked]
    ) -> list[dict[str, object]]:
        """Return what `labelgraph predict` writes of each text, and requested extras.

        Args:
            texts: at most as many as the largest batch of their buckets.
            asked: of each.
        """
        count = len(texts)
        key = self.join([text.buckets for text in texts])
        rows = count
        if any(member.compiled for member in self.members):
            rows = min(n for n in self._rows(key) if n >= count)
        filled = [*texts, *[texts[-1]] * (rows - count)]
        documents = [text.document for text in filled]
        scored = [
            member.score(documents, [text.windows[i] for text in filled], key[i])
            for i, member in enumerate(self.members)
        ]
        return self._rows_of(texts, asked, scored)

    def _rows(self, key: tuple[Bucket, ...]) -> list[int]:
        each = [
            set(member.rows_of(bucket))
            for member, bucket in zip(self.members, key, strict=True)
        ]
        return sorted(set.intersection(*each))

    def _rows_of(
        self,
        texts: Sequence[Text],
        asked: Sequence[Asked],
        scored: list[Predictions],
    ) -> list[dict[str, object]]:
        model, predictions = self.model, scored[0]
        if isinstance(model, Ensemble):
            predictions = model.combine([each.probabilities for each in scored])
        rows = []
        for row, (text, each) in enumerate(zip(texts, asked, strict=True)):
            own = predictions.rows(slice(row, row + 1))
            rows += prediction_rows(
                model,
                [text.document],
                own,
                all_scores=each.scores,
                top_k=each.top_k,
            )
            if each.columns:
                rows[-1]["label_scores"] = {
                    model.labels[i]: round(float(own.probabilities[0, i]), 6)
                    for i in each.columns
                }
        return rows
