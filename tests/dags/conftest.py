"""Airflow in a folder of its own, set before any import of airflow; a metadata database; a small collection."""

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = Path(tempfile.mkdtemp(prefix="slipway-airflow-"))
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(HOME / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
    "SLIPWAY_COLLECTIONS": str(HOME / "collections"),
    "SLIPWAY_STORE": str(HOME / "store"),
    "SLIPWAY_CACHE": str(HOME / "cache"),
    "HF_HUB_OFFLINE": "1",
}
(HOME / "collections").mkdir()
(HOME / "plugins").mkdir()
