"""A Chatwork in memory: for people without a token, for unit tests, for the tests of your own DAGs, for the demo.

::

    from airflow_provider_chatwork.sandbox import Fault, Sandbox

    sandbox = Sandbox()
    response = sandbox.handle(http_request)               # a transport without a network
    sandbox.post_message(company.DATA_ROOM, company.YAMADA, "はい")  # people act
    sandbox.add_fault(Fault("lost_reply", operation="post_message"))
    sandbox.write_count("post_message")                          # how often it really happened

``python -m airflow_provider_chatwork.sandbox`` puts it behind a port with a web page
(:mod:`~airflow_provider_chatwork.sandbox.server`), and ``serve`` of
:mod:`~airflow_provider_chatwork.sandbox.serving` does so for the length of a test.
"""

from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.sandbox.faults import Fault
from airflow_provider_chatwork.sandbox.rate_limits import Limits
from airflow_provider_chatwork.sandbox.request_parsing import RequestRecord
from airflow_provider_chatwork.sandbox.sandbox import Sandbox

__all__ = ["Fault", "Limits", "RequestRecord", "Sandbox", "company"]
