"""How the pages in this folder become a site: `sphinx-build -W docs OUT`.

Nothing is fetched: no inventories of other projects, no fonts, no scripts.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]
# The pages show plain text of one width, and modules are only read here.
os.environ.update(
    COLUMNS="80",
    TERM="dumb",
    NO_COLOR="1",
    JAX_PLATFORMS="cpu",
    TF_CPP_MIN_LOG_LEVEL="3",
)

from labelgraph_jax import __version__  # noqa: E402 - found through the line above

project = "labelgraph_jax"
author = "the authors of labelgraph_jax"
version = release = __version__
html_title = f"labelgraph_jax {release}"
highlight_language = "text"  # a formula in a docstring is no Python
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["tables.css"]
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "docstrings",
    "source_signatures",
    "verb_help",
]
exclude_patterns = ["build", "extensions"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# A name in backticks becomes a link where this site documents it.
default_role = "py:obj"
add_module_names = False
maximum_signature_line_length = 70
autodoc_member_order = "bysource"
# Typed dictionaries, whose keys the code tells; autodoc stumbles on them.
TYPED_DICTS = (
    "AdaptChoice",
    "Answer",
    "Best",
    "BrokenRule",
    "GraphResults",
    "HierarchyChoice",
    "LabelRow",
    "OtherKeys",
    "Position",
    "RuleCheck",
    "TaxonomyFacts",
    "TokenOptions",
    "Unseen",
    "WayResults",
)
# A module documents what it defines, not what it passes on; on functools.partial, which
# has no signature, autodoc stumbles before it sees that it is another module's.
autodoc_default_options = {
    "ignore-module-all": True,
    "exclude-members": ", ".join(("partial", *TYPED_DICTS)),
}
autodoc_typehints = "signature"
autosummary_generate = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [
    ("Reference", "notes"),
    ("References", "notes"),
    ("Attributes", "params_style"),
]

# Every link to a name of ours must lead somewhere; these are names of others.
nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", r"[\s\S]*"),  # a word in backticks that is no name of ours: `targets`
    ("py:(class|exc)", r"(?!labelgraph_jax).*"),
    ("py:class", rf"labelgraph_jax\..*\.({'|'.join(TYPED_DICTS)})"),
]
