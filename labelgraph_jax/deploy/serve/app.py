"""The addresses of a service."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from swagger_ui_bundle import swagger_ui_path

from labelgraph_jax.data.terminal import json_line
from labelgraph_jax.deploy.serve.about import label_rows
from labelgraph_jax.deploy.serve.asking import (
    Answers,
    Question,
    Refusal,
    RowAnswers,
    RowQuestion,
    columns_of,
    read_question,
    read_row_question,
)
from labelgraph_jax.deploy.serve.errors import RefusedError, error_body
from labelgraph_jax.deploy.serve.guard import App, Guard, read_body
from labelgraph_jax.deploy.serve.hosts import Hosts
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.metrics import Metrics
from labelgraph_jax.deploy.serve.scoring import Asked
from labelgraph_jax.deploy.serve.service import Service
from labelgraph_jax.deploy.serve.versions import require_loopback
from labelgraph_jax.predictors.model import Model

PATHS = frozenset(
    f"/{name}"
    for name in (
        *("predict", "labels", "model", "healthz", "livez", "metrics", "docs"),
        *("reload", "openapi.json"),
    )
)
DOCS = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>labelgraph</title>
<link rel="stylesheet" href="assets/swagger-ui.css">
<link rel="icon" href="assets/favicon-32x32.png"></head>
<body><div id="swagger-ui"></div>
<script src="assets/swagger-ui-bundle.js"></script>
<script src="docs.js"></script></body></html>
"""
SCRIPT = """SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui",
  deepLinking: true, validatorUrl: null});
"""
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'"
)
PAGE = 100
"""Labels on a page, unless told otherwise."""


def _responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": Refusal} for code in codes}


