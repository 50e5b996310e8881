"""The DAG `<collection>__maintenance`, one per sound collection file: keeps its store small, whole and restorable."""

from slipway_airflow.collections import good_collections
from slipway_airflow.maintenance import STEADY, backup, drill, maintain, maintenance_dag, retention, verify
from slipway_airflow.steps import WAITING_RETRIES

for each in good_collections():
    with maintenance_dag(each):
        retired = retention.override(retries=WAITING_RETRIES, **STEADY)()
        tidied = maintain.override(retries=WAITING_RETRIES, **STEADY)()
        verify() >> retired >> tidied >> backup() >> drill()
