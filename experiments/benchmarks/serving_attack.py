"""What a hostile or broken client sends, and whether the others notice.

Every request must be answered with a 4xx and a JSON reason, while good requests go on.
Loopback only.
"""

import collections
import contextlib
import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

SLOW_CLIENTS = 16
WAIT = 60.0
GOOD = json.dumps({"text": "wheat exports rose in March", "top_k": 2}).encode()

Answer = tuple[int, bytes]


def place_of(address: str) -> tuple[str, int]:
    """`http://HOST:PORT` -> host and port."""
    host, port = address.removeprefix("http://").rsplit(":", 1)
    return host, int(port)


def post(
    body: bytes,
    *extra: str,
    kind: str = "application/json",
    path: str = "/predict",
    method: str = "POST",
) -> bytes:
    """A whole request."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: localhost",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        *extra,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def exchange(
    place: tuple[str, int], request: bytes, *, then_close: bool = False
) -> Answer:
    """Sends bytes and reads one answer; status 0 where there is none."""
    with socket.create_connection(place, timeout=WAIT) as connection:
        # Whoever refuses early may close before all is sent.
        with contextlib.suppress(OSError):
            connection.sendall(request)
            if then_close:
                connection.shutdown(socket.SHUT_WR)
        return read_answer(connection)


def read_answer(connection: socket.socket) -> Answer:
    """One answer; status 0 where there is none."""
    response = http.client.HTTPResponse(connection)
    try:
        response.begin()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        response.close()


def reason_of(answer: Answer) -> str:
    """What a refusal says, empty where it is none."""
    status, body = answer
    try:
        reason = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return ""
    return reason if 400 <= status < 500 and isinstance(reason, str) else ""


def malformed(draw: random.Random) -> bytes:
    """A request that must be refused."""
    return draw.choice(KINDS)(draw)


def _word(draw: random.Random) -> str:
    return "".join(chr(draw.randrange(97, 123)) for _ in range(draw.randrange(1, 9)))


def _truncated(draw: random.Random) -> bytes:
    return post(GOOD[: draw.randrange(0, len(GOOD) - 1)])


def _noise(draw: random.Random) -> bytes:
    return post(b"\xff" + draw.randbytes(draw.randrange(1, 400)))


def _bad_utf8(draw: random.Random) -> bytes:
    broken = draw.choice([b"\xc3", b"\xed\xa0\x80", b"\xf8\x88", b"\x80"])
    return post(b'{"text": "wheat ' + broken + b' exports"}')


def _surrogate(draw: random.Random) -> bytes:
    return post(b'{"text": "a\\ud%03x"}' % draw.randrange(0x800, 0x1000))


def _no_json(draw: random.Random) -> bytes:
    return post(draw.choice([b"NaN", b"{'text': 1}", b"Infinity", b"\x00", b"{}{}"]))


def _huge_number(draw: random.Random) -> bytes:
    digits = "9" * draw.choice([30, 5_000, 400_000])
    return post(b'{"text": "a", "top_k": ' + digits.encode() + b"}")


def _deep(draw: random.Random) -> bytes:
    opening = draw.choice([b"[", b'{"text":'])
    return post(opening * draw.choice([500, 100_000]))


def _wrong_type(draw: random.Random) -> bytes:
    value: Any = draw.choice([None, 3, 1.5, True, [], {}, {"a": 1}])
    name = draw.choice(["text", "texts", "top_k", "scores", "labels"])
    fields: dict[str, Any] = {} if name.startswith("text") else {"text": "a"}
    if (name, value) in (("scores", True), ("labels", []), ("top_k", 3)):
        value = None
    return post(json.dumps(fields | {name: value}).encode())


def _wrong_item(draw: random.Random) -> bytes:
    items: list[Any] = ["a"] * draw.randrange(0, 9) + [
        draw.choice([None, 1, ["a"], {}])
    ]
    return post(json.dumps({"texts": items}).encode())


def _unknown_field(draw: random.Random) -> bytes:
    return post(json.dumps({"text": "a", "x" + _word(draw): 1}).encode())


def _which(draw: random.Random) -> bytes:
    return post(
        draw.choice([b"{}", b'{"text": "a", "texts": ["a"]}', b'{"texts": []}'])
    )


def _out_of_range(draw: random.Random) -> bytes:
    return post(json.dumps({"text": "a", "top_k": draw.choice([-1, 10**9])}).encode())


def _many_texts(draw: random.Random) -> bytes:
    return post(json.dumps({"texts": ["a"] * draw.randrange(5_000, 20_000)}).encode())


def _many_labels(draw: random.Random) -> bytes:
    names = [_word(draw) for _ in range(10_000)]
    return post(json.dumps({"text": "a", "labels": names}).encode())


def _unknown_label(draw: random.Random) -> bytes:
    return post(json.dumps({"text": "a", "labels": ["\x00" + _word(draw)]}).encode())


def _long_text(draw: random.Random) -> bytes:
    return post(json.dumps({"text": "a " * 300_000}).encode())


def _wrong_kind(draw: random.Random) -> bytes:
    kinds = ["text/plain", "application/x-www-form-urlencoded", "", "multipart/x"]
    return post(GOOD, kind=draw.choice(kinds))


def _compressed(draw: random.Random) -> bytes:
    return post(GOOD, f"content-encoding: {draw.choice(['gzip', 'br'])}")


def _elsewhere(draw: random.Random) -> bytes:
    path = draw.choice(["/", "/predict/", "/../../etc/passwd", "/%00", "/assets/x"])
    return post(GOOD, path=path)


def _other_method(draw: random.Random) -> bytes:
    return post(GOOD, method=draw.choice(["PUT", "DELETE", "PATCH", "GET", "BREW"]))


def _no_http(draw: random.Random) -> bytes:
    return draw.choice(
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"hello\r\n\r\n",
            b"POST /predict HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
            b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
            b"POST /predict HTTP/1.1\r\nhost: localhost\r\n bad header\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        ]
    )


def _bad_chunks(draw: random.Random) -> bytes:
    head = "POST /predict HTTP/1.1\r\nhost: localhost\r\n"
    head += "content-type: application/json\r\n"
    head += "transfer-encoding: chunked\r\n\r\n"
    return head.encode() + draw.choice([b"zz\r\n{}\r\n", b"5\r\n{}xx\r\n\r\n0\r\n\r\n"])


KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    *(_truncated, _noise, _bad_utf8, _surrogate, _no_json, _huge_number, _deep),
    *(_wrong_type, _wrong_item, _unknown_field, _which, _out_of_range, _many_texts),
    *(_many_labels, _unknown_label, _long_text, _wrong_kind, _compressed, _elsewhere),
    *(_other_method, _no_http, _bad_chunks),
)


def huge(megabytes: int, *, chunked: bool) -> Iterator[bytes]:
    """A body far beyond every limit, in pieces."""
    head = "POST /predict HTTP/1.1\r\nhost: localhost\r\n"
    head += "content-type: application/json\r\n"
    if chunked:
        yield f"{head}transfer-encoding: chunked\r\n\r\n".encode()
    else:
        yield f"{head}content-length: {megabytes << 20}\r\n\r\n".encode()
    piece = b"a" * (1 << 20)
    for _ in range(megabytes):
        yield b"100000\r\n" + piece + b"\r\n" if chunked else piece


def slow(place: tuple[str, int], pieces: Iterator[bytes], pause: float) -> Answer:
    """Sends piece after piece with pauses, until it is answered or all is sent."""
    with socket.create_connection(place, timeout=WAIT) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                break
            connection.settimeout(pause or 1e-6)
            try:
                if connection.recv(1, socket.MSG_PEEK):
                    break
            except (TimeoutError, BlockingIOError):
                pass
            except OSError:
                break
            connection.settimeout(WAIT)
        connection.settimeout(WAIT)
        return read_answer(connection)


def slow_requests() -> list[Iterator[bytes]]:
    """Heads and bodies that come a byte at a time, and connections that say nothing."""
    whole = post(GOOD)
    end = whole.index(b"\r\n\r\n") + 4
    made: list[Iterator[bytes]] = []
    for number in range(SLOW_CLIENTS):
        if number % 2:
            made.append(iter([whole[i : i + 1] for i in range(end - 1)]))
        else:
            body = [whole[i : i + 1] for i in range(end, len(whole) - 1)]
            made.append(iter([whole[:end], *body]))
    return made


class Others:
    """Good requests, one after the other, while something else goes on.

    Attributes:
        seconds: of each.
        failed: those that were not answered as the first one was.
    """

    def __init__(self, place: tuple[str, int]) -> None:
        self.seconds: list[float] = []
        self.failed = 0
        self._place = place
        self._expected = exchange(place, post(GOOD))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Others":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with socket.create_connection(self._place, timeout=WAIT) as connection:
            while not self._stop.is_set():
                started = time.perf_counter()
                connection.sendall(post(GOOD))
                answer = read_answer(connection)
                self.seconds.append(time.perf_counter() - started)
                self.failed += answer != self._expected or answer[0] != 200
                time.sleep(0.005)


def attack(address: str, count: int, *, megabytes: int = 64, seed: int = 0) -> Any:
    """All of it, one after the other; the slow clients together.

    Args:
        address: of a service; its time-outs say how long the slow clients take.
        count: malformed requests.
        megabytes: of each huge body.
        seed: of the malformed requests.
    """
    place, draw = place_of(address), random.Random(seed)
    answers: list[Answer] = []
    wrong: list[str] = []

    def took(what: str, answer: Answer) -> None:
        answers.append(answer)
        if not reason_of(answer):
            wrong.append(f"{what}: {answer[0]} {answer[1][:120]!r}")

    started = time.perf_counter()
    with Others(place) as others:
        for number in range(count):
            request = KINDS[number % len(KINDS)](draw)
            took(request[:200].decode("latin-1"), exchange(place, request))
        for chunked in (False, True):
            took("huge", slow(place, huge(megabytes, chunked=chunked), 0.0))
        whole = post(GOOD)
        for cut in (20, len(whole) - 5):
            took("half-closed", exchange(place, whole[:cut], then_close=True))
        threads = [
            threading.Thread(target=lambda p=p: took("slow", slow(place, p, 0.3)))  # type: ignore[misc]
            for p in slow_requests()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    healthy = (
        exchange(place, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")[0] == 200
    )
    statuses = collections.Counter(status for status, _ in answers)
    return {
        "sent": len(answers),
        "refused_with_a_reason": len(answers) - len(wrong),
        "wrong": wrong[:5],
        "statuses": dict(sorted(statuses.items())),
        "healthy": healthy and not others.failed,
        "seconds": time.perf_counter() - started,
        "others": len(others.seconds),
        "others_slowest": max(others.seconds, default=0.0),
        "others_failed": others.failed,
    }
