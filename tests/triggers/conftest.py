from __future__ import annotations

from tests.airflow_helpers import sandbox, shared_sandbox

__all__ = ["sandbox", "shared_sandbox"]
