"""No DAG: shows broken collection files as an Airflow import error, so that they take no other collection down."""

from slipway_airflow.collections import check_collections

check_collections()
