"""Report on a finished run: one page that needs no network, and its pictures.

From Python:

    from labelgraph_jax.inspection.report import write_report

    written = write_report("runs/mine")
    written.page              # runs/mine/report.html
    written.pictures          # runs/mine/report/*.png
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from labelgraph_jax.config import ReadingConfig
from labelgraph_jax.data.files import replacing, write_text
from labelgraph_jax.data.terminal import visible
from labelgraph_jax.inspection.report.contents import Overall, Report, plain
from labelgraph_jax.predictors.workdir import Workdir, WorkdirError

__all__ = ["Report", "WrittenReport", "has_report", "write_report"]

PAGE = "report.html"
PICTURES = "report"


@dataclass(frozen=True)
class WrittenReport:
    """Paths of a written report.

    Attributes:
        page: the HTML file.
        pictures: PNG files.
        report: what it says.
        seconds: how long it took.
    """

    page: Path
    pictures: tuple[Path, ...]
    report: Report
    seconds: float

    def to_json(self) -> dict[str, object]:
        """Return paths, metrics with intervals, and left-out sections with reasons."""
        overall = self.report.overall
        return {
            "report": str(self.page),
            "bytes": self.page.stat().st_size,
            "pictures": [str(path) for path in self.pictures],
            "seconds": round(self.seconds, 2),
            "metrics": plain(overall.metrics) if isinstance(overall, Overall) else None,
            "left_out": {n: why for n, why in self.report.sections().items() if why},
        }


def has_report(workdir: str | Path) -> bool:
    """Return True if a work directory has a report at least as new as its results."""
    page, results = Path(workdir) / PAGE, Path(workdir) / "results.json"
    if not (page.is_file() and results.is_file()):
        return False
    return page.stat().st_mtime >= results.stat().st_mtime


def write_report(
    workdir: str | Path,
    *,
    out: str | Path = "",
    data: str = "",
    data_dir: str = "",
    reading: ReadingConfig | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> WrittenReport:
    """Write `report.html` and `report/*.png` of a finished run.

    Args:
        workdir: what `labelgraph train` left.
        out: a folder, made if absent; the work directory itself when empty.
        data: a labelled file to report on; without it the run's own test split.
        data_dir: where the local corpus copies lie now, if they have moved.
        reading: how `data` is read, where the run's files were read otherwise.
        say: takes one line about what is going on.

    Raises:
        WorkdirError: no finished run stands there, or its test data has changed.
        DataError: the file is malformed.
        OSError: nothing can be written at `out`.
    """
    # A run that has finished, and a folder to write to.
    started = time.perf_counter()
    place = Workdir.existing(workdir)
    if not place.is_finished:
        raise WorkdirError(
            f"{place.path}: training has not finished, so there is nothing to report; "
            "run `labelgraph train` with the same settings to go on"
        )
    folder = Path(out) if out else place.path
    if folder.exists() and not folder.is_dir():
        raise WorkdirError(f"{folder}: --out must be a folder, it is a file")
    report = _gather(place, data, data_dir, reading, say)
    from labelgraph_jax.inspection.figures.fonts import missing_fonts, missing_scripts
    from labelgraph_jax.inspection.report.page import page
    from labelgraph_jax.inspection.report.pictures import render

    # Pictures as files beside the page, and as drawings within it.
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    inline: dict[str, str] = {}
    written = []
    numbered: dict[str, int] = {}
    for name, png, svg in render(report, numbered):
        path = folder / PICTURES / f"{name}.png"
        with replacing(path) as temporary:
            temporary.write_bytes(png)
        inline[name] = svg
        written.append(path)
    # Names that no font can write stand as numbers, which a note explains.
    if numbered:
        scripts = missing_scripts(numbered)
        say(missing_fonts(scripts))
        legend = "; ".join(f"[{number}] {name}" for name, number in numbered.items())
        note = f"{missing_fonts(scripts)}. In {PICTURES}/*.png stand numbers: {legend}"
        data_notes = replace(report.data, notes=(*report.data.notes, note))
        report = replace(report, data=data_notes)
    # The page.
    text = page(report, inline, source=str(place.path))
    write_text(folder / PAGE, visible(text, keep="\n\r\t"))
    seconds = time.perf_counter() - started
    return WrittenReport(folder / PAGE, tuple(written), report, seconds)


def _gather(
    place: Workdir,
    data: str,
    data_dir: str,
    reading: ReadingConfig | None,
    say: Callable[[str], None],
) -> Report:
    if place.is_table:
        from labelgraph_jax.inspection.report.tables import gather_table

        return gather_table(place, data=data, reading=reading, say=say)
    from labelgraph_jax.inspection.report.gathering import gather

    return gather(place, data=data, data_dir=data_dir, reading=reading, say=say)
