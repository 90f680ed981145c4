"""What is known of a room by several looks at it, each of which shows no more than 100 messages."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_chatwork.api.messages import PAGE
from airflow_provider_chatwork.api.models import Message

# How many messages of the account are kept, as a triggerer may run for months.
_KEPT = 1_000


class Record:
    """What an account has said in a room, without a gap.

    :param me: the account.
    """

    def __init__(self, me: int) -> None:
        self._me = me
        self._page_ids: set[str] = set()
        self._in_pages: list[Message] = []
        # What no page shows yet, each with the number of the last look that had begun before.
        self._since_then: list[tuple[int, Message]] = []
        self._begins = float("inf")

    @property
    def messages(self) -> list[Message]:
        """What the account has said, oldest first."""
        return [*self._in_pages, *(message for _, message in self._since_then)]

    def reaches_back(self, since: float) -> bool:
        """Whether it holds all that the account has said since a Unix time."""
        return self._begins < since

    def add_page(self, page: Sequence[Message], look: int) -> None:
        """Take note of the newest messages, oldest first.

        :param look: the number of the look.
        """
        ids = {message["message_id"] for message in page}
        ours = [message for message in page if message["account"]["account_id"] == self._me]
        if len(page) < PAGE:
            self._begins, earlier = float("-inf"), []
        elif ids & self._page_ids:
            # Between a message that two looks have seen and the newest one there is nothing that is not known.
            oldest = _order(page[0])
            earlier = [message for message in self._in_pages if _order(message) < oldest]
        else:
            self._begins, earlier = page[0]["send_time"], []
        self._in_pages = (earlier + ours)[-_KEPT:]
        if len(earlier) + len(ours) > _KEPT:
            self._begins = self._in_pages[0]["send_time"]
        self._page_ids = ids
        self._since_then = [(after, message) for after, message in self._since_then if after >= look]

    def add(self, message_id: str, body: str, unix_now: float, after: int) -> None:
        """Take note of what was just said.

        :param unix_now: the Unix time.
        :param after: the number of the last look that has begun.
        """
        account = {"account_id": self._me, "name": "", "avatar_image_url": ""}
        message = {"message_id": message_id, "account": account, "body": body, "send_time": int(unix_now)}
        self._since_then.append((after, {**message, "update_time": 0}))  # type: ignore[typeddict-item]


def _order(message: Message) -> tuple[int, int]:
    return message["send_time"], int(message["message_id"])
