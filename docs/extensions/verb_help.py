"""What `labelgraph VERB --help` prints, asked when the site is built."""

import contextlib
import io
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from labelgraph_jax.cli import app as cli


class VerbHelp(SphinxDirective):
    """`{verb-help} data stats`: the command and its help."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """A block of code with both.

        Raises:
            ExtensionError: the verb does not exist.
        """
        verb = self.arguments[0]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = cli.run([*verb.split(), "--help"])
        if code != 0:
            raise self.error(f"labelgraph {verb} --help ended with exit code {code}")
        text = "\n".join(line.rstrip() for line in said.getvalue().splitlines())
        block = nodes.literal_block(text, text.strip("\n"), language="text")
        return [block]


def setup(app: Any) -> dict[str, bool]:
    """Make the directive `verb-help` known to Sphinx."""
    app.add_directive("verb-help", VerbHelp)
    return {"parallel_read_safe": True}
