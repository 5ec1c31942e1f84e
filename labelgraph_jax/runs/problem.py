"""Learning problems: the parts of `fit` that differ between texts and tables."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from labelgraph_jax.config import Config
from labelgraph_jax.data.batches.batches import Examples
from labelgraph_jax.data.documents import Corpus
from labelgraph_jax.data.tables.examples import TableExamples
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.training.objectives import Batch, LossFn, Params

Say = Callable[[str], None]
Validate = Callable[[Params, Iterable[Batch]], dict[str, float]]
"""`validate(params, batches)` -> the metrics that select a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Inputs of training, none of its outputs; a `Problem` adds its own fields.

    Attributes:
        fingerprints: of each split.
        train: what is learned from.
        validation: what selects a checkpoint; empty or None where there is nothing.
        batch_size: records of a step.
        tasks: names of the label sets or tasks that gates mix experts for.
        unlabelled: documents that stand beside the labelled ones of every batch.
        unlabelled_ratio: how many of them stand beside each.
        teacher: what the average of the parameters puts into a batch, see
            `training.step`.
    """

    fingerprints: Mapping[str, str]
    train: Examples | TableExamples
    validation: Examples | TableExamples | None
    batch_size: int
    tasks: tuple[str, ...]
    unlabelled: Examples | None = None
    unlabelled_ratio: int = 1
    teacher: Callable[[Params, Batch], Batch] | None = None


class Network(Protocol):
    """Networks of texts and of tables, as training sees them."""

    @property
    def has_gates(self) -> bool:
        """True if a mixture with gates stands in it."""

    @property
    def row_offsets(self) -> np.ndarray | None:
        """First row of each column of ids in the table; None where ids are rows."""

    @property
    def hidden_tokens(self) -> float | None:
        """Share of tokens that training hides, of a network that counts tokens."""

    def apply(
        self, params: Params, batch: Batch, *, key: jax.Array | None, train: bool
    ) -> jax.Array:
        """Return the outputs of a batch."""

    def gate_weights(self, params: Params, batch: Batch) -> jax.Array:
        """Return what each task's gate gives each expert."""


Records = TypeVar("Records")
Inputs = TypeVar("Inputs", bound=Prepared)
Trained = TypeVar("Trained")


class Problem(Protocol[Records, Inputs, Trained]):
    """A learning problem, made of the resolved settings of a run.

    Two of them exist: labels of texts (`runs.labels`), tasks of a table
    (`runs.tables.problem`).
    """

    @property
    def config(self) -> Config:
        """Resolved settings."""

    @property
    def what(self) -> str:
        """The records of the run, in words: documents or rows."""

    def read(self, given: Corpus | None = None) -> Records:
        """The records that the settings name, or those that are given."""

    def fingerprints(self, records: Records) -> Mapping[str, str]:
        """Return the fingerprint of the records of each split."""

    def settled(
        self, records: Records, say: Say
    ) -> "Problem[Records, Inputs, Trained]":
        """The same with settings that are chosen by the records written out."""

    def prepare(self, records: Records, say: Say) -> Inputs:
        """Everything that training reads, in memory: a `Prepared`."""

    def save(self, place: Workdir, prepared: Inputs) -> None:
        """Save the model's description; a resumed run saves the same again."""

    def init(self, prepared: Inputs, key: jax.Array) -> Params:
        """The first parameters."""

    def network(self, prepared: Inputs) -> Network:
        """The network: `apply`, `has_gates`, `gate_weights`."""

    def objective(self, prepared: Inputs) -> LossFn:
        """`loss(params, batch, key)` -> `(loss_sum, weight_sum)`."""

    def validate(self, prepared: Inputs, mesh: Mesh) -> Validate:
        """Return the function that measures the validation records."""

    def calibrate(self, place: Workdir, prepared: Inputs, say: Say) -> Trained:
        """The trained model, restored, that decides as its validation records say."""

    def results(
        self, place: Workdir, prepared: Inputs, model: Trained
    ) -> dict[str, Any]:
        """Return the problem's part of results.json; the test split is read once."""

    def names(self, prepared: Inputs) -> tuple[str, ...]:
        """Labels or tasks, in the order of the network's outputs."""

    def names_of(self, place: Workdir) -> tuple[str, ...]:
        """The same of another run."""

    def without_graph(self) -> "Problem[Records, Inputs, Trained] | None":
        """The same problem without a label graph, where that is worth a comparison."""

    def supervised(
        self, prepared: Inputs
    ) -> "Problem[Records, Inputs, Trained] | None":
        """The same problem without unlabelled documents, where there are any."""

    def compared(
        self, place: Workdir, other: Workdir, records: Records
    ) -> dict[str, Any]:
        """Return what results.json says of the run `supervised`."""

    def baseline(
        self, place: Workdir, records: Records, say: Say, plain: Workdir | None = None
    ) -> dict[str, Any]:
        """The rivals, on the same splits; `plain` is the run `without_graph`."""
