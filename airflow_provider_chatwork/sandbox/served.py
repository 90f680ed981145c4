"""A sandbox that knows where it is served."""

from __future__ import annotations

from airflow_provider_chatwork.sandbox.connection import Address
from airflow_provider_chatwork.sandbox.sandbox import Sandbox


class ServedSandbox(Sandbox):
    """What the pytest fixture ``chatwork_sandbox`` yields: a sandbox and its ``address``."""

    address: Address
