"""A trained model as a directory that needs jax and not this package.

    program.jaxexport   StableHLO for CPU, CUDA and TPU, any number of documents and any
                        length, as `jax.export` serializes it
    weights.npz         what it is called with beside the documents
    tokenizer.json      or ngrams.json, or both, or features.json: how a text becomes
                        ids; of a run over a table table.json and
                        table_reading.py for its rows
    labels.json  taxonomy.json  thresholds.json     what its numbers mean
    rules.json  label_rules.py     of a run with rules that its labels obey
    load_example.py     predicts with it
    export.json         inputs, outputs, versions, and the SHA-256 of every file
    README.md           the model card

Nothing in it executes when it is read, and it is written whole or not at all.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.files import naming, write_json, write_text
from labelgraph_jax.data.tokenizers.fused import FusedTokenizer
from labelgraph_jax.data.tokenizers.ngrams import NgramTokenizer
from labelgraph_jax.data.tokenizers.words import Tokenizer
from labelgraph_jax.deploy.export.check import check_program, reads_windows
from labelgraph_jax.deploy.export.example import FUSED, TextRule, example
from labelgraph_jax.deploy.export.manifest import file_entries, make_manifest
from labelgraph_jax.deploy.export.model_card import model_card
from labelgraph_jax.deploy.export.program import (
    ExportError,
    Program,
    export_program,
    loaded,
    save_program,
)
from labelgraph_jax.deploy.export.source import self_contained
from labelgraph_jax.deploy.export.tables import table_export
from labelgraph_jax.predictors.decision import Decision
from labelgraph_jax.predictors.ensemble import Ensemble
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.records import documents_of_run
from labelgraph_jax.runs.restore import load_model

Say = Callable[[str], None]
RULES_HEAD = '"""How labelgraph_jax makes labels obey rules: a copy of its source."""'


def export_model(
    workdir: str | Path,
    out: str | Path,
    *,
    data: str = "",
    data_dir: str = "",
    reading: ReadingConfig | None = None,
    limit: int = 0,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Write a finished run as a directory that jax alone can load.

    What was written is read again and compared with `predict`; a directory that does
    not agree is not left.

    Args:
        workdir: of the run.
        out: a directory that is absent or empty; folders above it are made.
        data: a labelled file to compare on; by default the test split of the run.
        data_dir: where the local corpus copies lie now, if they have moved.
        reading: how `data` is read, where the run's files were read otherwise.
        limit: compare on so many documents, spread evenly; on all, if 0.
        say: takes one line about what is going on.

    Returns:
        The manifest, `export.json`.

    Raises:
        ExportError: the model cannot be exported, `out` cannot be made, or what was
            exported differs from `predict`.
        WorkdirError: no finished run stands there.
        DataError: the documents cannot be read.
    """
    # A run over a table has an export of its own.
    target = Path(out)
    _require_free(target)
    place = Workdir.existing(workdir)
    if place.is_table:
        fill = table_export(place, data=data, reading=reading, limit=limit, say=say)
        return _written(target, fill)
    # The model, and the documents on which its export is compared.
    results = place.results()
    model = load_model(workdir)
    require_exportable(model)
    split, documents = documents_of_run(
        model, data=data, data_dir=data_dir, reading=reading, say=say
    )
    if not documents:
        raise ExportError(f"{split}: has no document to compare the export on")
    # The program, for the platforms it lowers for.
    say("tracing and lowering the model")
    program = export_program(model)
    for platform, reason in program.refused.items():
        say(f"it does not lower for {platform}: {reason}")

    # What the folder holds: the model, the comparison, and a card of both.
    def fill_texts(folder: Path) -> dict[str, object]:
        write_model(folder, model, program)
        compared = counted(limit or len(documents), "document")
        say(f"comparing it with predict on {compared}")
        where = Path(data).name if data else "test"
        call = loaded(folder)
        check = check_program(model, call, documents, where=where, limit=limit)
        rule = text_rule(model)
        manifest = make_manifest(model, program, rule, check)
        script = (folder / "load_example.py").read_text(encoding="utf-8")
        counts = model.classifier.graph.counts.astype(int).tolist()
        card = model_card(manifest, results, counts=counts, script=script)
        write_text(folder / "README.md", card)
        return manifest

    return _written(target, fill_texts)


