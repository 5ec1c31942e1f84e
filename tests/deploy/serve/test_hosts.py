"""Whose name a service answers to."""

import asyncio
import json
from typing import Any

import pytest

from labelgraph_jax.cli.app import run
from labelgraph_jax.deploy.serve.errors import RefusedError, ServeError
from labelgraph_jax.deploy.serve.guard import Guard
from labelgraph_jax.deploy.serve.hosts import Hosts, host_of
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.metrics import Metrics


@pytest.mark.parametrize(
    ("listens", "own", "header"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:8000"),
        ("127.0.0.1", "127.0.0.1", "localhost"),
        ("127.0.0.1", "127.0.0.1", "LOCALHOST.:9"),
        ("127.0.0.1", "127.0.0.1", "[::1]:8000"),
        ("::1", "::1", "[::1]:8000"),
        ("::", "::ffff:10.0.0.7", "10.0.0.7:8000"),
        ("0.0.0.0", "10.0.0.7", "10.0.0.7"),
        ("0.0.0.0", "127.0.0.1", "localhost:8000"),
        ("model.example", "10.0.0.7", "Model.Example:8000"),
        ("10.0.0.7", "10.0.0.7", None),
    ],
)
def test_a_service_answers_to_the_address_that_it_listens_on(
    listens: str, own: str, header: str | None
) -> None:
    Hosts(listens).check(None if header is None else header.encode(), own)


@pytest.mark.parametrize(
    ("own", "header"),
    [
        ("127.0.0.1", "attacker.example"),
        ("127.0.0.1", "attacker.example:8000"),
        ("127.0.0.1", "localhost.attacker.example"),
        ("127.0.0.1", "127.0.0.1.attacker.example"),
        ("127.0.0.1", "10.0.0.7"),
        ("127.0.0.1", ""),
        ("127.0.0.1", "localhost@attacker.example"),
        ("127.0.0.1", "localhost/../x"),
        ("127.0.0.1", "localhost:80:80"),
        ("127.0.0.1", "\xe9"),
        ("10.0.0.7", "localhost"),
        ("10.0.0.7", "10.0.0.8"),
    ],
)
def test_any_other_name_is_refused_in_one_sentence(own: str, header: str) -> None:
    with pytest.raises(RefusedError, match="the Host must be the address") as refused:
        Hosts("0.0.0.0").check(header.encode("latin-1"), own)
    assert refused.value.status == 421
    assert "--allowed-host" in refused.value.reason


def test_further_names_are_allowed_by_option() -> None:
    hosts = Hosts("127.0.0.1", ["models.example", "10.1.2.3", "::2"])
    for header in (b"models.example:443", b"10.1.2.3", b"[::2]:8000", b"localhost"):
        hosts.check(header, "127.0.0.1")
    with pytest.raises(RefusedError):
        hosts.check(b"other.example", "127.0.0.1")
    Hosts("127.0.0.1", ["*"]).check(b"any.example", "127.0.0.1")


@pytest.mark.parametrize("name", ["http://a", "a:80", "a/b", "", "a b", "[::1]:80"])
def test_what_is_no_name_cannot_be_allowed(name: str) -> None:
    with pytest.raises(ServeError, match="--allowed-host must be a name"):
        Hosts("127.0.0.1", [name])


def test_a_name_that_cannot_be_allowed_is_one_line_of_the_command(
    trained: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", str(trained), "--allowed-host", "http://a"]) == 2
    assert capsys.readouterr().err == (
        "labelgraph: error: --allowed-host must be a name or an address without a "
        "scheme, a port or a path, or *; got 'http://a'\n"
    )


@pytest.mark.parametrize("text", ["a b", "a..b:x", "[::1", "::1", "a:123456", "a\tb"])
def test_what_is_no_host_has_no_name(text: str) -> None:
    assert host_of(text) == ""


@pytest.mark.parametrize("path", ["/labels", "/predict", "/healthz", "/docs", "/x"])
def test_no_address_of_a_service_answers_to_another_name(path: str) -> None:
    async def app(*_: Any) -> None:
        raise AssertionError("a stranger's name reached the application")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    said: list[str] = []
    guard = Guard(
        app, Limits(), Metrics(), frozenset(), Hosts("127.0.0.1"), said.append
    )
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [(b"host", b"attacker.example:8000")],
        "server": ("127.0.0.1", 8000),
    }
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == 421
    assert "the Host must be" in json.loads(sent[1]["body"])["error"]
    assert said == []
