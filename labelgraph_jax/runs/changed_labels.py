"""Labels of a model that learns, by place, and their changes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from labelgraph_jax.data.documents import DataError
from labelgraph_jax.data.readers.labelled_stream import Entry
from labelgraph_jax.training.streams import StreamLearner, places_for


class PlacedLabels:
    """Names of labels by the place that a learner has for each, and a log.

    Args:
        learner: has the places.
        names: by place; None where a place is free.

    Attributes:
        log: of labels that are new or were changed, since it was written.
        totals: counts per place `[4, N]`, see `training.streams.Learned`.
    """

    def __init__(self, learner: StreamLearner, names: Sequence[str | None]) -> None:
        self.learner = learner
        self.names = list(names)
        self.log: list[dict[str, Any]] = []
        self.totals = np.zeros((4, learner.places), np.int64)

    def place(self, name: str, new: list[str]) -> int:
        """The place of a label; that of a new one is the first that is free."""
        if name in self._index:
            return self._index[name]
        free = self._free.pop() if self._free else len(self.names)
        if free == len(self.names):
            self.names.append(None)
        self.names[free] = name
        self._index[name] = free
        new.append(name)
        return free

    @property
    def names(self) -> list[str | None]:
        """Labels by place; None where a place is free."""
        return self._names

    @names.setter
    def names(self, names: list[str | None]) -> None:
        self._names = names
        self._index = {name: i for i, name in enumerate(names) if name is not None}
        self._free = [i for i, name in enumerate(names) if name is None][::-1]

    def widen(self) -> None:
        """Make room for all labels."""
        places = places_for(len(self.names))
        if places > self.learner.places:
            self.learner.grow(places)
            more = places - self.totals.shape[1]
            self.totals = np.pad(self.totals, ((0, 0), (0, more)))

    def note(self, document: int, label: str, event: str, **more: object) -> None:
        """Write an event into the log."""
        self.log.append({"document": document, "label": label, "event": event, **more})

    def change(self, entry: Entry, documents: int) -> None:
        """Remove, rename, merge or split labels.

        Args:
            entry: a line that says so.
            documents: that came before it.

        Raises:
            DataError: a label is not known, or a name is taken.
        """
        assert entry.change is not None
        change, learner = entry.change, self.learner
        old = change.get("labels", (change.get("label"),))
        to = change.get("to", ())
        targets = (to,) if isinstance(to, str) else tuple(to)
        for name in old:
            if name not in self._index:
                raise DataError(f"{entry.where}: no label {name!r} is known")
        for name in targets:
            if name in self._index and name not in old:
                raise DataError(
                    f"{entry.where}: there is a label {name!r} already; labels that "
                    "are one are merged"
                )
        kind = change["control"]
        if kind == "rename":
            names = list(self.names)
            names[self._index[old[0]]] = to
            self.names = names
        elif kind == "merge":
            self._merge([self._index[name] for name in old], to)
        else:
            self._split(self._index[old[0]], targets)
        learner.hold()
        for name in old:
            self.note(
                documents, name, kind, **({"to": list(targets)} if targets else {})
            )

    def rows(self, places: Sequence[int]) -> dict[str, np.ndarray]:
        """Return the parts of the head in some places."""
        head = self.learner.state.head._asdict().items()
        return {name: np.asarray(part)[list(places)] for name, part in head}

    def _merge(self, places: Sequence[int], name: str) -> None:
        """Make one label of several, in the first place.

        Its documents have any of them: it gets the sum of their vectors, and of the
        odds that they begin with.
        """
        rows = self.rows(places)
        joined = {
            part: rows[part].sum(axis=0)[None]
            for part in ("vectors", "vector_squares", "bias_squares", "positives")
        }
        first, *others = places
        self.learner.set_places(
            [first],
            **joined,
            bias=np.logaddexp.reduce(rows["bias"])[None],
            cuts=rows["cuts"].mean()[None],
            predicted=rows["predicted"].sum()[None],
            active=True,
        )
        names = list(self.names)
        names[first] = name
        for other in others:
            self.learner.move(other, first)
            self.totals[:, first] += self.totals[:, other]
        self._vacate(others, names)

    def _split(self, place: int, names: Sequence[str]) -> None:
        """Labels that start as the old one, which goes; of none it goes alone."""
        rows = self.rows([place])
        if names:  # which of them a remembered document has is not known
            self.learner.drop(place)
        else:
            self.learner.move(place, None)
        left = list(self.names)
        self._vacate([place], left)
        new = [self.place(name, []) for name in names]
        self.widen()
        if new:
            shared = {part: np.repeat(row, len(new), 0) for part, row in rows.items()}
            shared["positives"] = shared["positives"] // len(new)
            self.learner.set_places(new, **shared)

    def _vacate(self, places: Sequence[int], names: list[str | None]) -> None:
        for place in places:
            names[place] = None
        if places:
            self.learner.set_places(places)
            self.totals[:, list(places)] = 0
        self.names = names
