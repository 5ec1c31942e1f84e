"""`labelgraph`: train, evaluate, predict and look at data, from a terminal.

Exit codes: 0 done, 2 the input or a setting is wrong (one line says what and where),
130 stopped by the user (rerun the command to go on).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import sys
import textwrap
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Union

import tyro

from labelgraph_jax.config import (
    Config,
    ConfigError,
    DataConfig,
    GraphConfig,
    HeadConfig,
    LossConfig,
    TextConfig,
    ThresholdConfig,
    TrainingConfig,
    read_config,
    to_dict,
)
from labelgraph_jax.huge_pages import start_over_with_huge_pages
from labelgraph_jax.presets import PRESETS, preset

DEFAULT_WORKDIR = "workdirs/default"


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a label-graph classifier, evaluate it on the test split, save it.

    Without options: the embedded corpus `stdlib_docs`, under three minutes on two
    CPU cores. The same command in the same work directory resumes.

    Examples:
      labelgraph train
      labelgraph train --data train.jsonl --workdir runs/mine --baseline
      labelgraph train --corpus reuters21578 --preset minilm-finetune --workdir runs/r
      labelgraph train --graph.layers 0 --workdir runs/no-graph
    """

    workdir: str = DEFAULT_WORKDIR
    """Where checkpoints, metrics and results go; created if absent."""
    preset: str = ""
    """Start from a named configuration; `labelgraph config --list` prints them."""
    config: str = ""
    """Start from a JSON configuration, such as another run's config.json."""
    baseline: bool = False
    """Also train TF-IDF + one-vs-rest linear SVM on the same split."""
    json: bool = False
    """Print the results as JSON."""
    quiet: bool = False
    """No progress."""
    data_config: Annotated[DataConfig, tyro.conf.arg(name="")] = field(
        default_factory=DataConfig
    )
    text: TextConfig = field(default_factory=TextConfig)
    graph: GraphConfig = field(default_factory=GraphConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


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
      echo "Wheat exports rose in March" | labelgraph predict runs/mine
    """

    workdir: tyro.conf.Positional[str]
    file: tyro.conf.Positional[str] = "-"
    """JSONL, TSV, CSV, parquet or plain text (one document a line); - reads lines
    from standard input."""
    format: str = ""
    """jsonl, tsv, csv, parquet or txt, where the name does not tell; standard input
    is txt unless this says otherwise."""
    output: str = "-"
    """Output file; - writes to standard output."""
    scores: bool = False
    """Also write the probability of every label."""
    top_k: int = 0
    """Write the k most probable labels instead of those above their threshold."""


@dataclass(frozen=True, kw_only=True)
class DataStats:
    """Tell what a corpus or file holds: documents, labels, lengths, problems."""

    source: tyro.conf.Positional[str]
    """A file, or the name of a corpus."""
    data_config: Annotated[DataConfig, tyro.conf.arg(name="")] = field(
        default_factory=DataConfig
    )
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


def _verbs(start: Config) -> Any:
    """The union of verbs, `train` starting from the configuration `start`."""
    train = Train(
        data_config=start.data,
        text=start.text,
        graph=start.graph,
        head=start.head,
        loss=start.loss,
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
    return Union[  # noqa: UP007
        Annotated[Train, sub("train", default=train)],
        Annotated[Evaluate, sub("evaluate")],
        Annotated[Predict, sub("predict")],
        Annotated[data, sub("data", description="Look at, check and export a corpus.")],
        Annotated[ShowConfig, sub("config")],
    ]


def main(arguments: list[str] | None = None) -> None:
    """Runs one verb; ends the process with its exit code."""
    if arguments is None:
        arguments = sys.argv[1:]
        if arguments[:1] in (["train"], ["evaluate"], ["predict"]):
            start_over_with_huge_pages()
    sys.exit(run(list(arguments)))


def run(arguments: list[str]) -> int:
    """Runs one verb and returns its exit code.

    A `ValueError`, and so every error that a person's input can cause, becomes one
    line on standard error; set LABELGRAPH_TRACEBACK=1 to see where it came from.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _dispatch(arguments)
    except KeyboardInterrupt:
        print("labelgraph: stopped; run the command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output went away (`labelgraph predict ... | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        if os.environ.get("LABELGRAPH_TRACEBACK"):
            raise
        print(f"labelgraph: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except SystemExit as error:
        # From the parser of the command line, which has said why.
        return error.code if isinstance(error.code, int) else 2


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _say(f"labelgraph: warning: {' '.join(str(message).split())}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _starting_config(arguments: list[str]) -> Config:
    """The configuration that --preset or --config of `train` names."""
    chosen = {"preset": "", "config": ""}
    for position, argument in enumerate(arguments):
        for name in chosen:
            if argument == f"--{name}" and position + 1 < len(arguments):
                chosen[name] = arguments[position + 1]
            elif argument.startswith(f"--{name}="):
                chosen[name] = argument.split("=", 1)[1]
    if chosen["preset"] and chosen["config"]:
        raise ConfigError("--preset and --config both name a configuration; give one")
    if chosen["preset"]:
        return preset(chosen["preset"])
    return read_config(chosen["config"]) if chosen["config"] else Config()


def _dispatch(arguments: list[str]) -> int:
    if arguments in (["--version"], ["-V"]):
        from labelgraph_jax import __version__

        print(f"labelgraph {__version__}")
        return 0
    is_train = arguments[:1] == ["train"]
    start = _starting_config(arguments[1:]) if is_train else Config()
    verb = _parse(start, arguments)
    handlers: dict[type, Callable[[Any], int]] = {
        Train: _train,
        Evaluate: _evaluate,
        Predict: _predict,
        DataStats: _data_stats,
        DataValidate: _data_validate,
        DataExport: _data_export,
        DataList: _data_list,
        ShowConfig: _show_config,
    }
    return handlers[type(verb)](verb)


def _parse(start: Config, arguments: list[str]) -> Any:
    """The verb that the arguments name, with its options.

    Raises:
        ConfigError: options that contradict each other or lie out of range; the parser
            would say so in a box that names its own parts.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                _verbs(start),
                args=arguments,
                prog="labelgraph",
                description="Multi-label text classification in which the labels "
                "form a graph.",
            )
    except SystemExit as end:
        cause: BaseException | None = end
        while cause is not None:
            if isinstance(cause, ConfigError):
                raise cause from None
            cause = cause.__context__
        sys.stderr.write(said.getvalue())
        raise


def _train(verb: Train) -> int:
    from labelgraph_jax.fit import fit
    from labelgraph_jax.tables import print_results

    config = Config(
        data=verb.data_config,
        text=verb.text,
        graph=verb.graph,
        head=verb.head,
        loss=verb.loss,
        threshold=verb.threshold,
        training=verb.training,
    )
    results = fit(
        config,
        verb.workdir,
        baseline=verb.baseline,
        progress=not (verb.quiet or verb.json),
        say=(lambda line: None) if verb.quiet else _say,
    )
    if verb.json:
        print(json.dumps(results, indent=2))
    else:
        print_results(results, workdir=verb.workdir)
    return 0


def _evaluate(verb: Evaluate) -> int:
    from labelgraph_jax.evaluation import evaluate_workdir
    from labelgraph_jax.tables import print_results

    results = evaluate_workdir(
        verb.workdir,
        data=verb.data,
        data_dir=verb.data_dir,
        batch_size=verb.batch_size or None,
    )
    if verb.json:
        print(json.dumps(results, indent=2))
    else:
        print_results(results, workdir=verb.workdir)
    return 0


def _predict(verb: Predict) -> int:
    from labelgraph_jax.predict import load, write_predictions

    if verb.top_k < 0:
        raise ConfigError(f"--top-k must not be negative, got {verb.top_k}")
    model = load(verb.workdir)
    write_predictions(
        model,
        verb.file,
        verb.output,
        format=verb.format or None,
        all_scores=verb.scores,
        top_k=verb.top_k,
    )
    return 0


def _source_config(source: str, data_config: DataConfig) -> DataConfig:
    """`source` as the corpus or file of a data configuration."""
    from labelgraph_jax.data.corpora import corpus_names

    if source in corpus_names():
        return dataclasses.replace(data_config, corpus=source, data="")
    if not Path(source).exists():
        raise ConfigError(
            f"{source}: neither a file nor a corpus; the corpora are "
            f"{', '.join(corpus_names())}"
        )
    return dataclasses.replace(data_config, data=source)


def _data_stats(verb: DataStats) -> int:
    from labelgraph_jax.data.statistics import corpus_statistics
    from labelgraph_jax.prepare import read_corpus
    from labelgraph_jax.tables import print_statistics

    corpus = read_corpus(_source_config(verb.source, verb.data_config), split=False)
    statistics = corpus_statistics(corpus)
    if verb.json:
        print(json.dumps(statistics.to_json(), indent=2))
    else:
        print_statistics(statistics)
    return 0


def _data_validate(verb: DataValidate) -> int:
    from labelgraph_jax.data.statistics import validate
    from labelgraph_jax.prepare import read_corpus
    from labelgraph_jax.tables import print_problems

    corpus = read_corpus(_source_config(verb.source, verb.data_config), split=False)
    problems = validate(corpus)
    if verb.json:
        print(json.dumps([dataclasses.asdict(p) for p in problems], indent=2))
    else:
        print_problems(corpus.name, problems)
    return 2 if any(p.severity == "error" for p in problems) else 0


def _data_export(verb: DataExport) -> int:
    from labelgraph_jax.data.statistics import write_jsonl
    from labelgraph_jax.prepare import read_corpus

    if not re.search(r"\.(jsonl|ndjson)(\.gz|\.xz)?$", verb.out, re.IGNORECASE):
        raise ConfigError(
            f"--out must end in .jsonl, .jsonl.gz or .jsonl.xz, got {verb.out!r}"
        )
    corpus = read_corpus(_source_config(verb.source, verb.data_config))
    if verb.split not in corpus.splits:
        raise ConfigError(
            f"--split must be one of {list(corpus.splits)}, got {verb.split!r}"
        )
    documents = corpus.splits[verb.split]
    write_jsonl(documents, verb.out)
    print(f"{len(documents):,} documents written to {verb.out}")
    return 0


def _data_list(verb: DataList) -> int:
    from labelgraph_jax.data.corpora import corpus_names

    print("\n".join(corpus_names()))
    return 0


def _show_config(verb: ShowConfig) -> int:
    from labelgraph_jax.workdir import Workdir

    if verb.list:
        for name, (summary, _) in PRESETS.items():
            print(name)
            print(textwrap.indent(textwrap.fill(summary, 72), "    "))
        return 0
    if verb.workdir and verb.preset:
        raise ConfigError("name a work directory or a preset, not both")
    if verb.workdir:
        config = Workdir.existing(verb.workdir).config()
    else:
        config = preset(verb.preset) if verb.preset else Config()
    print(json.dumps(to_dict(config), indent=2))
    return 0


if __name__ == "__main__":
    main()
