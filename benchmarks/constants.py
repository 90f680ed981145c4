"""Names that the benchmark and the DAGs in its Airflow share."""

from __future__ import annotations

#: The environment variable with the folder that gets a JSON file for each watched callback.
FOLDER = "BENCHMARK_ALERTS"
#: What the run's ``conf`` calls the name of that file.
RECORD = "record"
#: How the names of the DAGs end in which other tasks are running meanwhile, and how many.
BUSY = "_busy"
OTHERS = 2
