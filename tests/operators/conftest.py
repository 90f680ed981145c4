from __future__ import annotations

from tests.airflow_helpers import one_server, sandbox

__all__ = ["one_server", "sandbox"]
