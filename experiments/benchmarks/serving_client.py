"""Clients of a service, in a process of their own: keep-alive, one text a request.

    python -m experiments.benchmarks.serving_client

Waits for requests on standard input, one JSON object a line, and answers each with what
it measured; see `measure.Peer`. The clients speak plain HTTP/1.1 over asyncio streams:
what they cost is taken from the service they measure.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any


async def _one(
    host: str, port: int, requests: "asyncio.Queue[bytes]", found: dict[str, Any]
) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        while not requests.empty():
            request = requests.get_nowait()
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            at = lower.index(b"content-length:") + 15
            length = int(lower[at : lower.index(b"\r\n", at)])
            body = await reader.readexactly(length)
            found["seconds"].append(time.perf_counter() - started)
            if not head.startswith(b"HTTP/1.1 200"):
                found["errors"].append(body.decode("utf-8", "replace")[:200])
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        found["errors"].append(f"{type(error).__name__}: {error}")
    finally:
        writer.close()


def request_of(text: str, host: str) -> bytes:
    """One text as a whole HTTP request."""
    body = json.dumps({"text": text}).encode()
    head = (
        f"POST /predict HTTP/1.1\r\nhost: {host}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(
    host: str, port: int, texts: Sequence[str], clients: int
) -> dict[str, Any]:
    """Every text once, by so many clients at a time.

    Returns:
        `seconds` of each answer, `errors`, and the whole `wall` time.
    """
    requests: asyncio.Queue[bytes] = asyncio.Queue()
    for text in texts:
        requests.put_nowait(request_of(text, host))
    found: dict[str, Any] = {"seconds": [], "errors": []}
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_one(host, port, requests, found))
    return found | {"wall": time.perf_counter() - started}


def main() -> None:
    """Keep the texts, and send the requests that lines of standard input ask for."""
    texts: list[str] = []
    print(json.dumps({"client": "asyncio"}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "texts" in request:
            texts = request["texts"]
            print(json.dumps({"texts": len(texts)}), flush=True)
            continue
        first, count = request["first"], request["count"]
        own = [texts[i % len(texts)] for i in range(first, first + count)]
        asked = ask(request["host"], request["port"], own, request["clients"])
        print(json.dumps(asyncio.run(asked)), flush=True)


if __name__ == "__main__":
    main()
