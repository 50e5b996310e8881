"""Where Airflow and Slipway meet: connections, runs, tasks, assets and pools. No other code knows both.

Light to import: a DAG file imports it at parse time, so the stages are imported inside the tasks.
"""

import os

# Threads of FAISS and torch wait for each other by spinning. Where tasks share a machine they take the cores from those
# they wait for: two trainings side by side took 15 to 65 s on two cores in place of 2.5 s, and one alone a tenth less.
# OpenMP reads it when it is loaded; tasks and workers import this before.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
