"""What the harness and the components of its Airflow call the same."""

from __future__ import annotations

#: The environment variable with the folder that gets a JSON file from every recorded call.
FOLDER = "REHEARSAL_RECORDINGS"
