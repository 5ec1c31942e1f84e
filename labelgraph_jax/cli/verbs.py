"""What can be typed after `labelgraph`: one dataclass per verb, one field per option.

Reading this costs no import that a model needs, so that help comes at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union

import tyro

from labelgraph_jax.cli.help_text import first_sentence
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
from labelgraph_jax.config.run import RunConfig
from labelgraph_jax.deploy.serve.limits import Limits

DEFAULT_WORKDIR = "workdirs/default"

FinishedRun = tyro.conf.Positional[
    Annotated[
        str, tyro.conf.arg(metavar="WORKDIR", help="Work directory of a finished run.")
    ]
]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
Json = Annotated[Flag, tyro.conf.arg(help="Print the result as JSON, for machines.")]
Quiet = Annotated[
    Flag, tyro.conf.arg(help="No progress and no remarks; errors and warnings come.")
]


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
    baseline: Flag = False
    """Also train TF-IDF + one-vs-rest linear SVM on the same split; on a table a linear
    model and gradient boosting per target."""
    json: Json = False
    quiet: Quiet = False
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
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Join finished runs into one model: their logits, weighed on validation.

    The runs must have the same labels, documents and split. What comes out is a work
    directory like any other.

    Example:
      labelgraph ensemble runs/both runs/finetuned runs/bag
    """

    workdir: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="WORKDIR")]]
    """Where the ensemble goes; absent or empty."""
    runs: tyro.conf.Positional[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN RUN [RUN ...]")]
    ]
    """Work directories of finished runs, two or more."""
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluate a trained model: on its own test split, or on a file.

    Examples:
      labelgraph evaluate runs/mine
      labelgraph evaluate runs/mine --data other.jsonl --json
    """

    workdir: FinishedRun
    data: str = ""
    """A labelled file; without it the run's own test split."""
    data_dir: str = ""
    """Folder of local corpus copies, where it has moved since training."""
    batch_size: int = 0
    """Documents per batch; the run's own when 0. It does not change the numbers."""
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Predict labels for raw text: JSONL out, one object per document.

    Examples:
      labelgraph predict runs/mine new.jsonl > predictions.jsonl
      labelgraph predict runs/clicks rows.csv > predictions.jsonl
      echo "Wheat exports rose in March" | labelgraph predict runs/mine
    """

    workdir: FinishedRun
    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="[FILE]")]] = "-"
    """JSONL, TSV, CSV, parquet or plain text (one document a line); of a run over
    features LIBSVM; - reads lines from standard input (of a run over a table CSV)."""
    format: str = ""
    """jsonl, tsv, csv, parquet, svm or txt, where the name does not tell; standard
    input is txt, csv for a run over a table, or svm for one over features, unless
    this says otherwise."""
    output: str = "-"
    """Output file; - writes to standard output."""
    scores: Flag = False
    """Also write the probability of every label."""
    top_k: int = 0
    """Write the k most probable labels instead of those above their threshold."""
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serve a trained model over HTTP: JSON in, JSON out, on this machine alone.

    Needs `pip install 'labelgraph_jax[serve]'`; /docs is a page about the rest.
    SIGTERM or Ctrl-C: it answers what it holds and ends; a second Ctrl-C ends it.

    Examples:
      labelgraph serve runs/mine
      labelgraph serve runs/mine --port 0 --max-batch 64 --log-requests
      curl -H 'Content-Type: application/json' http://127.0.0.1:8000/predict \\
        -d '{"texts": ["Wheat exports rose in March"], "top_k": 3}'
    """

    workdir: FinishedRun
    host: str = "127.0.0.1"
    """Address to listen on. The service asks nobody who they are."""
    port: int = 8000
    """0 takes any that is free, and says which."""
    quiet: Quiet = False
    log_requests: Flag = False
    """A line per request on standard error."""
    limits: Annotated[Limits, tyro.conf.arg(name="")] = field(default_factory=Limits)


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a trained model as a directory that jax alone can load.

    StableHLO for CPU, GPU and TPU, weights, tokenizer, labels, thresholds, a model card
    and a script that predicts with them. It is compared with `predict` on every test
    document, and not left where a probability differs by more than 1e-5; over frozen
    layers, whose vectors are rounded to float16, by more than 2e-4.

    Examples:
      labelgraph export runs/mine exported/mine
      python exported/mine/load_example.py "Wheat exports rose in March"
      labelgraph export runs/mine exported/mine --check 500
    """

    workdir: FinishedRun
    out: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="OUT")]]
    """A directory that is absent or empty."""
    data: str = ""
    """A labelled file to compare on; without it the run's own test split."""
    data_dir: str = ""
    """Folder of local corpus copies, where it has moved since training."""
    check: int = 0
    """Compare on so many documents, spread evenly; on all when 0."""
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Why these labels? Words, neighbouring labels, gates and training documents.

    For each predicted label: what every word adds to its logit, and whether that adds
    up; the labels it listens to; the gates' weights; the nearest training documents.

    Examples:
      labelgraph explain runs/mine "Wheat exports rose in March"
      labelgraph explain runs/mine "Wheat exports rose" --label corn --html why.html
      labelgraph explain runs/mine --file new.jsonl --id doc-7 --json
    """

    workdir: FinishedRun
    text: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="[TEXT]")]] = "-"
    """One document; of a run over features `id:value` pairs; - reads all of standard
    input as one document."""
    file: str = ""
    """In place of a text: a file that `predict` reads, with one document."""
    id: str = ""
    """Which document of --file."""
    label: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Explain this label in place of the predicted ones, predicted or not; may be
    repeated."""
    top_k: int = 0
    """Explain the k most probable labels in place of the predicted ones."""
    method: Literal["integrated-gradients", "gradient-x-input"] = "integrated-gradients"
    """The first adds up, the second is one gradient; both are checked."""
    steps: int = 32
    """Points on the path of integrated-gradients; doubled, up to 512, until it adds
    up."""
    neighbours: int = 5
    """Labels to name that a label listens to; 0 for none."""
    documents: int = 5
    """Nearest training documents to name; 0 for none. The first time all of them are
    encoded, and kept in the work directory."""
    html: str = ""
    """Write a page with the text highlighted."""
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class Gates:
    """See the gates of a run that has a mixture of experts: who uses which expert.

    Mean weight of every expert in every task, how much it varies from row to row, how
    alike the tasks' gates are, and what looks like a collapse.

    Examples:
      labelgraph gates runs/sets
      labelgraph gates runs/sets --data new.jsonl --figure gates.png --out gates.json
    """

    workdir: FinishedRun
    data: str = ""
    """A file of rows or documents; without it the run's own test split."""
    data_dir: str = ""
    """Folder of local corpus copies, where it has moved since training."""
    figure: str = ""
    """Draw experts x tasks as a .png, .svg or .pdf."""
    out: str = ""
    """Write the report as JSON."""
    json: Json = False
    quiet: Quiet = False


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

    source: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SOURCE")]]
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
    json: Json = False
    quiet: Quiet = False

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

    source: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SOURCE")]]
    """A file, or the name of a corpus."""
    data_config: Annotated[DataConfig, tyro.conf.arg(name="")] = field(
        default_factory=DataConfig
    )
    table: TableConfig = field(default_factory=TableConfig)
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class DataValidate:
    """Check a corpus or file; exit code 2 where training on it would fail.

    Examples:
      labelgraph data validate mine.jsonl
      labelgraph data validate mine.csv --label-delimiter ";" --json
    """

    source: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SOURCE")]]
    data_config: Annotated[DataConfig, tyro.conf.arg(name="")] = field(
        default_factory=DataConfig
    )
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class DataExport:
    """Write a split of a corpus as JSONL.

    Example:
      labelgraph data export stdlib_docs --split test --out test.jsonl
    """

    source: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SOURCE")]]
    out: str
    """Output file: .jsonl, .jsonl.gz or .jsonl.xz."""
    split: str = "test"
    """train, validation or test."""
    json: Json = False
    quiet: Quiet = False
    data_config: Annotated[DataConfig, tyro.conf.arg(name="")] = field(
        default_factory=DataConfig
    )


