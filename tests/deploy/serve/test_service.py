"""`labelgraph serve`, in a process of its own, asked over loopback."""

import json
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.benchmarks.serving_attack import (
    GOOD,
    attack,
    exchange,
    place_of,
    post,
    read_answer,
    reason_of,
)
from labelgraph_jax import load
from labelgraph_jax.cli.app import run
from labelgraph_jax.deploy.serve import server
from labelgraph_jax.training.checkpoint import CheckpointStore
from tests.deploy.serve.conftest import Served
from tests.tiny import made_documents

TEXTS = [document["text"] for document in made_documents(40, 11)]


def get(served: Served, path: str, method: str = "GET") -> tuple[int, Any]:
    request = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    status, body = exchange(place_of(served.address), request)
    try:
        return status, json.loads(body)
    except ValueError:
        return status, body.decode()


def ask(served: Served, **fields: Any) -> tuple[int, Any]:
    request = post(json.dumps(fields).encode())
    status, body = exchange(place_of(served.address), request)
    return status, json.loads(body)


def metric(served: Served, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", get(served, "/metrics")[1], re.MULTILINE)
    assert found, name
    return float(found[1])


def test_many_clients_get_what_predict_gives_and_nothing_is_compiled(
    served: Served, trained: Path
) -> None:
    model = load(trained)
    probabilities, labels = model.predict_proba(TEXTS), model.predict(TEXTS)
    before = metric(served, "labelgraph_compilations")
    assert before == metric(served, "labelgraph_compilations_before_ready")

    def one(row: int) -> None:
        status, answer = ask(served, texts=TEXTS[row : row + 3], scores=True)
        assert status == 200
        for place, document in enumerate(answer["documents"]):
            assert document["id"] == str(place)
            assert document["labels"] == labels[row + place]
            got = [document["all_scores"][name] for name in model.labels]
            np.testing.assert_allclose(got, probabilities[row + place], atol=1e-5)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(one, range(len(TEXTS) - 2)))
    assert metric(served, "labelgraph_compilations") == before
    assert metric(served, "labelgraph_documents_total") >= 3 * (len(TEXTS) - 2)
    assert metric(served, "labelgraph_waiting_texts") == 0


def test_one_text_top_k_and_named_labels(served: Served, trained: Path) -> None:
    model = load(trained)
    status, answer = ask(served, text=TEXTS[0], top_k=2, labels=["ship", "corn"])
    assert status == 200
    with CheckpointStore(model.workdir.checkpoints) as store:
        assert answer["model"] == {"name": trained.name, "step": store.best_step}
    row = answer["documents"][0]
    assert row["labels"] == [name for name, _ in model.predict_top(TEXTS[:1], 2)[0]]
    scores = model.predict_proba(TEXTS[:1])[0]
    for name in ("ship", "corn"):
        expected = scores[model.labels.index(name)]
        assert row["label_scores"][name] == pytest.approx(expected, abs=1e-5)


def test_labels_come_in_pages_and_the_model_tells_about_itself(
    served: Served, trained: Path
) -> None:
    model = load(trained)
    status, page = get(served, "/labels?offset=1&limit=2")
    assert (status, page["total"], page["next"]) == (200, 5, 3)
    assert [row["name"] for row in page["labels"]] == list(model.labels[1:3])
    assert page["labels"][0]["threshold"] == pytest.approx(model.thresholds[1])
    assert get(served, "/labels?offset=4")[1]["next"] is None
    status, about = get(served, "/model")
    assert (status, about["labels"], about["encoder"]) == (200, 5, "bag")
    assert about["metrics"] == model.workdir.results()["test"]["metrics"]
    status, found = get(served, "/labels?limit=many")
    assert status == 422
    assert found["error"].startswith("limit: ")
    assert found["error"].endswith("got 'many'")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "there must be either text or texts; got neither"),
        ({"text": "a", "texts": []}, "either text or texts; got both"),
        ({"texts": []}, "texts must hold at least one text; got an empty list"),
        ({"texts": ["a", None]}, "text 1 must be a string; got null"),
        ({"text": None}, "text must be a string; got null"),
        ({"texts": ["a"] * 51}, "may hold at most 50 texts; got 51"),
        ({"text": "a" * 200_001}, "at most 200,000 characters; got 200,001"),
        ({"text": "a", "top_k": True}, "top_k must be an integer; got true or false"),
        ({"text": "a", "top_k": 1001}, "top_k must lie in 0..1,000; got 1,001"),
        ({"text": "a", "tpo_k": 1}, "got 'tpo_k'; did you mean 'top_k'?"),
        ({"text": "a", "labels": ["corm"]}, "'corm' is none: the nearest is 'corn'"),
        (
            {"text": "a", "labels": ["corn"] * 10_000},
            "at most 1,000 labels; got 10,000",
        ),
        ({"text": "\ud800"}, "character 0 is half of a surrogate pair"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    served: Served, fields: dict[str, Any], reason: str
) -> None:
    status, answer = ask(served, **fields)
    assert status == 422
    assert reason in answer["error"]


