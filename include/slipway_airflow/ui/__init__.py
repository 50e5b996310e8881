"""Pages in Airflow's UI: a run's result and a collection's releases. Read only.

lazy      what the plugin mounts: builds the application at its first request
app       routes, permissions, errors
store     what the pages read of the object store
runs      what the pages read of Airflow's database
view      a run's stored numbers → what its page shows (pure); view_releases the same of releases and readers
render    what a page shows → HTML with a strict Content-Security-Policy (pure)
names     DAG ids, collections and run ids
"""
