"""Verbs about the machine: doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from labelgraph_jax.cli.options import Flag, Json, Quiet
from labelgraph_jax.cli.output import show, tell
from labelgraph_jax.config import ConfigError


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check that a run works here: processes, devices, versions, folders, network.

    Start it like the run itself, on every worker. With a finished run, and without
    anything else, check that its files are as it left them.

    Examples:
      labelgraph doctor
      srun labelgraph doctor --workdir /shared/runs/mine
      labelgraph doctor runs/mine
    """

    run: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="[WORKDIR]")]] = ""
    """A finished run whose files are compared with its manifest."""
    accept: Flag = False
    """Take the files of WORKDIR as they are now: they were changed on purpose."""
    workdir: str = ""
    """Also check this folder: writable, the same on every process, held by no run."""
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

    def execute(self) -> int:
        """Examine machine and processes, or a run; 2 where there is a problem."""
        if self.run:
            return self._examine_run()
        if self.accept:
            raise ConfigError("--accept needs the WORKDIR whose files are accepted")
        if self.quiet:
            raise ConfigError(
                "--quiet needs a WORKDIR: all else doctor says is a result"
            )
        from labelgraph_jax.cli.doctor import examine, print_examination
        from labelgraph_jax.training.hosts import Hosts

        hosts = Hosts(self.coordinator, self.processes, self.process_id, self.timeout)
        found = examine(hosts, workdir=self.workdir, megabytes=self.megabytes)
        if not self.json or found.process == 0 or not found.shared:
            show(self, found, print_examination)
        return found.exit_code

    def _examine_run(self) -> int:
        from labelgraph_jax.cli.run_files import examine_run, in_sentences

        found = examine_run(self.run, accept=self.accept)
        tell(self, found, *in_sentences(found))
        return 0 if found.whole else 2
