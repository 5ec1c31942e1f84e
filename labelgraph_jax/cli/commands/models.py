"""Verbs that use a trained model: evaluate, predict, serve, export."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from labelgraph_jax.cli.options import File, FinishedRun, Flag, Json, Quiet, Reading
from labelgraph_jax.cli.output import remarks, show, tell
from labelgraph_jax.config import ConfigError, ReadingConfig, RulesConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.deploy.serve.limits import Limits


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
    rules: RulesConfig = field(default_factory=RulesConfig)
    reading: Reading = field(default_factory=ReadingConfig)
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Evaluate, and print the results."""
        from labelgraph_jax.cli.results import print_results
        from labelgraph_jax.runs.evaluate import evaluate_workdir
        from labelgraph_jax.training.hosts import initialise, is_first

        initialise()
        results = evaluate_workdir(
            self.workdir,
            data=self.data,
            data_dir=self.data_dir,
            batch_size=self.batch_size or None,
            reading=self.reading,
            rules=self.rules,
            say=remarks(self.quiet or self.json or not is_first(), "labelgraph: "),
        )
        if not is_first():
            return 0
        return show(self, results, print_results, workdir=self.workdir)


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Predict labels for raw text: JSONL out, one object per document.

    Examples:
      labelgraph predict runs/mine new.jsonl > predictions.jsonl
      labelgraph predict runs/clicks rows.csv > predictions.jsonl
      labelgraph predict runs/mine new.jsonl --rules rules.txt > predictions.jsonl
      echo "Wheat exports rose in March" | labelgraph predict runs/mine
    """

    workdir: FinishedRun
    file: File = "-"
    """JSON, TSV, CSV, parquet or plain text (one document a line); of a run over
    features LIBSVM; - reads standard input, unless --format says otherwise txt, csv for
    a run over a table, or svm for one over features."""
    reading: Reading = field(default_factory=ReadingConfig)
    output: str = "-"
    """Output file; - writes to standard output."""
    scores: Flag = False
    """Also write the probability of every label."""
    top_k: int = 0
    """Write the k most probable labels instead of those above their threshold."""
    rules: RulesConfig = field(default_factory=RulesConfig)
    quiet: Quiet = False

    def execute(self) -> int:
        """Predict what the file holds, and write it."""
        from labelgraph_jax.predictors.workdir import Workdir
        from labelgraph_jax.runs.predict import write_predictions
        from labelgraph_jax.runs.restore import load
        from labelgraph_jax.runs.rules import model_with_rules

        if self.top_k < 0:
            raise ConfigError(f"--top-k must not be negative, got {self.top_k}")
        if self.top_k and Workdir(Path(self.workdir)).is_table:
            raise ConfigError(
                "--top-k is of labelled texts; of a table --scores writes every class"
            )
        write_predictions(
            model_with_rules(load(self.workdir), self.rules),
            self.file,
            self.output,
            reading=self.reading,
            all_scores=self.scores,
            top_k=self.top_k,
            say=remarks(self.quiet, "labelgraph: "),
        )
        return 0


@dataclass(frozen=True, kw_only=True)
class Serve:
    r"""Serve a trained model over HTTP: JSON in, JSON out, on this machine alone.

    Needs `pip install 'labelgraph_jax[serve]'`; /docs is a page about the rest.
    SIGTERM or Ctrl-C: it answers what it holds and ends; a second Ctrl-C ends it.

    Examples:
      labelgraph serve runs/mine
      labelgraph serve runs/mine --port 0 --max-batch 64 --log-requests
      curl -H 'Content-Type: application/json' http://127.0.0.1:8000/predict \
        -d '{"texts": ["Wheat exports rose in March"], "top_k": 3}'
      curl -H 'Content-Type: application/json' http://127.0.0.1:8000/predict \
        -d '{"rows": [{"age": 41, "job": "clerk"}]}'   # of a run over a table
    """

    workdir: FinishedRun
    host: str = "127.0.0.1"
    """Address to listen on. The service asks nobody who they are."""
    port: int = 8000
    """0 takes any that is free, and says which."""
    allowed_host: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A name that requests may call the service by, beside the address it listens on
    and, on this machine alone, localhost; may be repeated. * allows all."""
    quiet: Quiet = False
    log_requests: Flag = False
    """A line per request on standard error."""
    follow: Flag = False
    """Swap to every new version of the model, such as `learn` writes; POST /reload does
    so once."""
    limits: Annotated[Limits, tyro.conf.arg(name="")] = field(default_factory=Limits)

    def execute(self) -> int:
        """Serve until the service is stopped."""
        from labelgraph_jax.deploy.serve.server import serve

        return serve(
            self.workdir,
            host=self.host,
            port=self.port,
            allowed_hosts=self.allowed_host,
            limits=self.limits,
            say=remarks(self.quiet, "labelgraph: "),
            log=remarks(False, "labelgraph: ") if self.log_requests else None,
            follow=self.follow,
        )


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a trained model as a directory that jax alone can load.

    StableHLO for CPU, GPU and TPU, weights, tokenizer, labels, thresholds, a model card
    and a script that predicts with them. It is compared with `predict` on every test
    document, and not left where a probability differs by more than 1e-5; over frozen
    layers, whose vectors are rounded to float16, by more than 2e-4. Of a run over a
    table the script reads rows, and every row is held to 1e-6.

    Examples:
      labelgraph export runs/mine exported/mine
      python exported/mine/load_example.py "Wheat exports rose in March"
      labelgraph export runs/mine exported/mine --check 500
      labelgraph export runs/clicks exported/clicks
    """

    workdir: FinishedRun
    out: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="OUT")]]
    """A directory that is absent or empty; folders above it are made."""
    data: str = ""
    """A labelled file to compare on; without it the run's own test split."""
    data_dir: str = ""
    """Folder of local corpus copies, where it has moved since training."""
    check: int = 0
    """Compare on so many documents, spread evenly; on all when 0."""
    reading: Reading = field(default_factory=ReadingConfig)
    json: Json = False
    quiet: Quiet = False

    def execute(self) -> int:
        """Export the model, and say what was written."""
        from labelgraph_jax.deploy.export.export import export_model

        if self.check < 0:
            raise ConfigError(f"--check must not be negative, got {self.check}")
        manifest = export_model(
            self.workdir,
            self.out,
            data=self.data,
            data_dir=self.data_dir,
            limit=self.check,
            reading=self.reading,
            say=remarks(self.quiet),
        )
        size = sum(file["bytes"] for file in manifest["files"].values())
        check = manifest["check"]
        sentence = (
            f"{self.out}: {len(manifest['files']) + 1} files, {size / 2**20:.1f} MiB, "
            f"for {', '.join(manifest['platforms'])}; equals predict to "
            f"{check['largest_difference']:.1e} on "
            + (
                counted(check["rows"], "row")
                if "rows" in check
                else counted(check["documents"], "document")
            )
        )
        return tell(self, manifest, sentence, ascii=True)
