"""Settings of the machines that a run uses: none of them changes what is learned.

They are not part of the configuration that a work directory keeps, so that a run goes
on over other devices, another mesh or another number of processes.
"""

from dataclasses import dataclass
from typing import Literal

from labelgraph_jax.config.settings import check_choices, require


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Devices, processes, checkpoints: how a run is carried out."""

    parallel: Literal["jit", "pmap"] = "jit"
    """Transformation that splits a step over the devices; both give the same numbers.
    pmap has no model axis."""
    mesh: str = ""
    """Devices along the batch and along the model, as data=4,model=2; all along the
    batch when empty. Over the model axis experts, wide layers and tables are split."""
    checkpoint_every: int = 0
    """Save every so many steps and at the end of each epoch; 0 saves at the end of an
    epoch, at most once a minute."""
    keep_optimizer: bool = False
    """Keep the last checkpoints with the optimizer's state when the run has finished,
    and not the best parameters alone."""
    profile: str = ""
    """Trace these steps, as 10:20, into profile/ of the work directory."""
    coordinator: str = ""
    """HOST:PORT of process 0, where several processes are one run and no scheduler says
    so: with --processes and --process-id, or LABELGRAPH_COORDINATOR, _PROCESSES and
    _PROCESS_ID. Cloud TPU, GKE's TPU nodes, Slurm and Open MPI need none."""
    processes: int | None = None
    """Number of processes."""
    process_id: int | None = None
    """Index of this process, from 0."""
    timeout: int = 300
    """Seconds to wait for the other processes at the start."""

    def __post_init__(self) -> None:
        check_choices(self, "run")
        require(
            self.checkpoint_every >= 0,
            f"--checkpoint-every must be at least 0 steps, got {self.checkpoint_every}",
        )
