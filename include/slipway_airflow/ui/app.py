"""The pages' FastAPI application. Reading only; every route asks who the user is and what they may see."""

from __future__ import annotations

import logging
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag, requires_authenticated
from airflow.models.dag import DagModel
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException

from slipway.errors import InputError, SlipwayError, TransientError
from slipway_airflow.runs import stored_id
from slipway_airflow.ui import render, runs, store
from slipway_airflow.ui.lazy import Message, Receive, Scope, Send
from slipway_airflow.ui.names import collection_of, dag_of, is_collection

log = logging.getLogger(__name__)

TITLES = {
    401: "Not signed in",
    403: "Not allowed",
    404: "Nothing here",
    500: "Something is wrong",
    503: "The store does not answer",
}


NO_REPORT = (
    "This run has written no report. One is written when a candidate is judged: not before the gate, and not in a "
    "night in which nothing changed."
)


def build_app() -> WithHeaders:
    """The application, without its documentation pages."""
    app = FastAPI(title="Slipway", docs_url=None, redoc_url=None, openapi_url=None)
    reads_run = [Depends(requires_access_dag("GET", DagAccessEntity.RUN))]
    app.get("/dags/{dag_id}/runs/{run_id}", dependencies=reads_run)(run_html)
    app.get("/api/dags/{dag_id}/runs/{run_id}", dependencies=reads_run)(run_json)
    app.get("/dags/{dag_id}/runs/{run_id}/report", dependencies=reads_run)(report_html)
    app.get("/api/dags/{dag_id}/runs/{run_id}/report", dependencies=reads_run)(report_json)
    app.get("/releases", dependencies=[Depends(requires_authenticated())])(releases_html)
    app.get("/api/releases", dependencies=[Depends(requires_authenticated())])(releases_json)
    app.get("/api/releases/{collection}", dependencies=[Depends(_reads_collection)])(collection_json)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(SlipwayError, _slipway_error)
    app.add_exception_handler(Exception, _unforeseen)
    return WithHeaders(app)


class WithHeaders:
    """Adds the security headers to every answer, those of errors included. What an answer has itself stays."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in render.headers().items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def run_html(dag_id: str, run_id: str, session: SessionDep) -> HTMLResponse:
    """A run's result, as a page."""
    collection, state = _find(session, dag_id, run_id)
    shown = _state(state)
    try:
        found = store.read_run(collection, stored_id(dag_id, run_id))
    except SlipwayError as error:
        body = render.page("unread.html", collection=collection, run_id=run_id, state=shown, error=str(error))
        return HTMLResponse(body, status_of(error))
    return HTMLResponse(render.run_page(collection, run_id, found, shown))


def run_json(dag_id: str, run_id: str, session: SessionDep) -> dict[str, Any]:
    """A run's result, and what is known beside it."""
    collection, state = _find(session, dag_id, run_id)
    found = store.read_run(collection, stored_id(dag_id, run_id))
    return {"collection": collection, "dag_id": dag_id, "run_id": run_id, "state": state.state, **found}


def report_html(dag_id: str, run_id: str, session: SessionDep) -> HTMLResponse:
    """The report on a run's candidate, as it was written."""
    collection, _ = _find(session, dag_id, run_id)
    page = store.read_report_page(collection, stored_id(dag_id, run_id))
    if page is None:
        raise HTTPException(404, NO_REPORT)
    return HTMLResponse(page, headers=render.report_headers(page))


def report_json(dag_id: str, run_id: str, session: SessionDep) -> dict[str, Any]:
    """The report on a run's candidate, as data."""
    collection, _ = _find(session, dag_id, run_id)
    found = store.read_report(collection, stored_id(dag_id, run_id))
    if found is None:
        raise HTTPException(404, NO_REPORT)
    return found


def releases_html(user: GetUserDep) -> HTMLResponse:
    """The releases of the collections that the user may see, as a page."""
    return HTMLResponse(render.releases_page(store.read_collections(_visible(user))))


def releases_json(user: GetUserDep) -> dict[str, Any]:
    """The releases of the collections that the user may see."""
    return {"collections": store.read_collections(_visible(user))}


def collection_json(collection: str) -> dict[str, Any]:
    """The releases of one collection."""
    if not is_collection(collection) or collection not in store.collections():
        raise HTTPException(404, "There is no such collection.")
    return store.read_collections([collection])[0]


def status_of(error: SlipwayError) -> int:
    """The HTTP status for an error of the store."""
    return 503 if isinstance(error, TransientError) else 500


def _reads_collection(request: Request, user: GetUserDep) -> None:
    collection = request.path_params["collection"]
    requires_access_dag("GET", param_dag_id=dag_of(collection))(request, user)


def _visible(user: Any) -> list[str]:
    """The collections whose DAG the user may read."""
    manager, names = get_auth_manager(), store.collections()
    teams = DagModel.get_dag_id_to_team_name_mapping([dag_of(name) for name in names])

    def may_read(dag: str) -> bool:
        return manager.is_authorized_dag(method="GET", details=DagDetails(id=dag, team_name=teams.get(dag)), user=user)

    return [name for name in names if may_read(dag_of(name))]


def _find(session: SessionDep, dag_id: str, run_id: str) -> tuple[str, runs.RunState]:
    collection = collection_of(dag_id)
    if collection is None:
        raise HTTPException(404, "This is not a DAG that builds a collection's index, so its runs have no result here.")
    state = runs.find_run(session, dag_id, run_id)
    if state is None:
        raise HTTPException(404, "Airflow knows no such run of this DAG.")
    return collection, state


def _state(state: runs.RunState) -> dict[str, Any]:
    return {
        "state": state.state,
        "started_at": state.started_at,
        "going": state.going,
        "tasks": state.tasks,
        "failed_tasks": state.failed_tasks,
    }


def _answer(request: Request, status: int, sentence: str, title: str | None = None) -> Response:
    route = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    if route.startswith("/api/"):
        return JSONResponse({"detail": sentence}, status)
    return HTMLResponse(render.message_page(title or TITLES.get(status, "Not possible"), sentence), status)


async def _http_error(request: Request, error: Any) -> Response:
    answer = _answer(request, error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _bad_request(request: Request, error: Exception) -> Response:
    return _answer(request, 422, "The address of this page is not a valid one.")


async def _slipway_error(request: Request, error: Any) -> Response:
    title = "The configuration is wrong" if isinstance(error, InputError) else None
    return _answer(request, status_of(error), str(error), title)


async def _unforeseen(request: Request, error: Exception) -> Response:
    log.error("Slipway's page %s failed", request.scope["path"], exc_info=error)
    return _answer(request, 500, "The page could not be made. The API server's log says why.")
