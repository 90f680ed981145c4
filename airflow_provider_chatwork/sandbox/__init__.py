"""A simulated Chatwork in memory, for unit tests, tests of your own DAGs and trying things out without a token.

::

    from airflow_provider_chatwork.sandbox import Fault, Sandbox

    sandbox = Sandbox()
    response = sandbox.handle(http_request)               # a transport that uses no network
    sandbox.post_message(company.DATA_ROOM, company.YAMADA, "はい")  # act as a person
    sandbox.add_fault(Fault("lost_reply", operation="post_message"))
    sandbox.write_count("post_message")                          # how many messages were really posted

``python -m airflow_provider_chatwork.sandbox`` serves it on a port, with a web page
(:mod:`~airflow_provider_chatwork.sandbox.server`). In a test, use ``serve`` of
:mod:`~airflow_provider_chatwork.sandbox.serving`.
"""

from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.sandbox.faults import Fault
from airflow_provider_chatwork.sandbox.rate_limits import Limits
from airflow_provider_chatwork.sandbox.request_parsing import RequestRecord
from airflow_provider_chatwork.sandbox.sandbox import Sandbox

__all__ = ["Fault", "Limits", "RequestRecord", "Sandbox", "company"]
