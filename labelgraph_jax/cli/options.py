"""Options that several verbs have, as the parser reads them."""

from typing import Annotated

import tyro

from labelgraph_jax.config import DataConfig, ReadingConfig

FinishedRun = tyro.conf.Positional[
    Annotated[
        str, tyro.conf.arg(metavar="WORKDIR", help="Work directory of a finished run.")
    ]
]
Source = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="SOURCE")]]
File = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="[FILE]")]]
Data = Annotated[DataConfig, tyro.conf.arg(name="")]
Reading = Annotated[ReadingConfig, tyro.conf.arg(name="")]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
Json = Annotated[Flag, tyro.conf.arg(help="Print the result as JSON, for machines.")]
Quiet = Annotated[
    Flag, tyro.conf.arg(help="No progress and no remarks; errors and warnings come.")
]
