"""The DAG `<collection>__rollback`, one per sound collection file: a former release is live again within seconds."""

from slipway_airflow.assets import release_asset
from slipway_airflow.collections import good_collections
from slipway_airflow.rollback import roll_back, rollback_dag

for each in good_collections():
    with rollback_dag(each):
        roll_back.override(outlets=[release_asset(each.name)])()