@pytest.mark.parametrize(
    ("request_bytes", "status", "reason"),
    [
        (post(b"{"), 400, "the body must be one JSON object; Expecting"),
        (post(b"NaN"), 400, "NaN is no JSON number"),
        (post(b"[" * 100_000), 400, "it is nested too deep"),
        (post(b'{"text": "\xff"}'), 400, "must be UTF-8; byte 10 is 0xff"),
        (post(b'{"text":"a","top_k":%s}' % (b"9" * 99)), 400, "99 digits is too large"),
        (post(GOOD, kind="text/plain"), 415, "must be JSON.*got 'text/plain'"),
        (post(GOOD, "content-encoding: gzip"), 415, "must not be compressed"),
        (post(b"a" * (2 << 20) + b"a"), 413, "at most 2,097,152 bytes; got 2,097,153"),
        (post(GOOD, path="/nowhere"), 404, "must be one of /docs, .*got '/nowhere'"),
        (post(GOOD, method="PUT"), 405, "'/predict' takes POST; got 'PUT'"),
        (b"hello\r\n\r\n", 400, "must be valid HTTP/1.1"),
    ],
)
def test_what_is_no_request_is_refused_with_the_reason(
    served: Served, request_bytes: bytes, status: int, reason: str
) -> None:
    answer = exchange(place_of(served.address), request_bytes)
    assert answer[0] == status
    assert re.search(reason, reason_of(answer))


def test_an_attack_stops_nobody_and_every_piece_is_refused_with_a_reason(
    served: Served,
) -> None:
    found = attack(served.address, 220, megabytes=8)
    assert found["wrong"] == []
    assert found["healthy"]
    assert found["others"] > 50
    assert found["others_failed"] == 0
    assert found["others_slowest"] < 5


def test_requests_behind_each_other_on_one_connection_are_answered_in_order(
    served: Served,
) -> None:
    with socket.create_connection(place_of(served.address), timeout=30) as connection:
        bad = post(b"[]")
        connection.sendall(post(GOOD) + bad + post(GOOD))
        stream = connection.makefile("rb")
        found = []
        for _ in range(3):
            found.append(int(stream.readline().split()[1]))
            length = 0
            while (line := stream.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name == b"content-length" else length
            stream.read(length)
        stream.close()
    assert found == [200, 422, 200]


def test_a_client_that_closes_its_half_after_asking_is_answered(served: Served) -> None:
    place = place_of(served.address)
    assert exchange(place, post(GOOD), then_close=True)[0] == 200


def test_more_texts_than_may_wait_are_told_to_come_back(served: Served) -> None:
    body = json.dumps({"texts": TEXTS + TEXTS[:10]}).encode()
    place = place_of(served.address)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: exchange(place, post(body)), range(24)))
    assert {status for status, _ in answers} <= {200, 503}
    refused = [json.loads(body)["error"] for status, body in answers if status == 503]
    assert refused, "all 24 requests of 50 texts were taken"
    assert "at most 60 texts may wait" in refused[0]
    assert metric(served, 'labelgraph_rejected_total{reason="queue_full"}') > 0
    assert ask(served, text="maize")[0] == 200


