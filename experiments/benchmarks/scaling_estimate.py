"""What data-parallel training on many chips should cost: arithmetic, not measurement.

Every chip holds the whole model and its own rows; after the backward pass the gradients
are summed over all chips. With G bytes of gradients and n chips each chip sends

    2 (n - 1) / n  G

(reduce-scatter, then all-gather; on hosts of several chips first within the host, then
between the hosts, then within again: the same number of bytes). Figures of the chips
are the makers' own, as printed in the sources named; what is assumed is named so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.benchmarks.finetuning import (
    SHAPES,
    Sizes,
    analytic_flops,
    matrix_parameters,
)
from experiments.study import markdown_table

CHIPS = (8, 64, 256)
ROWS = (32, 128)
TOKENS = 256
MFU = 0.4
LINK_USE = 0.8
BYTES = 4
TPU_HOP = 1e-6
HOST_HOP = 5e-6


@dataclass(frozen=True)
class Torus:
    """Chips joined to their neighbours.

    Attributes:
        peak: floating-point operations a second in bfloat16.
        each_way: bytes a second out of a chip over all its links.
        axes: for so many chips, how they are laid out.
        closed: numbers of chips whose axes close into rings; elsewhere a ring goes
            back over the links it came by, so that half of them count.
    """

    name: str
    peak: float
    each_way: float
    axes: Mapping[int, Sequence[int]]
    closed: tuple[int, ...]
    source: str

    def all_reduce_seconds(self, size: float, chips: int) -> float:
        """Seconds to sum so many bytes over the chips."""
        rate = LINK_USE * self.each_way * (1.0 if chips in self.closed else 0.5)
        hops = 2 * sum(axis - 1 for axis in self.axes[chips])
        return sent_bytes(size, chips) / rate + hops * TPU_HOP


@dataclass(frozen=True)
class Clustered:
    """Hosts of some chips, joined to each other by one adapter a chip.

    Attributes:
        peak: floating-point operations a second in bfloat16.
        inside, outside: bytes a second out of a chip, to its host's chips and to
            other hosts.
    """

    name: str
    peak: float
    per_host: int
    inside: float
    outside: float
    source: str

    def all_reduce_seconds(self, size: float, chips: int) -> float:
        """Seconds to sum so many bytes over the chips."""
        hosts = max(1, chips // self.per_host)
        local = min(chips, self.per_host)
        within = sent_bytes(size, local) / (LINK_USE * self.inside)
        between = sent_bytes(size / local, hosts) / (LINK_USE * self.outside)
        hops = 2 * (local - 1 + hosts - 1)
        return within + between + hops * HOST_HOP


SYSTEMS: tuple[Torus | Clustered, ...] = (
    Torus(
        "TPU v5e",
        197e12,
        200e9,
        {8: (2, 4), 64: (8, 8), 256: (16, 16)},
        (256,),
        "Cloud TPU documentation, “TPU v5e”: 197 TFLOPs in bfloat16, 400 GB/s of "
        "inter-chip bandwidth a chip in both directions together, a 2D torus of 256",
    ),
    Torus(
        "TPU v5p",
        459e12,
        600e9,
        {8: (2, 2, 2), 64: (4, 4, 4), 256: (4, 8, 8)},
        (64, 256),
        "Cloud TPU documentation, “TPU v5p”: 459 TFLOPs in bfloat16, 1,200 GB/s a "
        "chip in both directions together, a 3D torus from 4 x 4 x 4 on",
    ),
    Clustered(
        "H100, 8 a host",
        989e12,
        8,
        450e9,
        50e9,
        "NVIDIA's figures for the H100 SXM and DGX H100: 989 TFLOPS dense in bfloat16, "
        "NVLink of 900 GB/s a chip in both directions together, one 400 Gb/s "
        "InfiniBand adapter (ConnectX-7) a chip",
    ),
)
MODELS = ("minilm", "bert-base")


def sent_bytes(size: float, chips: int) -> float:
    """Bytes that each chip sends to sum `size` bytes over all of them."""
    return 2 * (chips - 1) / chips * size


def model_parameters(name: str) -> int:
    """Parameters of an encoder, without its head."""
    shape = SHAPES[name]
    features, hidden = shape.features, shape.hidden_features
    tables = (shape.vocabulary_size + shape.max_positions) * features
    biases = shape.layers * (5 * features + hidden)
    norms = 2 * features * (2 * shape.layers + 1)
    return matrix_parameters(shape) + tables + biases + norms


def estimate(
    system: Torus | Clustered, model: str, chips: int, rows: int
) -> dict[str, Any]:
    """One step on so many chips, each with so many rows.

    Returns:
        Bytes sent by each chip, seconds of the sum and of the computation, and how
        much of one chip's speed each keeps: `alone` where nothing overlaps, `hidden`
        where all of the sum runs behind the computation.
    """
    size = float(BYTES * model_parameters(model))
    compute = analytic_flops(Sizes(model, rows, TOKENS)) / (MFU * system.peak)
    summed = system.all_reduce_seconds(size, chips)
    return {
        "system": system.name,
        "model": model,
        "chips": chips,
        "rows": rows,
        "sent_bytes": sent_bytes(size, chips),
        "all_reduce_seconds": summed,
        "compute_seconds": compute,
        "alone": compute / (compute + summed),
        "hidden": compute / max(compute, summed),
    }


def estimates() -> list[dict[str, Any]]:
    """Every system, model, number of chips and of rows."""
    return [
        estimate(system, model, chips, rows)
        for system in SYSTEMS
        for model in MODELS
        for chips in CHIPS
        for rows in ROWS
    ]


def markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """The estimates as a section of a report."""
    rows = []
    cases = {(e["system"], e["model"], e["chips"]): e for e in found}
    by_rows = {(e["system"], e["model"], e["chips"], e["rows"]): e for e in found}
    for (system, model, chips), one in cases.items():
        cells = [
            system,
            f"{model}, {model_parameters(model) / 1e6:.1f} M",
            str(chips),
            f"{one['sent_bytes'] / 1e6:.0f}",
            f"{1e3 * one['all_reduce_seconds']:.2f}",
        ]
        for count in ROWS:
            case = by_rows[system, model, chips, count]
            cells += [
                f"{1e3 * case['compute_seconds']:.1f}",
                f"{case['alone']:.0%} / {case['hidden']:.0%}",
            ]
        rows.append(cells)
    header = ["system", "encoder", "chips", "MB sent a chip", "ms to sum"]
    for count in ROWS:
        header += [f"ms to compute, {count} rows", "efficiency, none / all hidden"]
    return "\n".join(
        [
            "### An estimate for many chips",
            "",
            "Arithmetic from published figures; nothing of it was measured.",
            "",
            markdown_table(header, rows),
            f"Float32 gradients ({BYTES} bytes a parameter), each chip sends "
            "2 (n - 1) / n of them. Computation: 6 N tokens + attention (see "
            f"`finetuning.analytic_flops`), {TOKENS} tokens a row, at an assumed "
            f"{MFU:.0%} of the peak. Also assumed: {LINK_USE:.0%} of a link's printed "
            f"speed is reached; {1e6 * TPU_HOP:g} µs a hop on a torus, "
            f"{1e6 * HOST_HOP:g} µs elsewhere; on a v5e slice below 256 chips and a "
            "v5p slice below 64 no axis closes into a ring, which halves the speed. "
            "“None hidden”: the sum follows the computation; “all hidden”: it runs "
            "behind it. A run lies between the two. Rows are of one chip: more rows, "
            "or gradients summed over several micro-batches first, cost no more "
            "communication.",
            "",
            "Sources. " + "; ".join(system.source for system in SYSTEMS) + ".",
            "",
        ]
    )
