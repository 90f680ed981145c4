"""Contacts and those who ask to become one. https://developer.chatwork.com/reference/get-contacts"""

from __future__ import annotations

from airflow_provider_chatwork.api import check, models
from airflow_provider_chatwork.api.call import Call, Request, Search
from airflow_provider_chatwork.api.errors import ChatworkApiError, ChatworkNotFoundError
from airflow_provider_chatwork.api.reading import many, nothing, one


def list_contacts() -> Call[list[models.Contact]]:
    """All contacts. The ``room_id`` of each is the direct chat with them."""
    return Call("list_contacts", Request("GET", "/contacts"), many(models.Contact))


def list_incoming_requests() -> Call[list[models.IncomingRequest]]:
    """The contact requests that wait for an answer, at most 100."""
    return Call("list_incoming_requests", Request("GET", "/incoming_requests"), many(models.IncomingRequest))


def accept_incoming_request(request_id: int | str) -> Call[models.Contact]:
    """Accept a contact request, and get the new contact."""
    request_id = check.identifier("request_id", request_id)
    request = Request("PUT", f"/incoming_requests/{request_id}", form={})
    # A repetition after a lost answer finds the request gone. Who was accepted cannot be told from what is left.
    return Call("accept_incoming_request", request, one(models.Contact), repeatable=False)


def reject_incoming_request(request_id: int | str) -> Call[None]:
    """Reject a contact request."""
    request_id = check.identifier("request_id", request_id)

    def settle(refusal: ChatworkApiError) -> Search[None]:
        yield from ()
        return [None] if isinstance(refusal, ChatworkNotFoundError) else []

    request = Request("DELETE", f"/incoming_requests/{request_id}")
    return Call("reject_incoming_request", request, nothing, settle=settle)
