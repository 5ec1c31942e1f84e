"""Every verb under its name, in the order of the help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import tyro

from labelgraph_jax.cli.commands.answers import (
    PseudoRead,
    PseudoWrite,
    TaxonomyPropose,
    TaxonomyRead,
    TaxonomyReview,
    TaxonomyUpdate,
)
from labelgraph_jax.cli.commands.data import (
    DataCompare,
    DataExport,
    DataList,
    DataStats,
    DataTaxonomy,
    DataValidate,
)
from labelgraph_jax.cli.commands.inspection import Explain, Gates, Graph, Report
from labelgraph_jax.cli.commands.labels import (
    Discover,
    LabelsAdd,
    LabelsList,
    LabelsRemove,
)
from labelgraph_jax.cli.commands.models import Evaluate, Export, Predict, Serve
from labelgraph_jax.cli.commands.rules import RulesCheck, RulesMine
from labelgraph_jax.cli.commands.settings import (
    ConfigCheck,
    ConfigDiff,
    ConfigList,
    ConfigShow,
)
from labelgraph_jax.cli.commands.setup import Doctor
from labelgraph_jax.cli.commands.sources import Agree, Weak
from labelgraph_jax.cli.commands.streams import Learn
from labelgraph_jax.cli.commands.training import Distil, Ensemble, Memory, Train
from labelgraph_jax.cli.help_text import first_sentence
from labelgraph_jax.config import Config


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print a script that completes commands and options in a shell.

    Examples:
      labelgraph completion bash > ~/.local/share/bash-completion/completions/labelgraph
      labelgraph completion zsh > ~/.zfunc/_labelgraph
      labelgraph completion fish > ~/.config/fish/completions/labelgraph.fish
    """

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]

    def execute(self) -> int:
        """Print the script."""
        asked = ["--tyro-write-completion", self.shell, "-"]
        tyro.cli(union_of_verbs(Config(), brief=True), args=asked, prog="labelgraph")
        return 0


VERBS: dict[str, type | dict[str, type]] = {
    "train": Train,
    "doctor": Doctor,
    "ensemble": Ensemble,
    "evaluate": Evaluate,
    "predict": Predict,
    "report": Report,
    "explain": Explain,
    "export": Export,
    "serve": Serve,
    "gates": Gates,
    "graph": Graph,
    "data": {
        "stats": DataStats,
        "validate": DataValidate,
        "compare": DataCompare,
        "export": DataExport,
        "taxonomy": DataTaxonomy,
        "list": DataList,
    },
    "weak": Weak,
    "taxonomy": {
        "propose": TaxonomyPropose,
        "update": TaxonomyUpdate,
        "review": TaxonomyReview,
        "read": TaxonomyRead,
    },
    "pseudo": {"write": PseudoWrite, "read": PseudoRead},
    "agree": Agree,
    "learn": Learn,
    "memory": Memory,
    "distil": Distil,
    "discover": Discover,
    "labels": {"add": LabelsAdd, "list": LabelsList, "remove": LabelsRemove},
    "rules": {"check": RulesCheck, "mine": RulesMine},
    "config": {
        "show": ConfigShow,
        "check": ConfigCheck,
        "diff": ConfigDiff,
        "list": ConfigList,
    },
    "completion": Completion,
}
"""Names that can be typed first, and after the name of a group."""
MAKERS = (
    *(Learn, Train, Ensemble, Memory, Distil, Report, Export, Serve),
    *(DataExport, LabelsAdd, LabelsRemove, Discover, Weak, PseudoWrite, PseudoRead),
    *(TaxonomyPropose, TaxonomyUpdate, TaxonomyReview, TaxonomyRead),
)
"""Verbs that leave something, or serve, and so need no reader of what they print."""
GROUPS = {
    "data": "Look at, check and export a corpus.",
    "labels": "Labels without retraining.",
    "taxonomy": "Labels that a language model elsewhere proposes.",
    "pseudo": "Texts that a language model elsewhere labels.",
    "rules": "Rules over labels: what implies or excludes what.",
    "config": "Settings of runs, files and presets.",
}


def union_of_verbs(start: Config, *, brief: bool = False) -> Any:
    """Return the union of verbs, `train` starting from the configuration `start`.

    With `brief` each is described by its first sentence, for the list of all.
    """

    def sub(name: str, verb: type) -> Any:
        options: dict[str, Any] = {}
        if verb is Train:
            options["default"] = Train(**vars(start))
        if brief:
            options["description"] = first_sentence(verb)
        return Annotated[verb, tyro.conf.subcommand(name, **options)]

    def group(name: str, verbs: dict[str, type]) -> Any:
        parts = Union[tuple(sub(*item) for item in verbs.items())]  # noqa: UP007
        options = tyro.conf.subcommand(name, description=GROUPS[name])
        return Annotated[parts, options]

    # tyro reads annotated unions at run time.
    return Union[  # noqa: UP007
        tuple(
            group(name, verb) if isinstance(verb, dict) else sub(name, verb)
            for name, verb in VERBS.items()
        )
    ]


Part = type | Mapping[str, type | Mapping[str, type]]
"""A verb, or verbs by name, those of groups among them."""


def makes_something(verb: object) -> bool:
    """Return whether a verb, as it was parsed, does more than print."""
    return isinstance(verb, MAKERS) or getattr(verb, "output", "-") != "-"


def named_verbs(arguments: list[str]) -> list[type]:
    """Return the verb that the arguments begin with; those of a group, or all.

    Args:
        arguments: as typed, `["data", "stats", "--help"]`.
    """
    part: Part = VERBS
    for argument in arguments:
        if isinstance(part, type) or argument not in part:
            break
        part = part[argument]
    return _verbs_of(part)


def _verbs_of(part: Part) -> list[type]:
    if isinstance(part, type):
        return [part]
    return [verb for inner in part.values() for verb in _verbs_of(inner)]
