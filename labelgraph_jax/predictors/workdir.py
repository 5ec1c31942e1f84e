"""The work directory: the contract between train, evaluate, predict and export.

    config.json       the resolved configuration;  data.json  fingerprints of its splits
    layout.json       how the documents' files were read, the same for later files
    labels.json       label names, descriptions, taxonomy
    label_graph.npz   initial label features, adjacency (or edges), label prior, counts
    table.json        of a run over a table, which has no labels: tasks and columns
    thresholds.json   decision threshold per label, and how it was fitted; of a run over
                      a table per task, with the line that calibrates its logits
    adaptation.json   how a run with target documents adapts; prior_shift.json: logits
    graph_choice.json which label graph graph.kind='auto' chose, and why
    structure.json    the hierarchy that was chosen, and the rules of the last layer
    ensemble.json     of an ensemble: its members (each a work directory) and weights
    tokenizer/        tokenizer.json;  encoder/  the pretrained one, weights if frozen
    checkpoints/      parameters and training state, by step
    metrics.jsonl     what training did;  tensorboard/  the same as curves
    start.json        where a run was begun from (--from); columns.json, its y's columns
    results.json      metrics of the finished run;  test_predictions.npz  its answers
    manifest.json     checksums of the files that decide an answer, see `manifest`
    report.html       the report, pictures in report/;  learned/  see `learned`

Every file is readable without this package, and reading one executes nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from labelgraph_jax.config import Config, ConfigError, differences, from_dict, to_dict
from labelgraph_jax.config.settings import short
from labelgraph_jax.data.documents import LabelSpace
from labelgraph_jax.data.files import (
    is_leftover,
    make_folder,
    parse_json,
    write_json,
    write_text,
)
from labelgraph_jax.data.layout import OLD, Layout
from labelgraph_jax.predictors.label_graph_file import (
    LabelGraphArrays,
    read_label_graph,
    write_label_graph,
)

OF_A_FINISHED_RUN = (
    *("results.json", "report.html", "manifest.json"),
    *("thresholds.json", "prior_shift.json", "test_predictions.npz"),
)
"""Files that further epochs write again."""


class WorkdirError(ValueError):
    """A directory that is not a work directory, or one of another run."""


class RunDataChangedError(WorkdirError):
    """The records are not those that a run was made with.

    Args:
        path: the run's work directory.
        split: which of them.
        what: "documents" or "rows".
        instead: what to do then.
    """

    def __init__(
        self,
        path: str | Path,
        split: str,
        what: str = "documents",
        *,
        instead: str = "",
    ) -> None:
        why = "the data has changed"
        if what == "documents":
            why = "the data, or for stdlib_docs the Python version, has changed"
        message = (
            f"{path}: the {split} {what} are not those of the training run ({why})"
        )
        super().__init__(f"{message}; {instead}" if instead else message)


@dataclass(frozen=True)
class Workdir:
    """Paths of one run, and its small files."""

    path: Path

    @classmethod
    def existing(cls, path: str | Path) -> "Workdir":
        """The work directory of a trained model.

        Raises:
            WorkdirError: the directory is absent or holds no configuration.
        """
        if not isinstance(path, (str, PathLike)):
            raise WorkdirError(f"a work directory must be a path, got {short(path)}")
        # Absolute: a model reads files of it later, from any current directory.
        workdir = cls(Path(path).absolute())
        try:
            # A link is followed once: what it points to may change meanwhile.
            if workdir.path.is_symlink():
                workdir = cls(workdir.path.resolve())
            known = workdir.path.is_dir()
        except OSError:  # no name that a file may have
            known = False
        if not known:
            raise WorkdirError(f"{str(path)!s:.200}: no such work directory")
        if not workdir.config_path.is_file():
            raise WorkdirError(
                f"{path}: must be a work directory that `labelgraph train` left; "
                "it has no config.json"
            )
        return workdir

    @property
    def config_path(self) -> Path:
        """File of the resolved configuration."""
        return self.path / "config.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints, one folder a step."""
        return self.path / "checkpoints"

    @property
    def has_checkpoints(self) -> bool:
        """True if the directory holds a checkpoint."""
        return self.checkpoints.is_dir() and any(
            entry.name.isdecimal() for entry in self.checkpoints.iterdir()
        )

    @property
    def tokenizer(self) -> Path:
        """Folder of tokenizer.json; a run over a table has none."""
        return self.path / "tokenizer"

    @property
    def encoder(self) -> Path:
        """Folder of the pretrained encoder: settings, and weights if it is frozen."""
        return self.path / "encoder"

    def adds_epochs(self, config: Config) -> bool:
        """Return whether `config` is that of the run but for more epochs."""
        if not (self.config_path.is_file() and self.has_checkpoints):
            return False
        known = self.config()
        epochs = known.training.epochs
        same = replace(config, training=replace(config.training, epochs=epochs))
        return config.training.epochs > epochs and not differences(known, same)

    def check(self, config: Config) -> bool:
        """Return True if an earlier run can be resumed here; nothing is written.

        Raises:
            WorkdirError: it belongs to another configuration (the differences are
                listed), or it is not empty and no work directory.
        """
        if self.config_path.is_file():
            if self.adds_epochs(config):
                return True
            changed = differences(self.config(), config)
            if changed and not self.has_checkpoints:
                return False  # nothing was trained here that could be lost
            if changed:
                instead = "train with the settings it was made with"
                if self.is_finished:
                    instead = "keep its model: a finished run takes more epochs alone"
                raise WorkdirError(
                    f"{self.path}: belongs to a run of another configuration "
                    f"({'; '.join(changed)}); choose another --workdir, or {instead}"
                )
            return True
        if self.path.exists() and not self.path.is_dir():
            raise WorkdirError(f"{self.path}: must be a directory, it is a file")
        if self.path.is_dir() and any(
            e.name != ".lock" and not is_leftover(e) for e in self.path.iterdir()
        ):
            raise WorkdirError(
                f"{self.path}: must be empty or a work directory; it holds other files"
            )
        return False

    def claim(
        self, config: Config, data: Mapping[str, str], what: str = "documents"
    ) -> None:
        """Make this the work directory of `config`.

        Args:
            config: of the run.
            data: fingerprint of each split; a run goes on with the data it began with.
            what: "documents" or "rows".

        Raises:
            WorkdirError: as `check`; or the run began with other documents.
        """
        added = self.adds_epochs(config)
        if not self.check(config):
            make_folder(self.path)
            write_json(self.config_path, to_dict(config))
        elif self.has_data:
            self.require_data(data, what)
            if added:  # open again: what stands there is of fewer epochs
                for name in OF_A_FINISHED_RUN:
                    (self.path / name).unlink(missing_ok=True)
                write_json(self.config_path, to_dict(config))
            return
        write_json(self.path / "data.json", dict(data))

    def require_data(self, data: Mapping[str, str], what: str = "documents") -> None:
        """Refuse other records than the run began with; arguments as of `claim`.

        Raises:
            RunDataChangedError: they differ.
        """
        before = self.data()
        changed = [name for name in data if data[name] != before.get(name)]
        if changed:
            raise RunDataChangedError(
                self.path,
                " and ".join(changed),
                what,
                instead="bring them back, or choose another --workdir",
            )

    def config(self) -> Config:
        """The configuration of the run.

        Raises:
            WorkdirError: config.json does not hold one.
        """
        try:
            return from_dict(self._read_json("config.json"))
        except ConfigError as error:
            raise WorkdirError(f"{self.config_path}: {error}") from error

    def save_layout(self, layout: Layout) -> None:
        """Write layout.json, which later files are read by."""
        write_json(self.path / "layout.json", layout.to_json())

    def layout(self) -> Layout:
        """The layout of the run's files; that of 0.6.0 where none is kept.

        Raises:
            WorkdirError: layout.json does not hold one.
        """
        if not (self.path / "layout.json").is_file():
            return OLD
        try:
            return Layout.from_json(self._read_json("layout.json"))
        except ConfigError as error:
            raise WorkdirError(f"{self.path / 'layout.json'}: {error}") from error

    def save_labels(self, labels: LabelSpace) -> None:
        """Write labels.json: names, descriptions and taxonomy."""
        write_text(self.path / "labels.json", labels.to_json())

    def labels(self) -> LabelSpace:
        """The label space of the model."""
        path = self.path / "labels.json"
        try:
            return LabelSpace.from_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise WorkdirError(f"{path}: cannot be read; train first") from error
        except ValueError as error:
            raise WorkdirError(f"{path}: {error}") from error

    def save_label_graph(self, arrays: LabelGraphArrays) -> None:
        """Write label_graph.npz, from which the label graph starts."""
        write_label_graph(self.path / "label_graph.npz", arrays)

    def label_graph(self, labels: int | None = None) -> LabelGraphArrays:
        """Return the start of the label graph, of a model with so many labels.

        Raises:
            WorkdirError: the file is absent, damaged, or of other labels.
        """
        path = self.path / "label_graph.npz"
        return read_label_graph(path, labels, error=WorkdirError)

    @property
    def table_path(self) -> Path:
        """File of the tasks and columns of a run over a table."""
        return self.path / "table.json"

    @property
    def is_table(self) -> bool:
        """True if the run learned tasks of a table."""
        return self.table_path.is_file()

    def save_table(self, values: Mapping[str, object]) -> None:
        """Write table.json, see `table`."""
        write_json(self.table_path, dict(values))

    def table(self) -> Any:
        """The tasks and the columns of a run over a table, see `tables.model`."""
        return self._read_json(self.table_path.name)

    @property
    def thresholds_path(self) -> Path:
        """File of the decision rule."""
        return self.path / "thresholds.json"

    def save_thresholds(self, values: Mapping[str, object]) -> None:
        """Write thresholds.json, see `decision.read_decision`."""
        write_json(self.thresholds_path, dict(values))

    @property
    def has_thresholds(self) -> bool:
        """True if training came as far as fitting thresholds."""
        return self.thresholds_path.is_file()

    def thresholds(self) -> Any:
        """Return the content of thresholds.json, see `decision.read_decision`."""
        return self._read_json(self.thresholds_path.name)

    @property
    def is_finished(self) -> bool:
        """True if training ended and the results were written."""
        return (self.path / "results.json").is_file()

    @property
    def has_data(self) -> bool:
        """True where it is known which records the run was made with."""
        return (self.path / "data.json").is_file()

    def data(self) -> dict[str, str]:
        """Fingerprint of each split that the run was made with."""
        known: dict[str, str] = self._read_object("data.json")
        return known

    @property
    def ensemble_path(self) -> Path:
        """File of the members and weights of an ensemble."""
        return self.path / "ensemble.json"

    @property
    def is_ensemble(self) -> bool:
        """True if several models are kept here, to be used as one."""
        return self.ensemble_path.is_file()

    def save_results(self, results: Mapping[str, object]) -> None:
        """Write results.json, which marks the run as finished."""
        write_json(self.path / "results.json", results)

    def results(self) -> dict[str, Any]:
        """Metrics of the finished run.

        Raises:
            WorkdirError: results.json does not hold them.
        """
        return self._read_object("results.json", "test")

    def history(self) -> list[dict[str, object]]:
        """Return the training log, one entry per line of metrics.jsonl, in order.

        Raises:
            WorkdirError: there is none, or a line is damaged; but a last one that a
                killed run left half written is passed over.
        """
        path = self.path / "metrics.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise WorkdirError(f"{path}: cannot be read: {error}") from error
        found = []
        for number, line in enumerate(lines, start=1):
            try:
                found.append(dict(parse_json(line)))
            except (ValueError, TypeError) as error:
                if number < len(lines):
                    raise WorkdirError(f"{path}:{number}: must be JSON") from error
        return found

    def _read_object(self, name: str, *keys: str) -> dict[str, Any]:
        held = self._read_json(name)
        if not isinstance(held, dict) or not set(keys) <= set(held):
            having = f" with {', '.join(map(repr, keys))}" if keys else ""
            raise WorkdirError(f"{self.path / name}: must hold a JSON object{having}")
        return held

    def _read_json(self, name: str) -> Any:
        path = self.path / name
        try:
            return parse_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise WorkdirError(
                f"{path}: cannot be read; has training finished?"
            ) from error
        except ValueError as error:
            raise WorkdirError(f"{path}: must be JSON: {error}") from error


def settings_text(config: Config) -> str:
    """A configuration as text, the same for the same settings."""
    return json.dumps(to_dict(config), sort_keys=True)
