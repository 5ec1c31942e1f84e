"""A service that swaps to the newest version of its model, without a failed request.

The new version is loaded and compiled beside the one that answers. A request is read
and scored by the version that it was asked of; those that come later ask the new one.
"""

import asyncio
import ipaddress
import time
from collections.abc import Callable
from pathlib import Path

from labelgraph_jax.deploy.serve.errors import RefusedError
from labelgraph_jax.deploy.serve.service import Service
from labelgraph_jax.predictors.manifest import FILE
from labelgraph_jax.runs.restore import load

PAUSE = 1.0
"""Seconds from one look for a new version to the next."""


class Reloader:
    """Finds and loads the newest version of a run.

    Args:
        service: that answers.
        path: of the run, or a link to it that moves.
        say: takes a line for each new version.
    """

    def __init__(
        self, service: Service, path: Path, say: Callable[[str], None]
    ) -> None:
        self._service, self._path, self._say = service, path, say
        self._known = self._newest()
        self._busy = False

    async def reload(self) -> dict[str, object]:
        """Swap to the newest version, if there is one that the service has not.

        Raises:
            RefusedError: the service is not ready, is reloading already, or the version
                cannot be loaded; then the one before it goes on answering.
        """
        _ = self._service.model
        if self._busy:
            raise RefusedError(
                409, "one version must be loaded before the next is asked for", "busy"
            )
        newest = self._newest()
        if newest == self._known:
            return {"reloaded": False, "model": self._service.about["model"]}
        self._busy, started = True, time.perf_counter()
        try:
            await self._service.swap(lambda: load(self._path))
        except RefusedError:
            raise
        except Exception as error:
            said = f"{self._path} must hold a model that can be loaded; {error}"
            raise RefusedError(500, said, "reload") from None
        finally:
            self._busy = False
        self._known = newest
        seconds = round(time.perf_counter() - started, 3)
        found = {"reloaded": True, "model": self._service.about["model"]}
        self._say(f"reloaded: {newest[0]} in {seconds} s")
        return {**found, "seconds": seconds}

    async def follow(self) -> None:
        """Reload whenever there is a new version, until it is cancelled."""
        refused = None
        while True:
            await asyncio.sleep(PAUSE)
            newest = self._newest()
            if newest in (self._known, refused) or self._service.state != "ready":
                continue
            try:
                await self.reload()
            except RefusedError as error:
                if error.kind != "busy":
                    refused = newest
                    self._say(f"warning: not reloaded: {error.reason}")

    def _newest(self) -> tuple[Path | int, ...]:
        """The version that the path leads to, by the seal of its files."""
        place = self._path.resolve()
        try:
            about = (place / FILE).stat()
        except OSError:
            return (place,)
        return place, about.st_ino, about.st_mtime_ns


def require_loopback(client: str, origin: str | None) -> None:
    """Refuse whoever is not on this machine, and pages of a browser.

    Raises:
        RefusedError: 403.
    """
    if origin is not None or not _is_loopback(client):
        raise RefusedError(
            403, "reload must be asked for on this machine, by no page", "not_loopback"
        )


def _is_loopback(client: str) -> bool:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
