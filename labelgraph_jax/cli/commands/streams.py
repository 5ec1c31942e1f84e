"""Verb of a stream: learn."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from labelgraph_jax.cli.options import FinishedRun, Flag, Quiet
from labelgraph_jax.cli.output import remarks, say, write


@dataclass(frozen=True, kw_only=True)
class Learn:
    """Let a trained model go on learning from a stream: score a block, then learn it.

    A line of JSON a block. What is learned is a run, WORKDIR/learned/current; WORKDIR
    itself stays as it is. The same call goes on: of a file that has grown, or that a
    call broke off in, with what is new. Labels come as they appear; lines such as
    {"control": "rename", "label": "a", "to": "b"} rename, remove, merge or split them.

    Examples:
      labelgraph learn runs/mine stream.jsonl
      tail -f log.jsonl | labelgraph learn runs/mine - --block 100 --save-every 5
      labelgraph predict runs/mine/learned/current new.jsonl
    """

    workdir: FinishedRun
    stream: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="STREAM")]]
    """JSONL {"text", "labels"}, plain or packed; - reads standard input."""
    memory_mib: float = 16.0
    """Memory for documents that are learned from again; 0 for none."""
    block: int = 500
    """Documents that are scored, then learned, together."""
    rate: float = 1.0
    """Rate of learning."""
    distil: float = 0.0
    """Weight of what was known beside what is seen; slows forgetting."""
    save_every: int = 20
    """Blocks from one saved version to the next."""
    start_over: Flag = False
    """Forget what was learned before."""
    quiet: Quiet = False

    def execute(self) -> int:
        """Learn, and say how much."""
        from labelgraph_jax.config.wording import counted
        from labelgraph_jax.runs.learn import learn
        from labelgraph_jax.runs.learning import Learning

        how = Learning(
            memory_mib=self.memory_mib,
            block=self.block,
            rate=self.rate,
            distil=self.distil,
            save_every=self.save_every,
            start_over=self.start_over,
        )
        tell = remarks(self.quiet, "labelgraph: ")
        count = learn(self.workdir, self.stream, how, write=flushed, say=tell)
        if not self.quiet:
            current = Path(self.workdir) / "learned" / "current"
            where = f"the model is {current}"
            if not current.is_dir():
                where = "no version yet, as no document had labels that are known"
            say(f"labelgraph: {counted(count, 'document')} learned; {where}")
        return 0


def flushed(line: str) -> None:
    """Print a line that whoever reads gets at once."""
    write(line)
    sys.stdout.flush()
