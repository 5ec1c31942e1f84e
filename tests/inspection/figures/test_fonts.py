"""Names in any writing system: fallback fonts, and numbers where no font draws them."""

import io
import warnings
from pathlib import Path

import pytest
from matplotlib import font_manager

from labelgraph_jax import figures
from labelgraph_jax.inspection.figures import fonts
from labelgraph_jax.inspection.report import pictures

NAMES = ["wheat", "小麦", "été"]
EDGES = [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


@pytest.fixture(autouse=True)
def no_font_known_yet(monkeypatch: pytest.MonkeyPatch):
    """Only the fonts that come with matplotlib, and nothing told."""
    own = [f for f in font_manager.fontManager.ttflist if "mpl-data" in f.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(fonts, "_told", set())
    fonts._fallbacks.cache_clear()
    yield
    fonts._fallbacks.cache_clear()


def font_of(characters: str, folder: Path) -> str:
    """A font that draws some characters alone; its family."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((0, 700))
    pen.lineTo((900, 0))
    pen.closePath()
    names = [".notdef", *(f"u{ord(c):x}" for c in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): f"u{ord(c):x}" for c in characters})
    builder.setupGlyf({name: pen.glyph() for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Han Test", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = folder / "han.ttf"
    builder.save(path)
    font_manager.fontManager.addfont(path)
    return "Han Test"


def test_a_name_that_the_style_draws_needs_no_other_font() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fonts.families(["été", "Ελλάδα", "дом"]) == ["sans-serif"]
    assert fonts.missing_scripts(["été", "дом"]) == []


def test_an_installed_font_is_found_and_draws_without_a_warning(tmp_path: Path) -> None:
    family = font_of("小麦", tmp_path)
    assert fonts.families(NAMES) == ["sans-serif", family]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = figures.label_network(EDGES, NAMES)
        ax.figure.savefig(io.BytesIO(), format="png")


def test_one_warning_names_the_scripts_and_what_to_install() -> None:
    with pytest.warns(fonts.MissingFontWarning) as told:
        fonts.families(["小麦 हिन्दी"])
        fonts.families(["石油"])
        fonts.families(["小麦"])
    assert len(told) == 1
    said = str(told[0].message)
    assert "Devanagari, Han" in said
    assert "fonts-noto-cjk" in said


def test_a_number_stands_for_a_name_that_no_font_draws() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    ax = figure.add_subplot()
    numbered: dict[str, int] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fonts.MissingFontWarning)
        figures.adjacency_heat_map(EDGES, NAMES, title="石油", ax=ax)
    pictures._number_names(figure, numbered)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["wheat", "[1]", "été"]
    assert numbered == {"小麦": 1, "石油": 2}
