"""Every command of `tpu_scripts/` that a page prints: run as printed, as a dry run."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES.append(ROOT / "tpu_scripts" / "README.md")
FENCE = re.compile(r"^```(?:bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Each after the variables that its block sets before it."""
    found: dict[str, None] = {}
    for page in PAGES:
        for block in FENCE.findall(page.read_text(encoding="utf-8")):
            variables: list[str] = []
            for line in block.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ").split(" #")[0].strip()
                if re.match(r"(export )?[A-Z_]+=", line):
                    variables.append(line)
                elif line.startswith("bash tpu_scripts/"):
                    found["\n".join([*variables, line])] = None
    return list(found)


@pytest.mark.process
@pytest.mark.parametrize("script", commands(), ids=lambda s: s.splitlines()[-1])
def test_a_command_of_a_page_ends_well_as_printed(script: str, tmp_path: Path) -> None:
    if "--dry-run" not in script and "--help" not in script:
        # What would cost money is printed and not run.
        command, separator, rest = script.partition(" -- ")
        script = f"{command} --dry-run{separator}{rest}"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CLOUDSDK")}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=kept | {"HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_pages_print_such_commands() -> None:
    assert len(commands()) > 10
    assert any("--dry-run" in command for command in commands())
