"""The plugin file: what Airflow mounts and shows, and that importing it stays light."""

import subprocess
import sys
from pathlib import Path

PLUGINS = Path(__file__).parents[3] / "plugins"
HEAVY = ("numpy", "pandas", "pyarrow", "faiss", "duckdb", "torch", "boto3")
FOR_REQUESTS = ("fastapi", "slipway.config", "slipway_airflow.ui.app")


def test_importing_the_plugin_and_its_application_is_light():
    script = f"""
import sys
import airflow.plugins_manager
before = set(sys.modules)
sys.path.insert(0, {str(PLUGINS)!r})
import slipway_ui
print([name for name in {(*HEAVY, *FOR_REQUESTS)!r} if name in set(sys.modules) - before])
import slipway_airflow.ui.app
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-2:] == ["[]", "[]"]


def test_the_views_stand_below_the_mounted_application(monkeypatch):
    monkeypatch.syspath_prepend(str(PLUGINS))
    import slipway_ui

    plugin = slipway_ui.SlipwayUi
    assert [app["url_prefix"] for app in plugin.fastapi_apps] == ["/slipway"]
    views = {view["name"]: (view["destination"], view["href"]) for view in plugin.external_views}
    assert views == {
        "Result": ("dag_run", "slipway/dags/{DAG_ID}/runs/{RUN_ID}"),
        "Report": ("dag_run", "slipway/dags/{DAG_ID}/runs/{RUN_ID}/report"),
        "Releases": ("nav", "slipway/releases"),
    }
    assert len({view["url_route"] for view in plugin.external_views}) == 3
