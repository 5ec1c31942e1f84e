"""The page in a real browser: it loads from disk, says what it should, and answers."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.inspection.report import WrittenReport
from labelgraph_jax.inspection.report.contents import Scored
from tests.inspection.report.nasty import NASTY_LABEL


class Opened:
    """A page with everything that went wrong on it."""

    def __init__(self, browser: Any, written: WrittenReport, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.wrong: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self.wrong.append(said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(written.page.as_uri())
        self.page.wait_for_selector("[data-ready]", state="attached")

    def column(self, number: int) -> list[str]:
        cells = self.page.locator(f"#label-table tbody tr > :nth-child({number})")
        return [text.strip() for text in cells.all_text_contents()]

    def network(self, name: str) -> str:
        self.page.wait_for_timeout(80)  # it draws in the next frame
        return str(self.page.locator("#network").get_attribute(f"data-{name}"))


@pytest.fixture(scope="module")
def wide(browser: Any, written: WrittenReport) -> Iterator[Opened]:
    opened = Opened(browser, written, viewport={"width": 1400, "height": 900})
    yield opened
    opened.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 1600])
def test_it_loads_without_an_error_or_a_request_and_never_scrolls_sideways(
    browser: Any, written: WrittenReport, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 900}
    opened = Opened(browser, written, viewport=size, color_scheme=scheme)
    page = opened.page
    for link in page.locator("nav a").all():
        link.click()
    assert opened.wrong == []
    assert all(url.startswith(("file://", "data:")) for url in opened.requests)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground, ink = (
        page.evaluate(f"getComputedStyle(document.body).{name}")
        for name in ("backgroundColor", "color")
    )
    lightness = [sum(map(int, c[4:-1].split(","))) for c in (ground, ink)]
    assert (lightness[0] > lightness[1]) == (scheme == "light")
    page.close()


def test_nothing_in_a_label_or_a_text_becomes_markup(wide: Opened) -> None:
    assert wide.page.title() == "data.jsonl: labelgraph report"
    assert wide.page.locator("img").count() == 0
    assert NASTY_LABEL in wide.column(1)
    assert wide.page.get_by_text("onerror=").count() > 0


def test_sorting_by_f1_puts_the_labels_in_another_order(wide: Opened) -> None:
    head = wide.page.locator('#label-table th[data-key="f1"]')
    head.get_by_role("button").focus()
    wide.page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    falling = [float(value) for value in wide.column(11)]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) > 1
    first = wide.column(1)
    wide.page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert [float(value) for value in wide.column(11)] == sorted(falling)
    assert wide.column(1) != first


def test_filters_leave_fewer_labels_and_say_how_many(wide: Opened) -> None:
    every = len(wide.column(1))
    wide.page.fill("#label-filter", "WHEAT")
    assert wide.column(1) == ["wheat"]
    assert wide.page.locator("#label-count").text_content() == "1 of 6 labels"
    wide.page.fill("#label-filter", "")
    wide.page.select_option("#label-group", "tail")
    tail = wide.column(2)
    assert 0 < len(tail) < every
    assert set(tail) == {"tail"}
    wide.page.select_option("#label-group", "")
    assert len(wide.column(1)) == every


def test_the_columns_of_right_and_wrong_ones_add_up(wide: Opened) -> None:
    columns = {
        wide.page.locator(f"#label-table th[data-key={key}]").text_content(): [
            int(text) for text in wide.column(number)
        ]
        for number, key in enumerate(("support", "predicted", "tp", "fp", "fn"), 4)
    }
    assert list(columns) == ["test", "predicted", "TP", "FP", "FN"]
    support, predicted, tp, fp, fn = columns.values()
    assert [a + b for a, b in zip(tp, fp, strict=True)] == predicted
    assert [a + b for a, b in zip(tp, fn, strict=True)] == support
    assert sum(tp) > 0


def test_the_label_table_is_downloaded_as_csv_from_a_file_without_a_network(
    wide: Opened, written: WrittenReport, tmp_path: Path
) -> None:
    wide.page.fill("#label-filter", "wheat")  # all labels are in the file anyway
    with wide.page.expect_download() as download:
        wide.page.get_by_role("button", name="Download as CSV").click()
    assert download.value.suggested_filename == "labels.csv"
    download.value.save_as(tmp_path / "labels.csv")
    wide.page.fill("#label-filter", "")
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert isinstance(written.report.scored, Scored)
    labels = written.report.scored.labels
    assert [row["label"] for row in rows] == list(labels.names)
    assert NASTY_LABEL in [row["label"] for row in rows]
    for name in ("precision", "recall", "f1"):
        values = [float(row[name] or "nan") for row in rows]
        expected = list(getattr(labels, name))
        assert values == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert [int(row["true_positives"]) for row in rows] == list(labels.true_positives)
    assert wide.wrong == []


def test_the_pages_of_the_table_are_turned(wide: Opened) -> None:
    buttons = wide.page.locator(".pager button")
    assert buttons.all_text_contents() == ["Previous", "Next"]
    assert all(button.is_disabled() for button in buttons.all())  # six labels, one page


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_no_picture_is_cut_or_scrolls(
    browser: Any, written: WrittenReport, width: int
) -> None:
    size = {"width": width, "height": 900}
    opened = Opened(browser, written, viewport=size)
    opened.page.locator("details").evaluate_all(
        "all => all.forEach(d => d.open = true)"
    )
    cut = opened.page.evaluate(
        """() => [...document.querySelectorAll("figure, svg, canvas, .heat, .tile")]
        .filter((found) => {
          const box = found.getBoundingClientRect();
          return box.width < 100 || box.left < 0 || box.right > innerWidth
            || (found.tagName !== "svg" && found.scrollWidth > found.clientWidth + 1);
        }).map((found) => found.className || found.id || found.tagName)"""
    )
    assert cut == []
    # What is written in a picture stands inside of it, at a size that can be read.
    for name, sizes, outside in opened.page.evaluate(
        """() => [...document.querySelectorAll(".picture svg")].map((picture) => {
          const whole = picture.getBoundingClientRect();
          const texts = [...picture.querySelectorAll("text")]
            .filter((text) => text.textContent.trim());
          const boxes = texts.map((text) => text.getBoundingClientRect());
          return [picture.getAttribute("aria-label"), boxes.map((b) => b.height),
            texts.filter((_, i) => boxes[i].left < whole.left - 2
              || boxes[i].right > whole.right + 2).map((text) => text.textContent)];
        })"""
    ):
        assert outside == [], name
        assert width < 400 or min(sizes) > 6, name
    opened.page.close()


def test_every_link_leads_to_a_section_with_something_in_it(wide: Opened) -> None:
    sections = wide.page.locator("main > section")
    links = wide.page.locator("nav a").all_text_contents()
    assert sections.locator("h2").all_text_contents() == links
    assert "Gates" not in links and {"Data", "Settings"} <= set(links)
    for section in sections.all():
        seen = section.locator("table, svg, canvas, article, li")
        assert seen.count() > 0, section.text_content()


def test_the_network_zooms_by_wheel_and_buttons(wide: Opened) -> None:
    canvas = wide.page.locator("#network")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert float(wide.network("zoom")) == 1.0
    wide.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wide.page.mouse.wheel(0, -400)
    wheeled = float(wide.network("zoom"))
    assert wheeled > 1.2
    wide.page.click("#zoom-in")
    assert float(wide.network("zoom")) > wheeled
    wide.page.click("#zoom-fit")
    assert float(wide.network("zoom")) == 1.0


def test_the_network_finds_a_label_and_lists_what_it_receives(wide: Opened) -> None:
    wide.page.fill("#graph-search", "corn")
    assert wide.network("chosen") == "corn"
    assert wide.network("found") == "1"
    said = wide.page.locator("#graph-panel").text_content()
    assert said.startswith("corn")
    assert "Receives from" in said and "grain" in said
    wide.page.fill("#graph-search", "")
    assert wide.network("found") == ""


def test_the_network_shows_heads_before_and_after_and_fewer_edges(wide: Opened) -> None:
    assert wide.network("view") == "edges after"
    options = wide.page.locator("#graph-view option").all_text_contents()
    assert options[0].startswith("Co-occurrence")
    assert "Attention, layer 2, head 2" in options
    wide.page.select_option("#graph-view", "attention-2-1")
    wide.page.check("#graph-when input[value=before]")
    assert wide.network("view") == "attention-2-1 before"
    title = wide.page.locator("#heat-own-title").text_content()
    assert title == "Attention, layer 2, head 1, before training"
    before = int(wide.network("edges"))
    wide.page.locator("#graph-edges").fill("1")
    assert int(wide.network("edges")) < before
    wide.page.select_option("#graph-view", "cooccurrence")
    assert wide.page.locator("#graph-when input").first.is_disabled()
    assert wide.page.locator("#heat-beside").is_hidden()


def test_a_click_on_a_label_of_the_table_chooses_it_in_the_network(
    wide: Opened,
) -> None:
    wide.page.locator("#label-table tbody button", has_text="oil").click()
    assert wide.network("chosen") == "oil"
    assert wide.wrong == []
