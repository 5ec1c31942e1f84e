"""Verbs that show what a model does: report, explain, gates, graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from labelgraph_jax.cli.commands.data import source_config
from labelgraph_jax.cli.options import Data, FinishedRun, Json, Quiet, Reading, Source
from labelgraph_jax.cli.output import remarks, show, tell
from labelgraph_jax.config import (
    Config,
    ConfigError,
    DataConfig,
    GraphConfig,
    ReadingConfig,
    TextConfig,
    TrainingConfig,
)


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
    reading: Reading = field(default_factory=ReadingConfig)
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Write the report, and say where it is and what it leaves out."""
        from labelgraph_jax.inspection.report import write_report

        written = write_report(
            self.workdir,
            out=self.out,
            data=self.data,
            data_dir=self.data_dir,
            reading=self.reading,
            say=remarks(self.quiet, "labelgraph: "),
        )
        left_out = () if written.report.is_table else written.report.sections().items()
        size = written.page.stat().st_size / 1e6
        return tell(
            self,
            written,
            *(f"no {name}: {why}" for name, why in left_out if why),
            f"{written.page}: {size:.1f} MB, {len(written.pictures)} pictures beside "
            f"it, in {written.seconds:.1f} s",
            ascii=True,
        )


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Explain predicted labels: words, neighbouring labels, gates, training documents.

    For each predicted label: the contribution of every word to its logit, with a check
    that they add up; the labels it receives from; the gates' weights; the nearest
    training documents.

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
    """Id of the document to explain in --file."""
    reading: Reading = field(default_factory=ReadingConfig)
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
    """Labels to name that a label receives from; 0 for none."""
    documents: int = 5
    """Nearest training documents to name; 0 for none. The first time all of them are
    encoded, and kept in the work directory."""
    html: str = ""
    """Write a page with the text highlighted."""
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Explain one document, and print why it got its labels."""
        from labelgraph_jax.cli.explanation import print_explanation
        from labelgraph_jax.inspection.explain.command import explain_command

        explanation = explain_command(
            self.workdir,
            self.text,
            file=self.file,
            id=self.id,
            reading=self.reading,
            html=self.html,
            labels=self.label,
            top_k=self.top_k,
            method=self.method,
            steps=self.steps,
            neighbours=self.neighbours,
            documents=self.documents,
            say=remarks(self.quiet, "labelgraph: "),
        )
        return show(self, explanation, print_explanation, ascii=False, html=self.html)


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
    reading: Reading = field(default_factory=ReadingConfig)
    figure: str = ""
    """Draw experts x tasks as a .png, .svg or .pdf."""
    out: str = ""
    """Write the report as JSON."""
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Measure the gates, and print, draw and write what was measured."""
        from labelgraph_jax.cli.gates import print_gates
        from labelgraph_jax.inspection.gates import draw_gates, run_gates, write_gates

        report = run_gates(
            self.workdir,
            data=self.data,
            data_dir=self.data_dir,
            reading=self.reading,
        )
        if self.figure:
            draw_gates(report, self.figure)
        if self.out:
            write_gates(report, self.out)
        return show(self, report, print_gates, out=self.out, figure=self.figure)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Build a label graph from the training documents; look at it, save it.

    Or look at one that was saved, or at what training did to a run's own. With the word
    `worth` in place of a source: what a graph would gain on labelled texts, by
    cross-validation on at most 3,000 training documents, with no encoder.

    Examples:
      labelgraph graph mine.jsonl --out graph.npz
      labelgraph graph worth --data mine.jsonl
      labelgraph graph reuters21578 --initialisation thresholded --tau 0.4
      labelgraph train --graph.initialisation file --graph.adjacency-file graph.npz
      labelgraph graph graph.npz
      labelgraph graph runs/mine
    """

    source: Source
    """A file, the name of a corpus, a saved .npz, a work directory; or `worth`."""
    out: str = ""
    """Save the adjacency here (.npz); of a work directory the learned one. `worth`: the
    answer (.json)."""
    initialisation: Literal[
        "cooccurrence",
        "identity",
        "random",
        "xavier",
        "thresholded",
        "taxonomy",
        "similarity",
    ] = "cooccurrence"
    """Start of the adjacency, as graph.initialisation of `train`."""
    tau: float = GraphConfig.tau
    """thresholded: smallest conditional probability that counts as an edge."""
    p: float = GraphConfig.p
    """thresholded: share of a label's message that comes from its neighbours."""
    neighbours: int = GraphConfig.neighbours
    """similarity: how many of the labels most alike a label receives from."""
    seed: int = TrainingConfig.seed
    """random, xavier: seed of the draw."""
    edges: int = 10
    """Number of strongest edges to print."""
    data_config: Data = field(default_factory=DataConfig)
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

    def execute(self) -> int:
        """Build or read the graph, print it, and save it where that is asked for."""
        from labelgraph_jax.cli.graph import print_graph
        from labelgraph_jax.data.corpora import corpus_names
        from labelgraph_jax.data.readers.xmc_folder import is_xmc_folder
        from labelgraph_jax.inspection.graph.sources import (
            built_graph,
            run_graph,
            saved_graph,
        )
        from labelgraph_jax.runs.adjacency_file import write_adjacency

        if self.source == "worth":
            return self.worth()
        # The source is a saved graph, a run, or documents.
        path = Path(self.source)
        is_saved = path.suffix.lower() == ".npz"
        is_run = path.is_dir() and self.source not in corpus_names()
        is_run = is_run and not is_xmc_folder(path)
        # Refuse options that have no effect on such a source, or a wrong value.
        if (is_saved or is_run) and self.settings() != Graph(source="").settings():
            raise ConfigError(
                f"{self.source}: has its graph already; --initialisation, --tau, --p, "
                "--neighbours, --seed and --text are for one built from documents"
            )
        if self.out and not self.out.lower().endswith(".npz"):
            raise ConfigError(f"--out must end in .npz, got {self.out!r}")
        if self.edges < 0:
            raise ConfigError(f"--edges must not be negative, got {self.edges}")
        # Read or build the graph, save and print it.
        if is_saved:
            found = saved_graph(path, strongest=self.edges)
        elif is_run:
            found = run_graph(path, strongest=self.edges)
        else:
            data = source_config(self.source, self.data_config)
            found = built_graph(self.settings(data), strongest=self.edges)
        if self.out:
            write_adjacency(self.out, found.labels, found.adjacency, found.about)
        return show(self, found.report, print_graph, out=self.out)

    def worth(self) -> int:
        """Find out what a label graph is worth, and print and write the answer."""
        from labelgraph_jax.cli.graph import print_worth
        from labelgraph_jax.data.files import write_json
        from labelgraph_jax.runs.graph_worth import graph_results, weigh_graph

        plain = Graph(source="", seed=self.seed)
        if self.settings() != plain.settings() or self.edges != plain.edges:
            raise ConfigError(
                "graph worth tries all forms and adjacencies: --initialisation, --tau, "
                "--p, --neighbours, --edges and --text are for one graph"
            )
        if self.out and not self.out.lower().endswith(".json"):
            raise ConfigError(f"--out of graph worth must end in .json, got {self.out}")
        if not Path(self.out).parent.is_dir():  # before minutes of work
            raise ConfigError(f"--out: its folder must be there, got {self.out}")
        config = self.settings(self.data_config)
        found = graph_results(weigh_graph(config, remarks(self.quiet)))
        if self.out:
            write_json(Path(self.out), found)
        return show(self, found, print_worth, out=self.out)
