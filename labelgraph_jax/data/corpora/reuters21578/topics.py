"""Titles of the topics of Reuters-21578, from the distribution's own list."""

from __future__ import annotations

import re

FILE = "cat-descriptions_120396.txt"

_GROUP = re.compile(r"\*\*([A-Z].*) Codes \(\d+\)")
_DESCRIBED = re.compile(r"(\S.*\S)\s+\(([A-Z0-9-]+)\)")


def read_descriptions(text: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Topic -> description, and topic -> its group as a taxonomy parent.

    The list reads `Consumer Price Index (CPI)` under `**Economic Indicator Codes`, or
    just `PALM-OIL`: "Consumer Price Index (economic indicator)" under
    "group: economic indicator".
    """
    descriptions: dict[str, str] = {}
    parents: dict[str, tuple[str, ...]] = {}
    _, _, topics = text.partition("****Subject Codes")
    group = ""
    for line in topics.partition("@heading")[0].splitlines():
        line = line.strip()
        if heading := _GROUP.fullmatch(line):
            group = heading[1].lower()
        elif (described := _DESCRIBED.fullmatch(line)) or re.fullmatch(
            "[A-Z0-9-]+", line
        ):
            topic = (described[2] if described else line).lower()
            words = described[1] if described else topic.replace("-", " ")
            descriptions[topic] = f"{words} ({group})" if group else words
            if group:
                parents[topic] = (f"group: {group}",)
    return descriptions, parents
