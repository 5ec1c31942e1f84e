"""The names that a service answers to: its own address, and those that it is told.

A page of a stranger can have its name point to this machine (DNS rebinding), and would
then ask and read as if the service were its own; but the browser says the name.
"""

import contextlib
import ipaddress
import re
from collections.abc import Iterable

from labelgraph_jax.deploy.serve.errors import RefusedError, ServeError

ANY = "*"
_HOST = re.compile(r"(\[[0-9a-fA-F:.%\w]+\]|[^\s:/@\[\]?#\\]+)(:[0-9]{0,5})?")


def host_of(header: str) -> str:
    """The name or address in a Host header, in one spelling; empty where there is none.

    Example:
        >>> host_of("Localhost.:8000"), host_of("[::1]:80"), host_of("a/b")
        ('localhost', '::1', '')
    """
    found = _HOST.fullmatch(header.strip())
    if found is None:
        return ""
    name = found[1].strip("[]").lower().removesuffix(".")
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(name.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return str(mapped or address)
    return name


class Hosts:
    """The names by which a service is asked.

    Args:
        listens: what it was told to listen on, a name or an address.
        allowed: further names and addresses; `*` for all.

    Raises:
        ServeError: one of these is no name.
    """

    def __init__(self, listens: str, allowed: Iterable[str] = ()) -> None:
        self._names = {host_of(_bracketed(listens))}
        for name in allowed:
            found = ANY if name == ANY else host_of(_bracketed(name))
            if not found or _bracketed(name).rpartition("]")[2].count(":"):
                raise ServeError(
                    "--allowed-host must be a name or an address without a scheme, a "
                    f"port or a path, or *; got {name!r}"
                )
            self._names.add(found)

    def check(self, header: bytes | None, own: str) -> None:
        """Refuse a request that calls the service by another's name.

        Args:
            header: its Host; None where it has none, as HTTP/1.0 allows and no browser
                does.
            own: the address of this machine that the request came to.

        Raises:
            RefusedError: 421.
        """
        if header is None or ANY in self._names:
            return
        name, address = host_of(header.decode("latin-1")), host_of(_bracketed(own))
        if name and (name in self._names or name == address):
            return
        is_local = _is_address(address) and ipaddress.ip_address(address).is_loopback
        if is_local and (name == "localhost" or _is_loopback(name)):
            return
        got = ascii(header.decode("latin-1"))[:80]
        raise RefusedError(
            421,
            "the Host must be the address that the service listens on or a name that "
            f"it was started with (--allowed-host); got {got}",
            "bad_host",
        )


def _bracketed(name: str) -> str:
    return f"[{name}]" if name.count(":") > 1 and "[" not in name else name


def _is_address(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False


def _is_loopback(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name).is_loopback
