"""The page about the addresses, in a browser that may reach nothing else."""

import json
import shutil

import pytest

from experiments.benchmarks.serving_attack import exchange, place_of
from tests.deploy.serve.conftest import Served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def test_the_description_names_every_address_and_every_answer(served: Served) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"
    status, body = exchange(place_of(served.address), request)
    described = json.loads(body)
    assert (status, described["openapi"]) == (200, "3.0.3")
    assert set(described["paths"]) == {
        *("/predict", "/labels", "/model", "/healthz", "/livez", "/metrics"),
        "/reload",
    }
    predict = described["paths"]["/predict"]["post"]
    asked = predict["requestBody"]["content"]["application/json"]["schema"]
    assert set(asked["properties"]) == {"text", "texts", "top_k", "scores", "labels"}
    assert {"200", "400", "408", "413", "415", "422", "503", "504"} <= set(
        predict["responses"]
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_shows_every_address_and_asks_no_other_host(served: Served) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    asked: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=60_000
        )
        page = browser.new_page()
        problems: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda said: problems.append(said.text) if said.type == "error" else None,
        )
        page.goto(f"{served.address}/docs", timeout=60_000)
        page.wait_for_selector(
            "#operations-default-predict_predict_post", timeout=60_000
        )
        shown = page.inner_text("body")
        browser.close()
    assert problems == []
    for path in ("/predict", "/labels", "/model", "/healthz", "/livez", "/metrics"):
        assert path in shown
    local = (served.address, "data:", "blob:")
    assert asked and all(url.startswith(local) for url in asked), asked
