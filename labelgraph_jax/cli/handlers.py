"""What each verb does: settings and files in, tables, JSON and files out.

Whatever a handler needs it imports when it is called: the others need it not.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labelgraph_jax.cli import verbs
from labelgraph_jax.config import Config, ConfigError, DataConfig, to_dict
from labelgraph_jax.config.presets import PRESETS, preset


def say(line: str) -> None:
    """One line about what is going on, on standard error."""
    print(line, file=sys.stderr, flush=True)


def _silent(line: str) -> None:
    """What `--quiet` makes of a remark."""


def _tell(verb: Any, values: dict[str, Any], sentence: str) -> None:
    """What was done: as JSON, as a sentence, or not at all."""
    if verb.json:
        print(json.dumps(values, indent=2, ensure_ascii=False))
    elif not verb.quiet:
        print(sentence)


def _remarks(quiet: bool) -> Callable[[str], None]:
    return _silent if quiet else say


def train(verb: verbs.Train) -> int:
    from labelgraph_jax.cli.tables import print_results
    from labelgraph_jax.runs.fit import fit
    from labelgraph_jax.training.hosts import is_first

    config = Config(
        data=verb.data_config,
        text=verb.text,
        graph=verb.graph,
        head=verb.head,
        mixture=verb.mixture,
        table=verb.table,
        loss=verb.loss,
        memory=verb.memory,
        threshold=verb.threshold,
        training=verb.training,
    )
    results = fit(
        config,
        verb.workdir,
        baseline=verb.baseline,
        progress=not (verb.quiet or verb.json),
        say=_remarks(verb.quiet),
        run=verb.run,
    )
    if not is_first():
        return 0
    if verb.json:
        print(json.dumps(results, indent=2))
    elif config.table.tasks:
        from labelgraph_jax.cli.table_results import print_table_results

        print_table_results(results, workdir=verb.workdir)
    else:
        print_results(results, workdir=verb.workdir)
    if verb.report:
        told = say if verb.json else print
        _report_at_the_end(verb.workdir, _silent if verb.quiet else told)
    return 0


def _report_at_the_end(workdir: str, tell: Callable[[str], None]) -> None:
    """Writes the report of a run that has just finished, where there is none yet; that
    this fails is a warning: the training has not."""
    import jax

    from labelgraph_jax.inspection.report import has_report, write_report

    if jax.process_count() > 1:
        # The checkpoint is read by all processes together or by one alone.
        tell(f"For a report: labelgraph report {workdir}")
        return
    try:
        if not has_report(workdir):
            write_report(workdir)
        tell(f"Report: {workdir}/report.html")
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        say(f"labelgraph: warning: no report was written: {why}")


def report(verb: verbs.Report) -> int:
    from labelgraph_jax.inspection.report import write_report

    written = write_report(
        verb.workdir,
        out=verb.out,
        data=verb.data,
        data_dir=verb.data_dir,
        say=lambda line: _remarks(verb.quiet)(f"labelgraph: {line}"),
    )
    if verb.json:
        print(json.dumps(written.to_json(), indent=2))
        return 0
    if verb.quiet:
        return 0
    for name, why in written.report.sections().items():
        if why and not written.report.is_table:
            print(f"no {name}: {why}")
    size = written.page.stat().st_size / 1e6
    print(
        f"{written.page}: {size:.1f} MB, {len(written.pictures)} pictures beside it, "
        f"in {written.seconds:.1f} s"
    )
    return 0


def doctor(verb: verbs.Doctor) -> int:
    from labelgraph_jax.cli.doctor import end_together, examine, print_examination
    from labelgraph_jax.training.hosts import Hosts

    hosts = Hosts(verb.coordinator, verb.processes, verb.process_id, verb.timeout)
    found = examine(hosts, workdir=verb.workdir, megabytes=verb.megabytes)
    if not verb.json:
        print_examination(found)
    elif found.process == 0 or not found.shared:
        print(json.dumps(found.to_json(), indent=2))
    return end_together(found)


def ensemble(verb: verbs.Ensemble) -> int:
    from labelgraph_jax.cli.tables import print_results
    from labelgraph_jax.runs.ensemble import make_ensemble

    results = make_ensemble(verb.runs, verb.workdir, say=_remarks(verb.quiet))
    if verb.json:
        print(json.dumps(results, indent=2))
    else:
        print_results(results, workdir=verb.workdir)
    return 0


def evaluate(verb: verbs.Evaluate) -> int:
    from labelgraph_jax.cli.table_results import print_table_results
    from labelgraph_jax.cli.tables import print_results
    from labelgraph_jax.predictors.workdir import Workdir
    from labelgraph_jax.runs.evaluate import evaluate_workdir
    from labelgraph_jax.training.hosts import initialise, is_first

    initialise()
    results = evaluate_workdir(
        verb.workdir,
        data=verb.data,
        data_dir=verb.data_dir,
        batch_size=verb.batch_size or None,
    )
    if not is_first():
        return 0
    if verb.json:
        print(json.dumps(results, indent=2))
    elif Workdir(Path(verb.workdir)).is_table:
        print_table_results(results, workdir=verb.workdir)
    else:
        print_results(results, workdir=verb.workdir)
    return 0


def predict(verb: verbs.Predict) -> int:
    from labelgraph_jax.predictors.workdir import Workdir
    from labelgraph_jax.runs.predict import write_predictions
    from labelgraph_jax.runs.restore import load

    if verb.top_k < 0:
        raise ConfigError(f"--top-k must not be negative, got {verb.top_k}")
    if verb.top_k and Workdir(Path(verb.workdir)).is_table:
        raise ConfigError(
            "--top-k is of labelled texts; of a table --scores writes every class"
        )
    write_predictions(
        load(verb.workdir),
        verb.file,
        verb.output,
        format=verb.format or None,
        all_scores=verb.scores,
        top_k=verb.top_k,
        say=lambda line: _remarks(verb.quiet)(f"labelgraph: {line}"),
    )
    return 0


def serve(verb: verbs.Serve) -> int:
    from labelgraph_jax.deploy.serve.server import serve as run

    def tell(line: str) -> None:
        say(f"labelgraph: {line}")

    return run(
        verb.workdir,
        host=verb.host,
        port=verb.port,
        limits=verb.limits,
        say=_silent if verb.quiet else tell,
        log=tell if verb.log_requests else None,
    )


def export(verb: verbs.Export) -> int:
    from labelgraph_jax.deploy.export.export import export_model

    if verb.check < 0:
        raise ConfigError(f"--check must not be negative, got {verb.check}")
    manifest = export_model(
        verb.workdir,
        verb.out,
        data=verb.data,
        data_dir=verb.data_dir,
        limit=verb.check,
        say=_remarks(verb.quiet),
    )
    if verb.json:
        print(json.dumps(manifest, indent=2))
        return 0
    if verb.quiet:
        return 0
    size = sum(file["bytes"] for file in manifest["files"].values())
    check = manifest["check"]
    print(
        f"{verb.out}: {len(manifest['files']) + 1} files, {size / 2**20:.1f} MiB, for "
        f"{', '.join(manifest['platforms'])}; equals predict to "
        f"{check['largest_difference']:.1e} on {check['documents']:,} documents"
    )
    return 0


def explain(verb: verbs.Explain) -> int:
    from labelgraph_jax.inspection.explain.command import explain_command
    from labelgraph_jax.inspection.explain.terminal import print_explanation

    found = explain_command(
        verb.workdir,
        verb.text,
        file=verb.file,
        id=verb.id,
        html=verb.html,
        labels=verb.label,
        top_k=verb.top_k,
        method=verb.method,
        steps=verb.steps,
        neighbours=verb.neighbours,
        documents=verb.documents,
        say=lambda line: _remarks(verb.quiet)(f"labelgraph: {line}"),
    )
    if verb.json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        print_explanation(found, html=verb.html)
    return 0


def gates(verb: verbs.Gates) -> int:
    from labelgraph_jax.inspection.gate_report import (
        draw_gates,
        print_gates,
        write_gates,
    )
    from labelgraph_jax.inspection.gate_sources import run_gates

    report = run_gates(verb.workdir, data=verb.data, data_dir=verb.data_dir)
    if verb.figure:
        draw_gates(report, verb.figure)
    if verb.out:
        write_gates(report, verb.out)
    if verb.json:
        print(json.dumps(report.to_json(), indent=2))
    else:
        print_gates(report, out=verb.out, figure=verb.figure)
    return 0


def _source_config(source: str, data_config: DataConfig) -> DataConfig:
    """`source` as the corpus or file of a data configuration."""
    from labelgraph_jax.data.corpora import corpus_names, is_corpus

    if is_corpus(source):
        return dataclasses.replace(data_config, corpus=source, data="")
    if not Path(source).exists():
        raise ConfigError(
            f"{source}: neither a file nor a corpus; the corpora are "
            f"{', '.join(corpus_names())}"
        )
    return dataclasses.replace(data_config, data=source)


def graph(verb: verbs.Graph) -> int:
    from labelgraph_jax.cli.graph_tables import print_graph
    from labelgraph_jax.data.corpora import corpus_names
    from labelgraph_jax.data.readers.xmc_folder import is_xmc_folder
    from labelgraph_jax.inspection.graph.sources import (
        built_graph,
        run_graph,
        saved_graph,
    )
    from labelgraph_jax.runs.adjacency_file import write_adjacency

    path = Path(verb.source)
    is_saved = path.suffix.lower() == ".npz"
    is_run = path.is_dir() and verb.source not in corpus_names()
    is_run = is_run and not is_xmc_folder(path)
    if (is_saved or is_run) and verb.settings() != verbs.Graph(source="").settings():
        raise ConfigError(
            f"{verb.source}: has its graph already; --initialisation, --tau, --p, "
            "--neighbours, --seed and --text are for one built from documents"
        )
    if verb.out and not verb.out.lower().endswith(".npz"):
        raise ConfigError(f"--out must end in .npz, got {verb.out!r}")
    if verb.edges < 0:
        raise ConfigError(f"--edges must not be negative, got {verb.edges}")
    if is_saved:
        found = saved_graph(path, strongest=verb.edges)
    elif is_run:
        found = run_graph(path, strongest=verb.edges)
    else:
        data = _source_config(verb.source, verb.data_config)
        found = built_graph(verb.settings(data), strongest=verb.edges)
    if verb.out:
        write_adjacency(verb.out, found.labels, found.adjacency, found.about)
    if verb.json:
        print(json.dumps(found.report.to_json(), indent=2))
    else:
        print_graph(found.report, out=verb.out)
    return 0


def data_stats(verb: verbs.DataStats) -> int:
    from labelgraph_jax.cli.tables import print_statistics
    from labelgraph_jax.data.statistics import corpus_statistics
    from labelgraph_jax.runs.corpus import read_corpus

    if verb.table.tasks:
        return _table_stats(verb)
    corpus = read_corpus(_source_config(verb.source, verb.data_config), split=False)
    statistics = corpus_statistics(corpus)
    if verb.json:
        print(json.dumps(statistics.to_json(), indent=2))
    else:
        print_statistics(statistics)
    return 0


def _table_stats(verb: verbs.DataStats) -> int:
    from labelgraph_jax.runs.table import TableProblem

    data = dataclasses.replace(verb.data_config, data=verb.source)
    lines: list[str] = []
    problem = TableProblem(Config(data=data, table=verb.table))
    prepared = problem.prepare(problem.read(), lines.append)
    if verb.json:
        tasks = [target.to_json() for target in prepared.targets]
        found = {"tasks": tasks, **json.loads(prepared.schema.to_json())}
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(lines))
    return 0


def data_validate(verb: verbs.DataValidate) -> int:
    from labelgraph_jax.cli.tables import print_problems
    from labelgraph_jax.data.statistics import validate
    from labelgraph_jax.runs.corpus import read_corpus

    corpus = read_corpus(_source_config(verb.source, verb.data_config), split=False)
    problems = validate(corpus)
    if verb.json:
        print(json.dumps([dataclasses.asdict(p) for p in problems], indent=2))
    else:
        print_problems(corpus.name, problems)
    return 2 if any(p.severity == "error" for p in problems) else 0


def data_export(verb: verbs.DataExport) -> int:
    from labelgraph_jax.data.statistics import write_jsonl
    from labelgraph_jax.runs.corpus import read_corpus

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
    _tell(
        verb,
        {"documents": len(documents), "split": verb.split, "out": verb.out},
        f"{len(documents):,} documents written to {verb.out}",
    )
    return 0


def data_list(verb: verbs.DataList) -> int:
    from labelgraph_jax.data.corpora import corpus_names

    names = list(corpus_names())
    print(json.dumps(names, indent=2) if verb.json else "\n".join(names))
    return 0


def memory(verb: verbs.Memory) -> int:
    from labelgraph_jax.cli.tables import print_results
    from labelgraph_jax.runs.added_labels import make_memory

    results = make_memory(verb.workdir, verb.memory, say=_remarks(verb.quiet))
    if verb.json:
        print(json.dumps(results, indent=2))
    else:
        print_results(results, workdir=verb.workdir)
    return 0


def labels_add(verb: verbs.LabelsAdd) -> int:
    from labelgraph_jax.data.labels.new_labels import (
        NewLabel,
        check_name,
        read_new_labels,
    )
    from labelgraph_jax.runs.added_labels import add_labels

    if bool(verb.file) == bool(verb.label):
        raise ConfigError("name a FILE of labels, or one with --label: one of the two")
    if verb.file and verb.description:
        raise ConfigError("--description is of --label; a FILE has its own")
    if verb.file:
        new = read_new_labels(verb.file)
    else:
        name = check_name(verb.label, "--label")
        new = [NewLabel(name, verb.description.strip())]
    added = add_labels(verb.workdir, new)
    _tell(
        verb,
        {"added": [label.name for label in new], "added_in_all": len(added)},
        f"{len(new):,} labels added, {len(added):,} in all",
    )
    return 0


def labels_list(verb: verbs.LabelsList) -> int:
    from labelgraph_jax.runs.added_labels import list_labels

    rows = [row for row in list_labels(verb.workdir) if row["added"] or not verb.added]
    if verb.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    for row in rows:
        mark = "added" if row["added"] else "trained"
        print(f"{row['name']}\t{mark}\t{row['description']}")
    return 0


def labels_remove(verb: verbs.LabelsRemove) -> int:
    from labelgraph_jax.runs.added_labels import remove_labels

    left = remove_labels(verb.workdir, verb.names)
    removed = len(set(verb.names))
    _tell(
        verb,
        {"removed": sorted(set(verb.names)), "added_left": len(left)},
        f"{removed:,} labels removed, {len(left):,} added ones left",
    )
    return 0


def show_config(verb: verbs.ShowConfig) -> int:
    from labelgraph_jax.predictors.workdir import Workdir

    if verb.list and verb.json:
        summaries = {name: summary for name, (summary, _) in PRESETS.items()}
        print(json.dumps(summaries, indent=2))
        return 0
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


def completion(verb: verbs.Completion) -> int:
    import tyro

    asked = ["--tyro-write-completion", verb.shell, "-"]
    tyro.cli(verbs.verbs(Config(), brief=True), args=asked, prog="labelgraph")
    return 0
