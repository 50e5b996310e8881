"""Where Airflow and Slipway meet: connections, runs, tasks, assets and pools. No other code knows both.

Light to import: a DAG file imports it at parse time, so the stages are imported inside the tasks.
"""
