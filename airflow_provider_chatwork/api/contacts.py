"""Contacts and contact requests. https://developer.chatwork.com/reference/get-contacts"""

from __future__ import annotations

from airflow_provider_chatwork.api import models, validation
from airflow_provider_chatwork.api.call import Call, Lookup, Request, strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkApiError, ChatworkNotFoundError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.api.http import parse_list, parse_none, parse_object

_REQUESTS = "/incoming_requests"


def list_contacts() -> Call[list[models.Contact]]:
    """All contacts. The ``room_id`` of a contact is the direct chat."""
    return Call("list_contacts", Request("GET", "/contacts"), parse_list(models.Contact))


def list_incoming_requests() -> Call[list[models.IncomingRequest]]:
    """The pending contact requests, at most 100."""
    return Call("list_incoming_requests", Request("GET", _REQUESTS), parse_list(models.IncomingRequest))


def accept_incoming_request(request_id: int | str) -> Call[models.Contact]:
    """Accept a contact request. Returns the new contact."""
    request_id = validation.identifier("request_id", request_id)
    request = Request("PUT", f"{_REQUESTS}/{request_id}", form={})

    def find_executed(since: float, account_id: int) -> Lookup[models.Contact]:
        pending = yield strict_empty_list(list_incoming_requests())
        if all(each["request_id"] != request_id for each in pending):
            # The list of contacts does not show which of them came from this request.
            reason = "the request is not pending any more; list_contacts shows whether the account is a contact"
            raise ChatworkUnknownOutcomeError("accept_incoming_request", reason)
        return []

    return Call(
        "accept_incoming_request", request, parse_object(models.Contact), repeatable=False, find_executed=find_executed
    )


def reject_incoming_request(request_id: int | str) -> Call[None]:
    """Reject a contact request."""
    request_id = validation.identifier("request_id", request_id)

    def confirm_already_done(refusal: ChatworkApiError) -> Lookup[None]:
        yield from ()
        return [None] if isinstance(refusal, ChatworkNotFoundError) else []

    request = Request("DELETE", f"{_REQUESTS}/{request_id}")
    return Call("reject_incoming_request", request, parse_none, confirm_already_done=confirm_already_done)
