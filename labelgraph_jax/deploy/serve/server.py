"""The beginning and the end of a service."""

import asyncio
import contextlib
import errno
import importlib.util
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from labelgraph_jax import __version__
from labelgraph_jax.deploy.serve.compilations import Compilations
from labelgraph_jax.deploy.serve.errors import ServeError, WorkerError
from labelgraph_jax.deploy.serve.hosts import Hosts
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.telling import Say, Teller
from labelgraph_jax.predictors.workdir import Workdir
from labelgraph_jax.runs.restore import load

NEEDED = ("fastapi", "uvicorn", "prometheus_client", "swagger_ui_bundle")
BACKLOG = 1024
SWITCH_SECONDS = 0.001
"""Longest time in seconds that one thread keeps another waiting, so that a batch's
tokens do not hold up a client."""


def require_extra() -> None:
    """Refuse to go on without the packages that only a service needs.

    Raises:
        ServeError: one is not installed.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ServeError(
            f"a service needs {', '.join(missing)}: pip install 'labelgraph_jax[serve]'"
        )


def serve(
    workdir: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    allowed_hosts: Sequence[str] = (),
    limits: Limits | None = None,
    say: Say = lambda line: None,
    log: Say | None = None,
    follow: bool = False,
) -> int:
    """Serve a trained model until SIGTERM or Ctrl-C, and finish what it holds.

    Args:
        workdir: what `labelgraph train` left.
        host: address to listen on; whoever reaches it can ask.
        port: 0 takes any free one.
        allowed_hosts: names that requests may call it by, beside the address that they
            came to, and `localhost` where that is this machine's own; `*` for all.
        limits: of requests and waiting.
        say: takes a line about what is going on.
        log: takes a line per request; None for none.
        follow: swap to every new version, as `POST /reload` does when it is asked.

    Returns:
        0, or 1 where requests were left unanswered at the end, or a thread was stuck.

    Raises:
        ServeError: a package is missing, or the address cannot be had.
        WorkdirError: no model stands there.
    """
    require_extra()
    Workdir.existing(workdir)
    place = Workdir(Path(workdir).absolute())  # a link may move
    limits, hosts = limits or Limits(), Hosts(host, allowed_hosts)
    listening = listen(host, port)
    with contextlib.closing(listening):
        teller = Teller()
        tell = teller.through(say)
        if not is_loopback(listening):
            tell(
                f"warning: {host} can be reached from other machines, and the service "
                "asks nobody who they are: put it behind something that does"
            )
        told = None if log is None else teller.through(log)
        whole = False
        try:
            code, whole = _run(place, listening, limits, hosts, tell, told, follow)
        finally:
            whole = teller.end() and whole
    if not whole:
        # A thread that still compiles, or waits for a reader of the log, would be torn
        # down half-way.
        os._exit(code)
    return code


def _run(
    place: Workdir,
    listening: socket.socket,
    limits: Limits,
    hosts: Hosts,
    say: Say,
    log: Say | None,
    follow: bool,
) -> tuple[int, bool]:
    """The exit code, and whether every thread has ended."""
    import uvicorn

    from labelgraph_jax.deploy.serve.app import make_app
    from labelgraph_jax.deploy.serve.metrics import Metrics
    from labelgraph_jax.deploy.serve.protocol import connections
    from labelgraph_jax.deploy.serve.service import Service
    from labelgraph_jax.deploy.serve.versions import Reloader

    # The service, what reloads it, and the application around it.
    Compilations.listen()
    metrics = Metrics()
    service = Service(lambda: load(place.path), limits, metrics, say)
    reloader = Reloader(service, place.path, say)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    config = uvicorn.Config(
        make_app(
            *(service, limits, metrics),
            version=__version__,
            rows=place.is_table,
            hosts=hosts,
            say=say,
            log=log,
            reload=reloader.reload,
        ),
        http=connections(limits, metrics),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.keep_alive,  # type: ignore[arg-type]
        timeout_graceful_shutdown=limits.drain,  # type: ignore[arg-type]
    )
    address = url_of(listening)
    say(f"{place.path} on {address}: loading and compiling")

    class Server(uvicorn.Server):
        """One that ends with what it holds answered, and with an exit code."""

        stopped_by = ""
        unfinished = 0

        async def _serve(self, sockets: list[socket.socket] | None = None) -> None:
            service.start(self.told)
            following = asyncio.create_task(reloader.follow()) if follow else None
            await super()._serve(sockets)
            if following:
                following.cancel()

        def told(self) -> None:
            """The service is ready, or has failed."""
            if service.state == "ready":
                say(
                    f"ready: {place.path} on {address} ({service.shapes} shapes "
                    f"compiled in {service.seconds:.1f} s), docs at {address}/docs"
                )
            elif service.failure is not None:
                self.should_exit = True

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await super().shutdown(sockets)
            self.unfinished = len(self.server_state.tasks)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if self.stopped_by and sig == signal.SIGINT:
                os._exit(130)
            first = not self.stopped_by
            self.stopped_by = signal.Signals(sig).name
            self.should_exit = True
            if service.state != "failed":
                service.state = "draining"
            if first:
                held = len(self.server_state.tasks)
                say(f"stopping: {held} requests are still answered")

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            numbers = (signal.SIGTERM, signal.SIGINT)
            before = {n: signal.signal(n, self.handle_exit) for n in numbers}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    # Serve until stopped, with threads that switch often.
    server = Server(config)
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        server.run([listening])
    finally:
        sys.setswitchinterval(before)
        # A thread that is known to be stuck is not waited for.
        stuck = isinstance(service.failure, WorkerError)
        ended = service.stop(0.1 if stuck else 5.0)
    # The exit code: 0 where everything was answered.
    if isinstance(service.failure, WorkerError):
        say(f"error: {service.failure}: the service ends, to be started anew")
        return 1, ended
    if service.failure is not None:
        raise service.failure
    if server.unfinished:
        left = server.unfinished
        say(f"{left} requests were not answered within {limits.drain:g} seconds")
    else:
        say("stopped: everything was answered")
    return (1 if server.unfinished else 0), ended


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections.

    Raises:
        ServeError: the address does not exist, or is taken.
    """
    if not 0 <= port <= 65_535:
        raise ServeError(f"--port must lie in 0..65535, got {port}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ServeError(
            f"--host must be an address of this machine: {error}"
        ) from None
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ServeError(
                f"port {port} of {host} is in use: name another with --port, or 0 for "
                "any that is free"
            ) from None
        raise ServeError(
            f"{host} port {port} cannot be listened on: {error.strerror}"
        ) from None
    listening.setblocking(False)
    return listening


def is_loopback(listening: socket.socket) -> bool:
    """Return True if only this machine can reach a socket."""
    return ipaddress.ip_address(listening.getsockname()[0].split("%")[0]).is_loopback


def url_of(listening: socket.socket) -> str:
    """Return the URL of the service."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
