"""What an account has sent to a room, from several pages of at most 100 messages each."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_chatwork.api.messages import PAGE, position
from airflow_provider_chatwork.api.models import Message

# How many messages are kept, as a triggerer may run for months.
_MAX_MESSAGES = 1_000


class SentLog:
    """The messages that an account has sent to a room, without a gap since some time.

    :param account_id: the account.
    """

    def __init__(self, account_id: int) -> None:
        self._account_id = account_id
        self._page_ids: set[str] = set()
        self._from_pages: list[Message] = []
        # Messages that no page shows yet, each with the number of the last page that was requested before.
        self._not_in_pages: list[tuple[int, Message]] = []
        self._begins_at = float("inf")

    @property
    def messages(self) -> list[Message]:
        """The messages, oldest first."""
        return [*self._from_pages, *(message for _, message in self._not_in_pages)]

    def reaches_back(self, since: float) -> bool:
        """Return whether it has every message since a Unix time."""
        return self._begins_at < since

    def add_page(self, page: Sequence[Message], number: int) -> None:
        """Add the newest messages of the room, oldest first.

        :param number: the number of the page.
        """
        ids = {message["message_id"] for message in page}
        own = [message for message in page if message["account"]["account_id"] == self._account_id]
        if len(page) < PAGE:
            self._begins_at, earlier = float("-inf"), []
        elif ids & self._page_ids:
            # The pages overlap, so no message between them is missing.
            oldest = position(page[0])
            earlier = [message for message in self._from_pages if position(message) < oldest]
        else:
            self._begins_at, earlier = page[0]["send_time"], []
        self._from_pages = (earlier + own)[-_MAX_MESSAGES:]
        if len(earlier) + len(own) > _MAX_MESSAGES:
            self._begins_at = self._from_pages[0]["send_time"]
        self._page_ids = ids
        self._not_in_pages = [(after, message) for after, message in self._not_in_pages if after >= number]

    def add(self, message_id: str, body: str, unix_now: float, after: int) -> None:
        """Add a message that was just sent.

        :param after: the number of the last page that was requested before.
        """
        account = {"account_id": self._account_id, "name": "", "avatar_image_url": ""}
        message = {"message_id": message_id, "account": account, "body": body, "send_time": int(unix_now)}
        self._not_in_pages.append((after, {**message, "update_time": 0}))  # type: ignore[typeddict-item]