def make_app(
    service: Service,
    limits: Limits,
    metrics: Metrics,
    *,
    version: str,
    rows: bool = False,
    hosts: Hosts,
    say: Callable[[str], None],
    log: Callable[[str], None] | None = None,
    reload: Callable[[], Awaitable[Mapping[str, object]]] | None = None,
) -> App:
    """The whole application, as a server runs it.

    Args:
        service: does the work.
        limits: of the service.
        metrics: where it counts.
        version: of this package.
        rows: it reads rows of a table; texts otherwise.
        hosts: the names that it answers to.
        say: takes what went wrong.
        log: takes a line per request; None for none.
        reload: swaps to the newest version of the model; None where none comes.
    """
    app = FastAPI(
        title="labelgraph",
        version=version,
        description=f"{'Tasks of rows' if rows else 'Labels of texts'}, from a trained "
        "model.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    # The version that the page's files read.
    app.openapi_version = "3.0.3"
    app.add_exception_handler(RefusedError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(RequestValidationError, _refuse_invalid)
    app.add_exception_handler(Exception, _fail)
    app.state.paths = PATHS
    if rows:
        app.state.paths = PATHS - {"/labels"}
        _add_row_prediction(app, service, limits)
    else:
        _add_prediction(app, service, limits)
        _add_labels(app, service)
    _add_model(app, service)
    if reload is not None:
        _add_reload(app, reload)
    _add_state(app, service, metrics)
    _add_docs(app)
    return Guard(app, limits, metrics, app.state.paths, hosts, say, log)


def _json(value: object, status: int = 200, **headers: str) -> Response:
    body = json_line(value).encode()
    return Response(body, status, headers, media_type="application/json")


async def _json_body(request: Request, limits: Limits) -> bytes:
    """The body of a request that says that it is JSON.

    Raises:
        RefusedError: it says something else, is too long, too slow or not whole.
    """
    headers = request.headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(
            415,
            "the body must be JSON, Content-Type application/json; got "
            + (repr(kind[:60]) if kind else "none"),
            "bad_type",
        )
    declared = headers.get("content-length")
    try:
        body = await read_body(headers, request.stream(), limits, declared=declared)
    except ClientDisconnect:
        raise RefusedError(400, "the body must be whole", "gone") from None
    return body


def _add_prediction(app: FastAPI, service: Service, limits: Limits) -> None:
    schema = Question.model_json_schema()
    example = {"texts": ["Wheat exports rose in March"], "top_k": 3}
    content = {"application/json": {"schema": schema, "example": example}}

    @app.post(
        "/predict",
        summary="Labels of one text or several",
        openapi_extra={"requestBody": {"required": True, "content": content}},
        response_model=Answers,
        responses=_responses(400, 408, 413, 415, 422, 503, 504),
    )
    async def predict(request: Request) -> Response:
        body = await _json_body(request, limits)
        texts, asked, names = read_question(body, limits)
        model = service.model
        if not model.gives_every_label:
            _check_chunked(model, asked, names)
        if names:
            asked = Asked(
                asked.top_k, asked.scores, columns_of(names, model.label_space)
            )
        version = service.about["model"]
        rows = await service.answer(texts, asked)
        return _json({"model": version, "documents": rows})


def _add_row_prediction(app: FastAPI, service: Service, limits: Limits) -> None:
    schema = RowQuestion.model_json_schema()
    example = {"rows": [{"age": 41, "job": "clerk"}], "scores": True}
    content = {"application/json": {"schema": schema, "example": example}}

    @app.post(
        "/predict",
        summary="What the tasks say of one row or several",
        openapi_extra={"requestBody": {"required": True, "content": content}},
        response_model=RowAnswers,
        responses=_responses(400, 408, 413, 415, 422, 503, 504),
    )
    async def predict(request: Request) -> Response:
        rows, asked = read_row_question(await _json_body(request, limits), limits)
        assert service.model is not None
        version = service.about["model"]
        found = await service.answer(rows, asked)
        return _json({"model": version, "rows": found})


def _check_chunked(model: Model, asked: Asked, names: tuple[str, ...]) -> None:
    kept = model.most_labels
    if asked.scores or names:
        raise RefusedError(
            422,
            f"scores and labels need all {len(model.labels):,} labels at once, and "
            f"this model scores them in chunks: ask for top_k, up to {kept:,}",
            "many_labels",
        )
    if asked.top_k > kept:
        raise RefusedError(
            422,
            f"top_k must lie in 0..{kept:,}, what this model keeps of a text; got "
            f"{asked.top_k:,}",
            "bad_request",
        )


def _add_labels(app: FastAPI, service: Service) -> None:
    @app.get(
        "/labels",
        summary="The labels, with thresholds and descriptions, a page at a time",
        responses=_responses(422, 503),
    )
    async def labels(
        offset: int = Query(0, ge=0, le=2**31), limit: int = Query(PAGE, ge=1, le=1000)
    ) -> Response:
        return _json(label_rows(service.model, offset, limit))


def _add_model(app: FastAPI, service: Service) -> None:
    @app.get(
        "/model",
        summary="What the model is, and how well it does on its test documents",
        responses=_responses(503),
    )
    async def model() -> Response:
        assert service.model is not None
        return _json(service.about)


def _add_reload(
    app: FastAPI, reload: Callable[[], Awaitable[Mapping[str, object]]]
) -> None:
    @app.post(
        "/reload",
        summary="Swap to the newest version of the model; on this machine alone",
        responses=_responses(403, 409, 500, 503),
    )
    async def newest(request: Request) -> Response:
        client = request.client.host if request.client else ""
        require_loopback(client, request.headers.get("origin"))
        return _json(await reload())


def _add_state(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.head("/healthz", include_in_schema=False)
    @app.get(
        "/healthz",
        summary="200 as long as a request would be answered, else 503",
        responses=_responses(503),
    )
    async def healthz() -> Response:
        trouble = service.trouble
        if service.state == "ready" and not trouble:
            seconds = round(service.seconds, 3)
            ready = {"status": "ready", "shapes": service.shapes, "seconds": seconds}
            return _json(ready)
        status = "stuck" if trouble else service.state
        reason = f"the service must be ready; {trouble or f'it is {status}'}"
        found = {"error": reason, "status": status}
        return _json(found, 503, **{"Retry-After": "1"})

    @app.get("/livez", summary="200 as long as the process answers")
    async def livez() -> Response:
        return _json({"status": "alive"})

    @app.get("/metrics", summary="For Prometheus", response_class=Response)
    async def numbers() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_docs(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(DOCS, headers={"Content-Security-Policy": POLICY})

    @app.get("/docs.js", include_in_schema=False)
    async def script() -> Response:
        return Response(SCRIPT, media_type="text/javascript")

    app.mount("/assets", StaticFiles(directory=Path(str(swagger_ui_path))))


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    request.scope["refused"].append(error.kind)
    body = error_body(error.reason)
    return Response(body, error.status, error.headers, media_type="application/json")


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, headers = ascii(request.scope["path"])[:80], dict(error.headers or {})
    if error.status_code == 404:
        known = ", ".join(sorted(request.app.state.paths))
        reason = f"the path must be one of {known}; got {path}"
        refused = RefusedError(404, reason, "no_such_path")
    else:
        allowed = headers.get("Allow", headers.get("allow", "GET"))
        reason = f"{path} takes {allowed}; got {ascii(request.method)[:40]}"
        refused = RefusedError(error.status_code, reason, "bad_method", headers)
    return await _refuse(request, refused)


async def _refuse_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name, got = first["loc"][-1], ascii(first.get("input"))[:60]
    reason = f"{name}: {str(first['msg'])[:200]}; got {got}"
    return await _refuse(request, RefusedError(422, reason, "bad_request"))


async def _fail(request: Request, error: Exception) -> Response:
    reason = "the service failed at this request; its log says where"
    return await _refuse(request, RefusedError(500, reason, "failure"))
