"""The commands that README and docs print, one by one and in their order."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "build" not in path.parts)
TEXTS = [*PAGES, ROOT / "README.md"]

FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(
    r"\.\.\.|\b(VERB|CORPUS|FILE|FOLDER|RUN|COLUMN|DIR|OUT|KIND|NAME|PYTHON_\w+)\b"
)
_SPAN = re.compile(r"`((?:labelgraph|python -m|pip|GLIBC_TUNABLES=\S+ python) [^`]+)`")
_PREFIXES = re.compile(r"^(?:\$ )?(?:(?:[A-Z_]+=\S+|srun|env) +)*")


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, *languages: str) -> list[str]:
    found = FENCE.findall(path.read_text(encoding="utf-8"))
    return [text for language, text in found if language in languages]


def shell_lines(path: Path) -> list[str]:
    """What a page prints to be typed: in blocks, then in backticks of its sentences."""
    in_blocks, in_sentences = printed(path)
    return in_blocks + in_sentences


def printed(path: Path) -> tuple[list[str], list[str]]:
    """The lines of blocks, one after another; and commands that sentences name alone.

    Of a console that is what stands behind `$`; a verb that a sentence names, without
    what it works on, stands here with `--help`.
    """
    lines = []
    text = path.read_text("utf-8")
    for language, block in FENCE.findall(text):
        if language in ("bash", "console"):
            whole = block.replace("\\\n", " ").splitlines()
            typed = [line.removeprefix("$ ") for line in whole if line[:2] == "$ "]
            lines += typed if language == "console" else whole
    prose = re.sub(r"```.*?^```", "", text, flags=re.M | re.S)
    spans = []
    for span in _SPAN.findall(prose):
        named = " ".join(span.split())
        bare = re.fullmatch(r"labelgraph(?! doctor| config| train)[ a-z|]+", named)
        spans.append(f"{named} --help" if bare else named)
    lines = [" ".join(line.split(" #")[0].split()) for line in lines]
    return [line for line in lines if line], spans


def parts(line: str) -> list[str]:
    """The commands of a line, without what stands before them: `srun`, variables."""
    pieces = re.split(r" \| | && | -- |; ", line)
    return [_PREFIXES.sub("", piece.strip()) for piece in pieces]


def commands(path: Path) -> list[str]:
    """Every `labelgraph` command of a page that names no placeholder."""
    return [
        re.sub(r" > \S+$", "", part)
        for line in shell_lines(path)
        for part in parts(line)
        if part.startswith("labelgraph ") and not PLACEHOLDER.search(part)
    ]


def alternatives(command: str) -> list[str]:
    """`data stats|validate X` is two commands; without an option's value it is none."""
    found = re.search(r"\b\w+(\|\w+)+", command)
    if not found:
        return [command]
    return [command.replace(found[0], choice) for choice in found[0].split("|")]
