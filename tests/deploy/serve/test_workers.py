"""A service whose threads are stuck, or dead, or whose log nobody reads."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelgraph_jax.deploy.serve.errors import RefusedError, WorkerError
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.metrics import Metrics
from labelgraph_jax.deploy.serve.scoring import Asked
from labelgraph_jax.deploy.serve.service import Service
from labelgraph_jax.deploy.serve.telling import MOST_LINES, Teller
from labelgraph_jax.runs.restore import load_model

TIMEOUT = 0.8


def with_service(
    workdir: Path, then: Callable[[Service, list[str]], Any], **limits: Any
) -> None:
    """Run something beside a service that is ready."""

    async def story() -> None:
        said: list[str] = []
        most = Limits(max_batch=1, buckets=1, timeout=TIMEOUT, **limits)
        service = Service(lambda: load_model(workdir), most, Metrics(), said.append)
        changed = asyncio.Event()
        service.start(changed.set)
        await asyncio.wait_for(changed.wait(), 60)
        assert service.state == "ready", service.failure
        changed.clear()
        try:
            await then(service, said)
        finally:
            service.stop(1.0)

    asyncio.run(story())


async def until(holds: Callable[[], Any], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def test_a_text_that_never_ends_makes_the_service_unready_and_then_ends_it(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()

    async def then(service: Service, said: list[str]) -> None:
        assert service.scorer is not None
        read = service.scorer.read
        monkeypatch.setattr(
            service.scorer, "read", lambda texts: let_go.wait(30) or read(texts)
        )
        poison = asyncio.ensure_future(service.answer(["aaaa"], Asked()))
        await until(lambda: service.trouble)
        assert "its tokenising has not come back for" in service.trouble
        with pytest.raises(RefusedError, match="must be ready; its tokenising") as told:
            _ = service.model
        assert told.value.status == 503
        with pytest.raises(RefusedError) as late:
            await poison
        assert late.value.status == 504
        waiting = asyncio.ensure_future(service.answer(["wheat"], Asked()))
        await until(lambda: service.state == "failed")
        assert isinstance(service.failure, WorkerError)
        with pytest.raises(RefusedError) as refused:
            await waiting
        assert refused.value.status in (503, 504)
        let_go.set()

    with_service(trained, then)


def test_a_slow_text_makes_it_unready_only_for_as_long_as_it_takes(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def then(service: Service, said: list[str]) -> None:
        assert service.scorer is not None
        read = service.scorer.read

        def slowly(texts: Any) -> Any:
            time.sleep(0.6 * TIMEOUT)
            return read(texts)

        monkeypatch.setattr(service.scorer, "read", slowly)
        slow = asyncio.ensure_future(service.answer(["wheat"], Asked()))
        await until(lambda: service.trouble)
        assert (await slow)[0]["id"] == "0"
        assert service.trouble == ""
        assert service.state == "ready"

    with_service(trained, then)


@pytest.mark.parametrize("thread", ["_read", "_scored"])
def test_a_thread_that_dies_ends_the_service(
    thread: str, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def then(service: Service, said: list[str]) -> None:
        def fail(*_: Any) -> None:
            raise KeyError("a bug")

        monkeypatch.setattr(service, thread, fail)
        with pytest.raises(RefusedError, match="has failed: KeyError") as refused:
            await service.answer(["wheat"], Asked())
        assert refused.value.status == 503
        assert service.state == "failed"
        assert isinstance(service.failure, WorkerError)
        assert "a bug" in said[0]

    with_service(trained, then)


def test_nobody_waits_for_whoever_reads_the_log() -> None:
    let_go = threading.Event()
    said: list[str] = []

    def stuck(line: str) -> None:
        let_go.wait(30)
        said.append(line)

    teller = Teller()
    say = teller.through(stuck)
    started = time.monotonic()
    for number in range(2 * MOST_LINES):
        say(str(number))
    assert time.monotonic() - started < 2
    assert not teller.end(0.1)
    let_go.set()
    teller._thread.join(0.5)
    assert said[:2] == ["0", "1"]


def test_a_log_that_fails_keeps_nobody_from_the_next_line() -> None:
    said: list[str] = []

    def broken(line: str) -> None:
        said.append(line)
        raise BrokenPipeError

    teller = Teller()
    say = teller.through(broken)
    say("a")
    say("b")
    assert teller.end()
    assert said == ["a", "b"]


class PanicError(BaseException):
    """A panic of a library in Rust: no `Exception`."""


def test_a_text_that_the_tokenizer_panics_at_is_refused_and_the_others_are_read(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def then(service: Service, said: list[str]) -> None:
        assert service.scorer is not None
        read = service.scorer.read

        def panics(texts: Any) -> Any:
            if "poison" in texts:
                raise PanicError("retry-limit-in-match over")
            return read(texts)

        monkeypatch.setattr(service.scorer, "read", panics)
        with service._changed:  # so that they are read together
            asked = [
                asyncio.ensure_future(service.answer(texts, Asked()))
                for texts in (["wheat"], ["poison"], ["silo", "poison"], ["oil"])
            ]
            await asyncio.sleep(0)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for refused in answers[1:3]:
            assert isinstance(refused, RefusedError)
            assert refused.status == 422
            assert "PanicError: retry-limit-in-match over" in refused.reason
        assert answers[0][0]["id"] == "0"
        assert answers[3][0]["id"] == "0"
        assert service.state == "ready"
        assert "PanicError" in said[0]

    with_service(trained, then)


def test_a_request_that_gives_up_while_it_is_read_leaves_the_others_their_answers(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["harvest maize silo cob", "barrel crude oil"]

    async def then(service: Service, said: list[str]) -> None:
        expected = [await service.answer([text], Asked(scores=True)) for text in texts]
        assert expected[0] != expected[1]
        assert service.scorer is not None
        read, began, let_go = service.scorer.read, threading.Event(), threading.Event()

        def slowly(texts: Any) -> Any:
            began.set()
            let_go.wait(10)
            return read(texts)

        monkeypatch.setattr(service.scorer, "read", slowly)
        with service._changed:
            first = asyncio.ensure_future(service.answer(texts[:1], Asked(scores=True)))
            other = asyncio.ensure_future(service.answer(texts[1:], Asked(scores=True)))
            await asyncio.sleep(0)
        await until(began.is_set)
        first.cancel()
        await asyncio.sleep(0.05)
        let_go.set()
        assert await other == expected[1]
        assert first.cancelled()

    with_service(trained, then)
