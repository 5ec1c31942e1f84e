"""Runs the scripts as a person would, with fake tools that write down what they get."""

import os
import shutil
import subprocess
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "tpu_scripts"
TOOLS = ["gcloud", "kubectl", "docker", "xpk", "sbatch", "srun", "squeue", "scancel"]
FIELD, CALL = "\x1f", "\x1e"

# Writes its name and arguments, and what `apply -f -` gets by a pipe.
FAKE = r"""#!/usr/bin/env bash
piped=
if [[ $* == *'-f -' ]]; then piped=$(cat); fi
printf -v call '%s\x1f' "${0##*/}" "$@"
printf '%s\x1e' "$call$piped" >>"$RECORD"
[[ -z ${FAKE_FAILS-} || "${0##*/} $*" != *"$FAKE_FAILS"* ]] || exit 7
"""


class Shell:
    """A PATH with the fake tools first, and the record of their calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "record"
        tools = folder / "tools"
        tools.mkdir()
        for tool in [*TOOLS, "sinfo", "tar", "tail"]:
            (tools / tool).write_text(FAKE)
            (tools / tool).chmod(0o755)
        # A dry run must do with these: no gcloud, kubectl, sbatch ...
        self.bare = folder / "bare"
        self.bare.mkdir()
        for tool in ["bash", "dirname", "id", "seq"]:
            (self.bare / tool).symlink_to(str(shutil.which(tool)))
        self.environment = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "USER": "ada",
            "RECORD": str(self.record),
        }

    def run(
        self, script: str, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(shutil.which("bash")), str(SCRIPTS / script), *arguments],
            capture_output=True,
            text=True,
            env=self.environment | environment,
            cwd=self.folder,
            timeout=60,
        )

    def dry(self, script: str, *arguments: str) -> list[str]:
        """The lines of a dry run on a machine that has none of the tools."""
        cut = arguments.index("--") if "--" in arguments else len(arguments)
        words = [*arguments[:cut], "--dry-run", *arguments[cut:]]
        result = self.run(script, *words, PATH=str(self.bare))
        assert result.returncode == 0, result.stderr
        assert not self.record.exists(), "a dry run must run nothing"
        return result.stdout.splitlines()

    def recorded(self) -> list[tuple[list[str], str]]:
        """The calls so far: name and arguments, what was piped in; forgets them."""
        calls = self.record.read_text().split(CALL)[:-1]
        self.record.unlink()
        split = [call.split(FIELD) for call in calls]
        return [(words[:-1], words[-1]) for words in split]

    def evaluated(self, lines: list[str]) -> list[tuple[list[str], str]]:
        """What the tools get when a person pastes these lines into bash."""
        subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", "\n".join(lines)],
            env=self.environment,
            cwd=self.folder,
            check=True,
            capture_output=True,
            timeout=60,
        )
        return self.recorded()
