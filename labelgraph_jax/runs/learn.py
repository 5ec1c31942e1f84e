"""Learning from a stream: a run that goes on after its training, block by block.

A block is scored, then learned from; what is told of it is prequential. The first
document with a label cannot be predicted: a label counts as new in the whole block that
shows it first, and what is called `known` leaves its cells there out. The vectors of
documents stay as the run reads them; the label vectors learn.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from labelgraph_jax.config.wording import counted
from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.files import (
    standard_input,
)
from labelgraph_jax.data.readers.labelled_stream import (
    LabelledStream,
)
from labelgraph_jax.data.readers.lines import open_bytes
from labelgraph_jax.modules.magnet import Magnet
from labelgraph_jax.predictors.decision import read_decision
from labelgraph_jax.predictors.label_model import LabelModel
from labelgraph_jax.predictors.learned import (
    remove_unfinished,
    require_outside,
)
from labelgraph_jax.predictors.manifest import require_unchanged
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError
from labelgraph_jax.runs.learning import Learning, Say, Session
from labelgraph_jax.runs.lock import WorkdirLock
from labelgraph_jax.runs.restore import restore_network
from labelgraph_jax.training.signals import (
    stop_on_signals,
)


def learn(
    workdir: str | Path,
    source: str,
    how: Learning | None = None,
    *,
    write: Callable[[str], None],
    say: Say = lambda line: None,
) -> int:
    """Let a finished run learn from a stream of labelled texts.

    Of a file whose beginning was learned before only what is new is; standard input,
    and any other pipe, is always new.

    Args:
        workdir: of the run, which stays as it is; see `predictors.learned`.
        source: a JSONL file, a pipe, or `-`.
        how: see `Learning`.
        write: takes a JSON line a block.
        say: takes remarks.

    Returns:
        Documents that were learned; those without known labels are not.

    Raises:
        WorkdirError: no run that can learn stands there.
        DataError: a line cannot be read; what stood before it is learned and saved.
        StoppedError: a signal came; everything that was read is learned and saved.
    """
    how = how or Learning()
    place = Workdir.existing(workdir)
    require_outside(place)
    if not place.is_finished:
        raise WorkdirError(f"{workdir}: its training has not finished")
    if source != "-" and not Path(source).exists():
        raise DataError(f"{source}: no such file")
    with ExitStack() as stack:
        stack.enter_context(WorkdirLock(place.path))
        require_unchanged(place)
        remove_unfinished(place)
        session = Session(_learnable(place), how, say)
        stop = stack.enter_context(stop_on_signals())
        stream = _opened(stack, session, source)
        return session.run(stream, stop, write)


def _learnable(place: Workdir) -> LabelModel:
    """The network of a run, if its head can learn from document vectors.

    Raises:
        WorkdirError: it cannot.
    """
    if place.is_table or place.is_ensemble:
        kind = "a run over a table" if place.is_table else "an ensemble"
        raise WorkdirError(f"{place.path}: is {kind}; a run over texts can learn")
    config = place.config()
    wanted = {
        "head.kind='product'": config.head.kind == "product",
        "one label set": config.mixture.kind == "none",
        "hierarchy.kind other than 'consistent'": config.hierarchy.kind != "consistent",
    }
    for what, holds in wanted.items():
        if not holds:
            raise WorkdirError(
                f"{place.path}: learning moves a vector per label: it needs a run with "
                + what
            )
    model = restore_network(place)
    if model.label_chunk or not isinstance(model.classifier.module, Magnet):
        raise WorkdirError(
            f"{place.path}: its labels are scored in chunks, not at once"
        )
    if model.reads_features:
        raise WorkdirError(f"{place.path}: reads features, and a stream holds texts")
    decision = read_decision(place, model.labels, model.ancestors)
    if decision.obeys or decision.consistent:
        raise WorkdirError(
            f"{place.path}: its labels obey rules or a taxonomy, which new labels are "
            "not in; train without them to learn from a stream"
        )
    return model.with_decision(decision)


def _opened(stack: ExitStack, session: Session, source: str) -> LabelledStream:
    """The stream, past what was learned of it before."""
    layout = session.model.workdir.layout()
    single = len(layout.label_columns) == 1 and layout.label_style == "lists"
    keys: Any = {
        "text_key": layout.text_column or "text",
        "labels_key": layout.label_columns[0] if single else "labels",
    }
    path = Path(source)
    if source == "-" or not path.is_file():
        session.read = {"offset": 0, "sha256": ""}
        if source == "-":
            return LabelledStream(standard_input().buffer, "stdin", **keys)
        return LabelledStream(stack.enter_context(open_bytes(path)), source, **keys)
    before = session.read
    for _ in range(2):
        stream = LabelledStream(stack.enter_context(open_bytes(path)), source, **keys)
        if not before["offset"]:
            return stream
        if stream.skip(before):
            lines = counted(stream.begun, "line was", "lines were")
            session.say(f"{source}: {lines} learned before and passed over")
            return stream
        session.say(
            f"{source}: does not begin with what was learned last; all of it is new"
        )
        before = {"offset": 0, "sha256": ""}
    raise AssertionError
