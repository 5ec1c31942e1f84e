"""Jinja2 templates of the pages: HTML in files of its own, its values escaped."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@cache
def templates(package: str) -> Environment:
    """Return the templates in the folder `assets` of a package.

    There `file("style.css")|safe` is a file of the folder as it stands.
    """
    loader = PackageLoader(package, "assets")
    found = Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    found.globals["file"] = lambda name: loader.get_source(found, name)[0]
    return found
