"""A service that swaps to a new version of its model."""

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.benchmarks.serving_attack import exchange, place_of
from labelgraph_jax.deploy.serve.errors import RefusedError
from labelgraph_jax.deploy.serve.versions import require_loopback
from labelgraph_jax.runs.learn import learn
from labelgraph_jax.runs.learning import Learning
from tests.deploy.serve.conftest import Served
from tests.tiny import made_documents, write_jsonl
from tests.zoo import Zoo

SMALL = Learning(memory_mib=0.25, block=20, save_every=1000)


def request(served: Served, path: str, body: bytes = b"", head: str = "") -> tuple:
    sent = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{head}"
    sent += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    status, answer = exchange(place_of(served.address), sent.encode() + body)
    return status, json.loads(answer)


def versions(run: Path, folder: Path, count: int) -> None:
    """Learn a little more."""
    source = folder / "stream.jsonl"
    made = made_documents(count, 7)
    for number, document in enumerate(made):
        document["labels"].append(f"label{number // 20}")
    write_jsonl(source, made)
    learn(run, str(source), SMALL, write=lambda line: None)


@pytest.mark.process
@pytest.mark.slow
def test_32_clients_see_no_failed_request_while_versions_are_swapped(
    zoo: Zoo, tmp_path: Path
) -> None:
    run = zoo.copy("bag", tmp_path / "run")
    versions(run, tmp_path, 20)
    served = Served(run / "learned" / "current", "--max-queue", "400").wait()
    stop, seen, failed = threading.Event(), set[str](), list[object]()
    body = json.dumps({"texts": ["flour bread of today"], "top_k": 2}).encode()

    def client(_: int) -> int:
        count = 0
        while not stop.is_set():
            status, answer = request(served, "/predict", body)
            count += 1
            if status != 200 or len(answer["documents"]) != 1:
                failed.append((status, answer))
            else:
                seen.add(answer["model"]["name"])
        return count

    with ThreadPoolExecutor(32) as pool:
        asked = [pool.submit(client, number) for number in range(32)]
        try:
            time.sleep(0.5)
            for count in (40, 60):
                versions(run, tmp_path, count)
                status, answer = request(served, "/reload")
                assert (status, answer["reloaded"]) == (200, True)
                assert answer["model"]["name"] == f"v{count}"
            time.sleep(0.5)
        finally:
            stop.set()
    assert not failed, failed[:3]
    assert seen == {"v20", "v40", "v60"}
    assert sum(one.result() for one in asked) > 96
    assert request(served, "/reload")[1]["reloaded"] is False
    assert request(served, "/reload", head="origin: http://x\r\n")[0] == 403
    # A version that cannot be loaded leaves the one before it at work.
    (run / "learned/v60/labels.json").write_text("{")
    shutil.copy(run / "manifest.json", run / "learned/v60/manifest.json")
    status, answer = request(served, "/reload")
    assert status == 500 and "must hold a model that can be loaded" in answer["error"]
    assert request(served, "/predict", body)[0] == 200
    assert served.end() == 0


@pytest.mark.process
@pytest.mark.slow
def test_a_service_follows_what_is_learned(zoo: Zoo, tmp_path: Path) -> None:
    run = zoo.copy("bag", tmp_path / "run")
    versions(run, tmp_path, 20)
    served = Served(run / "learned" / "current", "--follow").wait()
    versions(run, tmp_path, 40)
    end = time.monotonic() + 60
    while not any("reloaded: " in line for line in served.said):
        assert time.monotonic() < end, served.said
        time.sleep(0.1)
    body = json.dumps({"texts": ["flour"], "labels": ["label1"]}).encode()
    assert request(served, "/predict", body)[0] == 200
    assert served.end() == 0


@pytest.mark.parametrize(
    "client", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"]
)
def test_this_machine_may_ask_for_a_reload(client: str) -> None:
    require_loopback(client, None)


@pytest.mark.parametrize(
    "client, origin",
    [("10.0.0.7", None), ("", None), ("127.0.0.1", "http://127.0.0.1")],
)
def test_others_and_pages_may_not(client: str, origin: str | None) -> None:
    with pytest.raises(RefusedError, match="must be asked for on this machine"):
        require_loopback(client, origin)
