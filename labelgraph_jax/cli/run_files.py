"""Check that the files of a finished run are unchanged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labelgraph_jax.config.wording import counted
from labelgraph_jax.predictors.manifest import FILE, changes, checksums, seal
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.lock import WorkdirLock
from labelgraph_jax.training.checkpoint_files import CheckpointError, verify_checksums


@dataclass(frozen=True)
class RunFiles:
    """Files of a run against its manifest and checksums.

    Attributes:
        workdir: of the run.
        sealed: whether it has a manifest (now, where changes were accepted).
        files: how many files decide its answers.
        changed: those that are not as they were left, and what happened to them.
        damaged: files of checkpoints that are not as they were written.
        accepted: whether the files are accepted as they are.
    """

    workdir: str
    sealed: bool
    files: int
    changed: Mapping[str, str]
    damaged: tuple[str, ...]
    accepted: bool

    @property
    def whole(self) -> bool:
        """True where the run can be used."""
        return not self.damaged and (self.accepted or not self.changed)


def examine_run(workdir: str | Path, *, accept: bool = False) -> RunFiles:
    """Compare the files of a run with its manifest and its checkpoints' checksums.

    Args:
        workdir: of a finished run.
        accept: write the manifest anew, from the files as they are; the members of an
            ensemble are runs of their own.

    Raises:
        WorkdirError: no finished run stands there.
    """
    place = Workdir.existing(workdir)
    if not place.is_finished:
        raise WorkdirError(
            f"{workdir}: its training has not finished, so its files still change"
        )
    damaged = []
    for step in sorted(place.checkpoints.glob("[0-9]*")):
        try:
            verify_checksums(step, ("params",))
        except (CheckpointError, OSError, ValueError) as error:
            damaged.append(f"checkpoints/{step.name}: {error}")
    try:
        changed = changes(place)
    except WorkdirError as error:
        changed = {FILE: str(error).removeprefix(f"{place.path / FILE}: ")}
    accept = accept and not damaged
    if accept:
        with WorkdirLock(place.path):
            seal(place)
    files = len(checksums(place))
    sealed = accept or changed is not None
    return RunFiles(str(workdir), sealed, files, changed or {}, tuple(damaged), accept)


def in_sentences(found: RunFiles) -> list[str]:
    """Return what was found, a line each."""
    files, where = counted(found.files, "file"), found.workdir
    lines = [f"{where}/{name}: {what}" for name, what in found.changed.items()]
    lines += [f"{where}/{what}" for what in found.damaged]
    if found.accepted:
        lines.append(f"{where}: {files} accepted as they are now")
    elif not found.sealed:
        lines.append(
            f"{where}: has no {FILE}, as runs of earlier versions; `labelgraph doctor "
            f"{where} --accept` makes one of its {files}"
        )
    elif found.changed:
        lines.append(
            f"bring back what was changed, or, where that was on purpose, accept it "
            f"with `labelgraph doctor {where} --accept`"
        )
    elif not found.damaged:
        lines.append(f"{where}: {files} as the run left them")
    if found.damaged:
        lines.append("a damaged checkpoint cannot be accepted: bring it back")
    return lines
