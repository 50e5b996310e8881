"""What a page shows → HTML. Everything is escaped: the page stands in a frame of the same origin as Airflow's UI."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from slipway_airflow.ui import formats, view, view_releases

PAGES = Path(__file__).parent / "pages"


def run_page(collection: str, run_id: str, found: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """The page of a run. `found` is `store.read_run`'s, `state` the DAG run's in Airflow."""
    result = found["result"]
    if result is None:
        return page(
            "unfinished.html",
            collection=collection,
            run_id=run_id,
            state=state,
            progress=found["progress"],
            plan=view.plan_rows(found["plan"] or {}),
            allowed=view.allowed(found["allowed"]),
            full=found["full"],
        )
    shown = view.run_page(result)
    return page(
        "run.html",
        collection=collection,
        run_id=run_id,
        shown=shown,
        state=state,
        release_id=result.get("release_id"),
        standing=view.standing(found["standing"]),
        report=result.get("report"),
        address=quote(run_id, safe=""),
        missed=found["missed"],
    )


def releases_page(collections: list[dict[str, Any]]) -> str:
    """The page of all collections' releases."""
    sections = [
        {
            **one,
            "rows": [view_releases.release_row(row, one.get("withdrawn", {})) for row in one.get("releases", [])],
            "shift": view_releases.shift_line(one.get("shift")),
            "readers": [view_releases.reader_row(reader) for reader in one.get("readers", [])],
            "unreadable": one.get("unreadable", []),
            "changes": [view_releases.change_row(change) for change in one.get("changes", [])],
        }
        for one in collections
    ]
    return page("releases.html", sections=sections)


def message_page(title: str, sentence: str) -> str:
    """A page that says one thing."""
    return page("message.html", title=title, sentence=sentence)


def page(template: str, **shown: Any) -> str:
    """A template filled in."""
    return _environment().get_template(template).render(**shown)


def report_headers(page: str) -> dict[str, str]:
    """What the answer with a report carries: nothing runs on that page, and only its own style applies.

    The page comes from the store, where a report of another version has another style.
    """
    style = page.partition("<style>")[2].partition("</style>")[0]
    policy = {
        "default-src": "'none'",
        "style-src": _hash_of(style),
        "frame-ancestors": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "sandbox": "",
    }
    return {"Content-Security-Policy": "; ".join(f"{name} {value}".strip() for name, value in policy.items())}


@cache
def headers() -> dict[str, str]:
    """What every answer carries. Only the page's own style and script run, and only Airflow may frame it."""
    policy = {
        "default-src": "'none'",
        "style-src": _hash_of(_own("style.css")),
        "script-src": _hash_of(_own("theme.js")),
        "frame-ancestors": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Frame-Options": "SAMEORIGIN",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


@cache
def _environment() -> Environment:
    made = Environment(loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    made.globals["style"] = Markup(_own("style.css"))  # noqa: S704 - a file of this package
    made.globals["script"] = Markup(_own("theme.js"))  # noqa: S704 - a file of this package
    made.filters |= {"count": formats.count, "moment": formats.moment}
    return made


def _own(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def _hash_of(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