@dataclass(frozen=True, kw_only=True)
class DataList:
    """Name the corpora that can be loaded.

    Example:
      labelgraph data list
    """

    json: Json = False


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

    workdir: FinishedRun
    memory: MemoryConfig = field(
        default_factory=lambda: MemoryConfig(kind="pretrained")
    )
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write one page on a finished run that opens without a network, and its pictures.

    Learning curves, metrics with intervals, every label, calibration, thresholds,
    confusion, the label graph before and after training, and the worst documents.

    Examples:
      labelgraph report runs/mine
      labelgraph report runs/mine --out shown/mine --data other.jsonl
    """

    workdir: FinishedRun
    out: str = ""
    """Folder of report.html and report/*.png; the work directory when empty."""
    data: str = ""
    """A labelled file to report on; without it the run's own test split."""
    data_dir: str = ""
    """Folder of local corpus copies, where it has moved since training."""
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class LabelsAdd:
    """Add labels that training never saw; they are known by their text.

    Examples:
      labelgraph labels add runs/mine new.jsonl
      labelgraph labels add runs/mine --label whaling --description "Hunting of whales"
    """

    workdir: FinishedRun
    file: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="[FILE]")]] = ""
    """JSONL {"name", "description", "parents"}, or TSV name<TAB>description."""
    label: str = ""
    """The name of one label, in place of a file."""
    description: str = ""
    """What it means."""
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class LabelsList:
    """Name the labels of a model, and which of them were added.

    Example:
      labelgraph labels list runs/mine --added
    """

    workdir: FinishedRun
    added: Flag = False
    """Only those that were added."""
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class LabelsRemove:
    """Take labels away that were added.

    Example:
      labelgraph labels remove runs/mine whaling
    """

    workdir: FinishedRun
    names: tyro.conf.Positional[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL [LABEL ...]")]
    ]
    """Labels that `labels add` brought."""
    json: Json = False
    quiet: Quiet = False


@dataclass(frozen=True, kw_only=True)
class ShowConfig:
    """Print a configuration as JSON: the default, a preset, or a run's own.

    Examples:
      labelgraph config > mine.json && labelgraph train --config mine.json
      labelgraph config --list
    """

    workdir: tyro.conf.Positional[
        Annotated[str, tyro.conf.arg(metavar="[WORKDIR]")]
    ] = ""
    """A run whose configuration is printed."""
    preset: str = ""
    """A preset whose configuration is printed."""
    list: Flag = False
    """Name the presets, what each reproduces and what it costs."""
    json: Annotated[Flag, tyro.conf.arg(help="With --list: as JSON.")] = False


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print a script that completes commands and options in a shell.

    Examples:
      labelgraph completion bash > ~/.local/share/bash-completion/completions/labelgraph
      labelgraph completion zsh > ~/.zfunc/_labelgraph
      labelgraph completion fish > ~/.config/fish/completions/labelgraph.fish
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]


def verbs(start: Config, *, brief: bool = False) -> Any:
    """The union of verbs, `train` starting from the configuration `start`.

    With `brief` each is described by its first sentence, for the list of all.
    """
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

    def sub(name: str, verb: type, **options: Any) -> Any:
        if brief:
            options["description"] = first_sentence(verb)
        return Annotated[verb, tyro.conf.subcommand(name, **options)]

    def group(name: str, description: str, parts: Any) -> Any:
        return Annotated[parts, tyro.conf.subcommand(name, description=description)]

    data = Union[  # noqa: UP007 - tyro reads annotated unions at run time
        sub("stats", DataStats),
        sub("validate", DataValidate),
        sub("export", DataExport),
        sub("list", DataList),
    ]
    labels = Union[  # noqa: UP007
        sub("add", LabelsAdd),
        sub("list", LabelsList),
        sub("remove", LabelsRemove),
    ]
    return Union[  # noqa: UP007
        sub("train", Train, default=train),
        sub("doctor", Doctor),
        sub("ensemble", Ensemble),
        sub("evaluate", Evaluate),
        sub("predict", Predict),
        sub("report", Report),
        sub("explain", Explain),
        sub("export", Export),
        sub("serve", Serve),
        sub("gates", Gates),
        sub("graph", Graph),
        group("data", "Look at, check and export a corpus.", data),
        sub("memory", Memory),
        group("labels", "Labels without retraining.", labels),
        sub("config", ShowConfig),
        sub("completion", Completion),
    ]
