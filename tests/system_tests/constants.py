"""Names that the system tests and the components of their Airflow share."""

from __future__ import annotations

#: The environment variable with the folder that gets a JSON file from every recorded call.
FOLDER = "REHEARSAL_RECORDINGS"