def _written(
    target: Path, fill: Callable[[Path], dict[str, object]]
) -> dict[str, object]:
    """Make a directory whole or not at all; return its manifest.

    Args:
        target: where it goes.
        fill: writes everything but export.json into a folder, and returns that less
            its list of files.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with naming(target):
            manifest = fill(folder)
            manifest["files"] = file_entries(folder)
            write_json(folder / "export.json", manifest)
        folder.chmod(0o755)
        folder.replace(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return manifest


def require_exportable(model: Model) -> None:
    """Refuse models that are more than one program.

    Raises:
        ExportError: an ensemble, or a memory that has a say.
    """
    path = model.workdir.path
    if isinstance(model, Ensemble):
        raise ExportError(
            f"{path}: an ensemble reads every text in the way of each of its members, "
            "which one program cannot; export its members"
        )
    memory = model.memory
    if memory is not None and (memory.choice.weight or len(memory.unseen)):
        raise ExportError(
            f"{path}: its memory has a say in the probabilities (weight "
            f"{memory.choice.weight:g}, {counted(len(memory.unseen), 'label')} known "
            "by their text alone) and is no part of an export; `labelgraph memory RUN "
            "--memory.kind none` takes it away"
        )


def _require_free(target: Path) -> None:
    first = next(folder for folder in target.absolute().parents if folder.exists())
    if not (first.is_dir() and os.access(first, os.W_OK)):
        raise ExportError(f"{target}: must lie in a folder that can be written to")
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise ExportError(f"{target}: must be absent or an empty directory")


def write_model(folder: Path, model: Model, program: Program) -> None:
    """Write the program, and the files that say how texts go in and labels come out."""
    save_program(folder, program)
    model.tokenizer.save(folder)
    write_text(folder / "labels.json", model.label_space.to_json() + "\n")
    write_json(folder / "thresholds.json", _decision(model.decision))
    if model.ancestors is not None:
        rows = [np.flatnonzero(row).tolist() for row in model.ancestors]
        write_json(folder / "taxonomy.json", {"ancestors": rows})
    if model.decision.obeys:
        hard = model.decision.hard_rules
        body, head = (ids.tolist() for ids in hard.clauses)
        texts = [hard.rules[owner].text for owner in hard.owners]
        values = {"rules": texts, "body": body, "head": head}
        write_json(folder / "rules.json", values)
        module = "labelgraph_jax.predictors.decision"
        own = "labelgraph_jax.functional.structure"
        mend = (f"{own}.rules", "decode_rules")
        if model.decision.shielded:
            mend = (f"{own}.shield", "shield_decisions")
        roots = [(module, "obeying_labels"), (f"{own}.rules", "Clauses"), mend]
        source = self_contained(roots, RULES_HEAD)
        write_text(folder / "label_rules.py", source)
    rule = text_rule(model)
    script = example(rule, model.decision, ranked="label_ids" in program.outputs)
    write_text(folder / "load_example.py", script)


def text_rule(model: Model) -> TextRule:
    """Return the rule by which the model reads a text."""
    text, tokenizer = model.config.text, model.tokenizer
    kind, empty, version, first_piece = "features", 0, 1, 0
    if isinstance(tokenizer, NgramTokenizer):
        kind, empty, version = "ngrams", 1, tokenizer.version
    elif isinstance(tokenizer, FusedTokenizer):
        kind, empty = FUSED, tokenizer.pieces.empty_id
        version, first_piece = tokenizer.words.version, tokenizer.words.vocabulary_size
    elif isinstance(tokenizer, Tokenizer):
        kind, empty = "tokenizer", tokenizer.empty_id
    windowed = reads_windows(model)
    windows = text.max_windows if windowed else 1
    pad, longest = tokenizer.pad_id, text.max_length
    rest = windowed, version, first_piece
    return TextRule(kind, longest, windows, pad, empty, *rest)


def _decision(decision: Decision) -> dict[str, object]:
    """thresholds.json: one number for all labels, or one for each in their order."""
    values = decision.thresholds
    same = bool((values == values[0]).all())
    return {
        **decision.summary(),
        "thresholds": float(values[0]) if same else values.tolist(),
    }
