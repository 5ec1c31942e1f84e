"""Fonts for labels in any writing system: fallbacks, and what none of them draws."""

import unicodedata
import warnings
from collections.abc import Iterable
from functools import cache

from labelgraph_jax.data.writing import script_of

INSTALL = (
    "install the Noto fonts (Debian and Ubuntu: fonts-noto-core, fonts-noto-cjk; "
    "macOS and Windows have such fonts of their own; else fonts.google.com/noto)"
)
_told: set[str] = set()


class MissingFontWarning(UserWarning):
    """Given where no font draws a name."""


def families(texts: Iterable[str]) -> list[str]:
    """The font families of the style, then those that draw what it lacks of texts.

    Warns once of each writing system that no installed font draws.
    """
    from matplotlib import rcParams

    texts = list(texts)
    found, _ = _fallbacks(_characters(texts))
    scripts = missing_scripts(texts)
    if not _told.issuperset(scripts):
        _told.update(scripts)
        warnings.warn(missing_fonts(scripts), MissingFontWarning, stacklevel=2)
    return [*rcParams["font.family"], *found]


def missing_fonts(scripts: Iterable[str]) -> str:
    """The sentence that names writing systems without a font, and the remedy."""
    return f"no font here draws {', '.join(scripts)} in pictures: {INSTALL}"


def missing_scripts(texts: Iterable[str]) -> list[str]:
    """The writing systems of texts that no installed font draws."""
    _, missing = _fallbacks(_characters(texts))
    return sorted({script_of(c) or "some signs" for c in missing})


def _characters(texts: Iterable[str]) -> frozenset[str]:
    """Return the characters beyond ASCII that need a glyph, as matplotlib composes."""
    return frozenset(
        c
        for text in texts
        if not text.isascii()
        for c in text
        if c > "\x7f" and unicodedata.category(c) not in ("Cf", "Mn", "Zs", "Cc")
    )


@cache
def _fallbacks(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Families beside the style's own for some characters, and what none draws."""
    from matplotlib import font_manager

    def drawn(path: str) -> frozenset[str]:
        try:
            known = font_manager.get_font(path).get_charmap()
        except (OSError, RuntimeError):  # a bitmap of emoji, or damaged
            return frozenset()
        return frozenset(c for c in missing if ord(c) in known)

    missing = characters
    if not missing:
        return (), missing
    missing -= drawn(font_manager.findfont(font_manager.FontProperties()))
    found: list[str] = []
    # Upright sans serif first, of middle weight. The last resort draws boxes.
    every = font_manager.fontManager.ttflist
    entries = sorted(
        (font for font in every if "Last Resort" not in font.name),
        key=lambda font: (
            font.style != "normal",
            "Sans" not in font.name,
            str(font.weight) not in ("400", "normal", "regular"),
            font.name,
        ),
    )
    for entry in entries:
        if not missing:
            break
        if covered := drawn(entry.fname):
            found.append(entry.name)
            missing -= covered
    return tuple(found), missing
