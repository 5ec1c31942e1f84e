"""Trained models pickled and copied: what is compiled stays behind."""

import dataclasses
from typing import Any


class Pickled:
    """A dataclass whose pickle, and copy, holds its fields alone.

    Compiled programs and arrays on the devices, which cached properties hold, cannot be
    pickled; a copy makes them anew where it needs them.
    """

    def __getstate__(self) -> dict[str, object]:
        whole: Any = self
        own = {field.name for field in dataclasses.fields(whole)}
        return {name: value for name, value in vars(self).items() if name in own}
