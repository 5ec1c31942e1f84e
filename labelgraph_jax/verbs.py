"""What can be typed after `labelgraph`: one dataclass per verb, one field per option.

Reading this costs no import that a model needs, so that help comes at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union

import tyro

from labelgraph_jax.config import (
    Config,
    DataConfig,
    GraphConfig,
    HeadConfig,
    LossConfig,
    MemoryConfig,
    MixtureConfig,
    TableConfig,
    TextConfig,
    ThresholdConfig,
    TrainingConfig,
)
from labelgraph_jax.run_settings import RunConfig

DEFAULT_WORKDIR = "workdirs/default"


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train on labelled texts or on a table, evaluate on the test split, save it.

    Without options: the embedded corpus `stdlib_docs`, under three minutes on two
    CPU cores. The same command in the same work directory resumes.

    Examples:
      labelgraph train
      labelgraph train --data train.jsonl --workdir runs/mine --baseline
      labelgraph train --corpus reuters21578 --preset minilm-finetune --workdir runs/r
      labelgraph train --graph.layers 0 --workdir runs/no-graph
      labelgraph train --data clicks.parquet --task click=binary --task rating=squared
    """

    workdir: str = DEFAULT_WORKDIR
    """Where checkpoints, metrics and results go; created if absent."""
    preset: str = ""
    """Start from a named configuration; `labelgraph config --list` prints them."""
    config: str = ""
    """Start from a JSON configuration, such as another run's config.json."""
    baseline: bool = False
    """Also train TF-IDF + one-vs-rest linear SVM on the same split; on a table a linear
    model and gradient boosting per target."""
    json: bool = False
    """Print the results as JSON."""
    quiet: bool = False
    """No progress."""
    report: bool = True
    """Write report.html at the end, as `labelgraph report` does."""
    data_config: Annotated[DataConfig, tyro.conf.arg(name="")] = field(
        default_factory=DataConfig
    )
    text: TextConfig = field(default_factory=TextConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    table: TableConfig = field(default_factory=TableConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    run: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Will a run work here? Processes, devices, versions, folders, interconnect.

    Start it like the run itself, on every worker.

    Examples:
      labelgraph doctor
      srun labelgraph doctor --workdir /shared/runs/mine
    """

    workdir: str = ""
    """Also try this folder: writable, the same on every process, held by no run?"""
    megabytes: int = 16
    """MiB per device of the timed all-reduce."""
    coordinator: str = ""
    """HOST:PORT of process 0, as of `train`."""
    processes: int | None = None
    process_id: int | None = None
    timeout: int = 300
    """Seconds to wait for the other processes."""
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Join finished runs into one model: their logits, weighed on validation.

    The runs must have the same labels, documents and split. What comes out is a work
    directory like any other.

    Example:
      labelgraph ensemble runs/both runs/finetuned runs/bag
    """

    workdir: tyro.conf.Positional[str]
    runs: tyro.conf.Positional[tuple[str, ...]]
    """Work directories of finished runs, two or more."""
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluate a trained model: on its own test split, or on a file.

    Examples:
      labelgraph evaluate runs/mine
      labelgraph evaluate runs/mine --data other.jsonl --json
    """

    workdir: tyro.conf.Positional[str]
    data: str = ""
    """A labelled file; without it the run's own test split."""
    data_dir: str = ""
    """Folder of local corpus copies, where it has moved since training."""
    batch_size: int = 0
    """Documents per batch; the run's own when 0. It does not change the numbers."""
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Predict labels for raw text: JSONL out, one object per document.

    Examples:
      labelgraph predict runs/mine new.jsonl > predictions.jsonl
      labelgraph predict runs/clicks rows.csv > predictions.jsonl
      echo "Wheat exports rose in March" | labelgraph predict runs/mine
    """

    workdir: tyro.conf.Positional[str]
    file: tyro.conf.Positional[str] = "-"
    """JSONL, TSV, CSV, parquet or plain text (one document a line); of a run over
    features LIBSVM; - reads lines from standard input (of a run over a table CSV)."""
    format: str = ""
    """jsonl, tsv, csv, parquet, svm or txt, where the name does not tell; standard
    input is txt, csv for a run over a table, or svm for one over features, unless
    this says otherwise."""
    output: str = "-"
    """Output file; - writes to standard output."""
    scores: bool = False
    """Also write the probability of every label."""
    top_k: int = 0
    """Write the k most probable labels instead of those above their threshold."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a trained model as a directory that jax alone can load.

    StableHLO for CPU, GPU and TPU, weights, tokenizer, labels, thresholds, a model card
    and a script that predicts with them. It is compared with `predict` on every test
    document, and not left where a probability differs by more than 1e-5.

    Examples:
      labelgraph export runs/mine exported/mine
      python exported/mine/load_example.py "Wheat exports rose in March"
      labelgraph export runs/mine exported/mine --check 500
    """

    workdir: tyro.conf.Positional[str]
    out: tyro.conf.Positional[str]
    """A directory that is absent or empty."""
    data: str = ""
    """A labelled file to compare on; without it the run's own test split."""
    data_dir: str = ""
    """Folder of local corpus copies, where it has moved since training."""
    check: int = 0
    """Compare on so many documents, spread evenly; on all when 0."""
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Gates:
    """See the gates of a run that has a mixture of experts: who uses which expert.

    Mean weight of every expert in every task, how much it varies from row to row, how
    alike the tasks' gates are, and what looks like a collapse.

    Examples:
      labelgraph gates runs/sets
      labelgraph gates runs/sets --data new.jsonl --figure gates.png --out gates.json
    """

    workdir: tyro.conf.Positional[str]
    data: str = ""
    """A file of rows or documents; without it the run's own test split."""
    data_dir: str = ""
    """Folder of local corpus copies, where it has moved since training."""
    figure: str = ""
    """Draw experts x tasks as a .png, .svg or .pdf."""
    out: str = ""
    """Write the report as JSON."""
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Build a label graph from the training documents; look at it, save it.

    Or look at one that was saved, or at what training did to a run's own.

    Examples:
      labelgraph graph mine.jsonl --out graph.npz
      labelgraph graph reuters21578 --initialisation thresholded --tau 0.4
      labelgraph train --graph.initialisation file --graph.adjacency-file graph.npz
      labelgraph graph graph.npz
      labelgraph graph runs/mine
    """

    source: tyro.conf.Positional[str]
    """A file, the name of a corpus, a saved .npz, or a work directory."""
    out: str = ""
    """Save the adjacency here (.npz); of a work directory the learned one."""
    initialisation: Literal[
        "cooccurrence",
        "identity",
        "random",
        "xavier",
        "thresholded",
        "taxonomy",
        "similarity",
    ] = "cooccurrence"
    """How the adjacency is built, as graph.initialisation of `train`."""
    tau: float = GraphConfig.tau
    """thresholded: smallest conditional probability that counts as an edge."""
    p: float = GraphConfig.p
    """thresholded: share of a label's message that comes from its neighbours."""
    neighbours: int = GraphConfig.neighbours
    """similarity: how many of the labels most alike a label receives from."""
    seed: int = TrainingConfig.seed
    """random, xavier: seed of the draw."""
    edges: int = 10
    """How many of the strongest edges to print."""
    data_config: Annotated[DataConfig, tyro.conf.arg(name="")] = field(
        default_factory=DataConfig
    )
    text: TextConfig = field(default_factory=TextConfig)
    json: bool = False

    def settings(self, data: DataConfig | None = None) -> Config:
        """The run that would start from this graph."""
        return Config(
            data=data or DataConfig(),
            text=self.text,
            graph=GraphConfig(
                initialisation=self.initialisation,
                tau=self.tau,
                p=self.p,
                neighbours=self.neighbours,
            ),
            training=TrainingConfig(seed=self.seed),
        )


@dataclass(frozen=True, kw_only=True)
class DataStats:
    """Tell what a corpus or file holds: documents, labels, lengths, problems.

    With tasks of a table: how its tasks and columns would be read.

    Examples:
      labelgraph data stats mine.jsonl
      labelgraph data stats clicks.parquet --task click=binary --task rating=auto
    """

    source: tyro.conf.Positional[str]
    """A file, or the name of a corpus."""
    data_config: Annotated[DataConfig, tyro.conf.arg(name="")] = field(
        default_factory=DataConfig
    )
    table: TableConfig = field(default_factory=TableConfig)
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class DataValidate:
    """Check a corpus or file; exit code 2 where training on it would fail."""

    source: tyro.conf.Positional[str]
    data_config: Annotated[DataConfig, tyro.conf.arg(name="")] = field(
        default_factory=DataConfig
    )
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class DataExport:
    """Write a split of a corpus as JSONL.

    Example:
      labelgraph data export stdlib_docs --split test --out test.jsonl
    """

    source: tyro.conf.Positional[str]
    out: str
    """Output file: .jsonl, .jsonl.gz or .jsonl.xz."""
    split: str = "test"
    """train, validation or test."""
    data_config: Annotated[DataConfig, tyro.conf.arg(name="")] = field(
        default_factory=DataConfig
    )


@dataclass(frozen=True, kw_only=True)
class DataList:
    """Name the corpora that can be loaded."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Put a memory beside a finished run's classifier: no training is done.

    Its weights are chosen and the thresholds fitted again on validation documents, and
    the test split is measured again. `train --memory.kind pretrained` does it at once.

    Examples:
      labelgraph memory runs/mine
      labelgraph memory runs/mine --memory.kind documents
      labelgraph memory runs/mine --memory.kind none
    """

    workdir: tyro.conf.Positional[str]
    memory: MemoryConfig = field(
        default_factory=lambda: MemoryConfig(kind="pretrained")
    )
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write one page on a finished run that opens without a network, and its pictures.

    Learning curves, metrics with intervals, every label, calibration, thresholds,
    confusion, the label graph before and after training, and the worst documents.

    Examples:
      labelgraph report runs/mine
      labelgraph report runs/mine --out shown/mine --data other.jsonl
    """

    workdir: tyro.conf.Positional[str]
    out: str = ""
    """Folder of report.html and report/*.png; the work directory when empty."""
    data: str = ""
    """A labelled file to report on; without it the run's own test split."""
    data_dir: str = ""
    """Folder of local corpus copies, where it has moved since training."""
    json: bool = False
    """Print where everything is, and the metrics with their intervals, as JSON."""


@dataclass(frozen=True, kw_only=True)
class LabelsAdd:
    """Add labels that training never saw; they are known by their text.

    Examples:
      labelgraph labels add runs/mine new.jsonl
      labelgraph labels add runs/mine --label whaling --description "Hunting of whales"
    """

    workdir: tyro.conf.Positional[str]
    file: tyro.conf.Positional[str] = ""
    """JSONL {"name", "description", "parents"}, or TSV name<TAB>description."""
    label: str = ""
    """The name of one label, in place of a file."""
    description: str = ""
    """What it means."""


@dataclass(frozen=True, kw_only=True)
class LabelsList:
    """Name the labels of a model, and which of them were added."""

    workdir: tyro.conf.Positional[str]
    added: bool = False
    """Only those that were added."""
    json: bool = False


@dataclass(frozen=True, kw_only=True)
class LabelsRemove:
    """Take labels away that were added.

    Example:
      labelgraph labels remove runs/mine whaling
    """

    workdir: tyro.conf.Positional[str]
    names: tyro.conf.Positional[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """Print a configuration as JSON: the default, a preset, or a run's own.

    Examples:
      labelgraph config > mine.json && labelgraph train --config mine.json
      labelgraph config --list
    """

    workdir: tyro.conf.Positional[str] = ""
    preset: str = ""
    list: bool = False
    """Name the presets, what each reproduces and what it costs."""


def verbs(start: Config) -> Any:
    """The union of verbs, `train` starting from the configuration `start`."""
    train = Train(
        data_config=start.data,
        text=start.text,
        graph=start.graph,
        head=start.head,
        mixture=start.mixture,
        table=start.table,
        loss=start.loss,
        memory=start.memory,
        threshold=start.threshold,
        training=start.training,
    )
    sub = tyro.conf.subcommand
    data = Union[  # noqa: UP007 - tyro reads annotated unions at run time
        Annotated[DataStats, sub("stats")],
        Annotated[DataValidate, sub("validate")],
        Annotated[DataExport, sub("export")],
        Annotated[DataList, sub("list")],
    ]
    labels = Union[  # noqa: UP007
        Annotated[LabelsAdd, sub("add")],
        Annotated[LabelsList, sub("list")],
        Annotated[LabelsRemove, sub("remove")],
    ]
    return Union[  # noqa: UP007
        Annotated[Train, sub("train", default=train)],
        Annotated[Doctor, sub("doctor")],
        Annotated[Ensemble, sub("ensemble")],
        Annotated[Evaluate, sub("evaluate")],
        Annotated[Predict, sub("predict")],
        Annotated[Export, sub("export")],
        Annotated[Gates, sub("gates")],
        Annotated[Graph, sub("graph")],
        Annotated[data, sub("data", description="Look at, check and export a corpus.")],
        Annotated[Memory, sub("memory")],
        Annotated[Report, sub("report")],
        Annotated[labels, sub("labels", description="Labels without retraining.")],
        Annotated[ShowConfig, sub("config")],
    ]