def test_a_stopped_service_answers_what_it_holds(trained: Path) -> None:
    service = Served(trained, "--wait", "1000", "--drain", "30").wait(ready=False)
    status, answer = get(service, "/healthz")
    if status == 503:
        assert answer["error"].startswith("the service must be ready; it is ")
        assert get(service, "/livez")[0] == 200
    service.wait()
    place = place_of(service.address)
    assert get(service, "/healthz")[0] == 200
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(
                exchange(place, post(json.dumps({"texts": TEXTS * 6}).encode()))[0]
            )
        )
        for _ in range(4)
    ]
    half = socket.create_connection(place, timeout=30)
    whole = post(GOOD)
    half.sendall(whole[:-5])
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    service.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    half.sendall(whole[-5:])
    assert read_answer(half)[0] == 200
    half.close()
    for thread in threads:
        thread.join()
    assert answers == [200] * 4
    assert service.end(None) == 0
    assert service.said[-1] == "labelgraph: stopped: everything was answered\n"
    with pytest.raises(OSError):
        socket.create_connection(place, timeout=1)


def test_a_second_interrupt_ends_it_at_once(trained: Path) -> None:
    service = Served(trained, "--drain", "100", "--body-timeout", "100").wait()
    half = socket.create_connection(place_of(service.address), timeout=30)
    half.sendall(post(GOOD)[:-5])
    time.sleep(0.3)
    service.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert service.process.poll() is None
    started = time.monotonic()
    assert service.end(signal.SIGINT) == 130
    assert time.monotonic() - started < 5
    half.close()


def test_a_port_in_use_and_an_address_of_another_machine_are_one_line_errors(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", str(trained), "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert said == (
        f"labelgraph: error: port {port} of 127.0.0.1 is in use: name another with "
        "--port, or 0 for any that is free\n"
    )
    assert run(["serve", str(trained), "--host", "192.0.2.1", "--port", "0"]) == 2
    assert "192.0.2.1 port 0 cannot be listened on" in capsys.readouterr().err
    assert run(["serve", str(trained), "--port", "70000"]) == 2
    assert "--port must lie in 0..65535, got 70000" in capsys.readouterr().err


def test_without_the_extra_one_line_names_it(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "NEEDED", ("uvicorn", "no_such_package"))
    assert run(["serve", str(trained)]) == 2
    assert capsys.readouterr().err == (
        "labelgraph: error: a service needs no_such_package: pip install "
        "'labelgraph_jax[serve]'\n"
    )


def test_only_loopback_goes_without_a_warning() -> None:
    for host, expected in (("127.0.0.1", True), ("0.0.0.0", False)):
        listening = server.listen(host, 0)
        assert server.is_loopback(listening) is expected
        assert server.url_of(listening).startswith(f"http://{host}:")
        listening.close()


@pytest.mark.process
@pytest.mark.parametrize(
    ("log", "number"), [("closed", signal.SIGTERM), ("full", signal.SIGINT)]
)
def test_a_service_ends_though_nobody_reads_its_log(
    log: str, number: signal.Signals, trained: Path
) -> None:
    service = Served(trained, "--log-requests", read=False)
    stderr = service.process.stderr
    assert stderr is not None
    for line in stderr:
        if found := re.search(r"ready: .* on http://([^\s:]+):(\d+)", line):
            place = found[1], int(found[2])
            break
    if log == "closed":
        stderr.close()
    # More than a pipe holds, and everybody is answered all the same.
    for _ in range(10):
        request = f"GET /{'x' * 12_000} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        assert exchange(place, request)[0] == 404
    assert exchange(place, post(GOOD))[0] == 200
    service.process.send_signal(number)
    try:
        assert service.process.wait(30) == 0
    finally:
        service.process.kill()
        service.process.wait()
        stderr.close()


def test_another_host_is_refused_and_one_that_is_allowed_is_answered(
    served: Served,
) -> None:
    place = place_of(served.address)
    for path, method in (("/labels", "GET"), ("/predict", "POST"), ("/healthz", "GET")):
        body = GOOD if method == "POST" else b""
        request = post(body, path=path, method=method)
        assert exchange(place, request)[0] == 200
        stranger = request.replace(b"host: localhost", b"host: attacker.example")
        status, said = exchange(place, stranger)
        assert status == 421
        assert "--allowed-host" in json.loads(said)["error"]
    assert metric(served, 'labelgraph_rejected_total{reason="bad_host"}') == 3
