"""The DAG `<collection>__maintenance`, one per sound collection file: keeps its store from growing for ever."""

from slipway_airflow.collections import good_collections
from slipway_airflow.maintenance import STEADY, maintain, maintenance_dag
from slipway_airflow.steps import WAITING_RETRIES

for each in good_collections():
    with maintenance_dag(each):
        maintain.override(retries=WAITING_RETRIES, **STEADY)()
