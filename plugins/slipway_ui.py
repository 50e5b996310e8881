"""Airflow UI: "Result" on every nightly run, "Releases" in the navigation. The pages are in slipway_airflow.ui."""

from airflow.plugins_manager import AirflowPlugin

from slipway_airflow.ui.lazy import LazyApp

# Addresses are relative, so that they hold where Airflow is served below a path.
MOUNTED = "/slipway"
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='%23d97b29' "
    "stroke-width='2' stroke-linecap='round' stroke-linejoin='round'%3E"
    "%3Cpath d='M3 14h18l-3 5H7zM12 14V4l6 6h-6'/%3E%3C/svg%3E"
)


class SlipwayUi(AirflowPlugin):
    """Read-only pages, mounted in the API server."""

    name = "slipway"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": MOUNTED, "name": "Slipway"}]  # noqa: RUF012 - as Airflow declares it
    external_views = [  # noqa: RUF012 - as Airflow declares it
        {
            "name": "Result",
            "href": "slipway/dags/{DAG_ID}/runs/{RUN_ID}",
            "destination": "dag_run",
            "url_route": "slipway-result",
            "icon": ICON,
        },
        {
            "name": "Report",
            "href": "slipway/dags/{DAG_ID}/runs/{RUN_ID}/report",
            "destination": "dag_run",
            "url_route": "slipway-report",
            "icon": ICON,
        },
        {
            "name": "Releases",
            "href": "slipway/releases",
            "destination": "nav",
            "url_route": "slipway-releases",
            "nav_top_level": True,
            "icon": ICON,
        },
    ]
