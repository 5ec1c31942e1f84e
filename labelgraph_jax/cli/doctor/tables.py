"""An examination on a terminal."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from labelgraph_jax.cli.doctor.examination import Examination
from labelgraph_jax.cli.doctor.facts import GIB, Folder, ProcessFacts, counted
from labelgraph_jax.cli.terminal import add_number_columns, plain_console, plain_table

ROWS = 16
"""Processes that are listed; of further ones the number is given."""


def print_examination(examination: Examination) -> None:
    """Print what was seen: process 0 everything, the others what they alone know."""
    is_whole = len(examination.processes) == examination.joined
    if examination.process and examination.shared and is_whole:
        return
    console = plain_console()
    of = f" of {examination.joined}" if examination.shared else ""
    devices = f"{examination.devices:,} device" + "s" * (examination.devices != 1)
    console.print(
        f"process {examination.process}{of} ({examination.found_by}); {devices}",
        style="bold",
    )
    console.print(_processes_table(examination.processes))
    for line in _lines(examination):
        console.print(line)
    findings = [("problem", finding) for finding in examination.problems]
    findings += [("note", finding) for finding in examination.notes]
    for word, finding in findings:
        console.print(f"{word}: {finding.what}")
        if finding.hint:
            console.print(f"  {finding.hint}")
    if not examination.problems:
        console.print("no problem found")


def _processes_table(processes: Sequence[ProcessFacts]) -> Table:
    table = plain_table()
    add_number_columns(table, ("process",))
    table.add_column("host", no_wrap=True, max_width=20)
    table.add_column("devices", max_width=24)
    titles = ("memory\neach", "cores", "RAM free\nof GiB", "disk\nfree", "TFLOP/s")
    add_number_columns(table, titles)
    for facts in processes[:ROWS]:
        disk = facts.folders.get("current folder", Folder("")).free
        table.add_row(
            str(facts.process),
            facts.host,
            counted(facts.device_kinds) or "none",
            _gib(facts.device_memory),
            "unknown" if facts.cores is None else str(facts.cores),
            f"{_gib(facts.memory_free)} / {_gib(facts.memory_total)}",
            _gib(disk),
            "-" if facts.teraflops is None else f"{facts.teraflops:.3g}",
        )
    if len(processes) > ROWS:
        table.add_row("...", f"and {len(processes) - ROWS} more")
    return table


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / GIB:.1f}"


def _lines(examination: Examination) -> Iterator[str]:
    facts = examination.processes[0]
    yield ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    for role, folder in facts.folders.items():
        yield f"{role}: {folder.path}, {_gib(folder.free)} GiB free"
    if "compilation cache" not in facts.folders:
        yield "compilation cache: none set"
    if reduction := examination.all_reduce:
        yield (
            f"all-reduce of {reduction.megabytes} MiB per device over "
            f"{reduction.devices} devices: {reduction.seconds * 1e3:.2f} ms, "
            f"{reduction.gigabytes_per_second:.2f} GB/s = 2 (n - 1) / n * bytes / s"
        )
    elif examination.devices == 1:
        yield "all-reduce: not timed with one device"
