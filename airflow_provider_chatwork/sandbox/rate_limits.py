"""Chatwork's two rate limits: requests of an account, and posts in a room. They are independent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from airflow_provider_chatwork.sandbox.parameters import ROOM_LIMIT_EXCEEDED, HttpError


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits. ``None`` switches a limit off.

    :param requests: requests of one account, with all its tokens, in a window.
    :param window: seconds from the first request of a window to the reset.
    :param posts: messages and tasks that all accounts together may post in one room within ``posts_window``.
    :param posts_window: length of the sliding window of ``posts``, in seconds.
    """

    requests: int | None = 300
    window: float = 300.0
    posts: int | None = 10
    posts_window: float = 10.0

    @classmethod
    def off(cls) -> Limits:
        """Return limits that are switched off."""
        return cls(requests=None, posts=None)


@dataclass(slots=True)
class _Window:
    reset: float
    used: int = 0


class RateLimiter:
    """Counts requests and posts against the limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._windows: dict[int, _Window] = {}
        self._posts: dict[int, deque[float]] = {}

    def count_request(self, account_id: int, now: float) -> None:
        """Count a request. If the limit is reached, raise a 429 and do not count it."""
        window = self._window(account_id, now)
        if self.limits.requests is not None and window.used >= self.limits.requests:
            raise HttpError(429, "Rate limit exceeded")
        window.used += 1

    def count_post(self, room_id: int, now: float) -> None:
        """Count a message or a task in a room. If the limit is reached, raise a 429 and do not count it."""
        posts = self._posts.setdefault(room_id, deque())
        while posts and posts[0] <= now - self.limits.posts_window:
            posts.popleft()
        if self.limits.posts is not None and len(posts) >= self.limits.posts:
            raise HttpError(429, ROOM_LIMIT_EXCEEDED)
        posts.append(now)

    def headers(self, account_id: int | None, now: float) -> dict[str, str]:
        """Return the three ``x-ratelimit-`` headers; without an account, those of an unused window."""
        allowed = Limits().requests if self.limits.requests is None else self.limits.requests
        window = _Window(now + self.limits.window) if account_id is None else self._window(account_id, now)
        used = 0 if self.limits.requests is None else window.used
        return {
            "x-ratelimit-limit": str(allowed),
            "x-ratelimit-remaining": str(max(0, (allowed or 0) - used)),
            "x-ratelimit-reset": str(int(window.reset)),
        }

    def _window(self, account_id: int, now: float) -> _Window:
        window = self._windows.get(account_id)
        # The header has whole seconds, so the window ends at one: a client that waits until then is accepted.
        if window is None or now >= window.reset:
            window = self._windows[account_id] = _Window(float(int(now + self.limits.window)))
        return window
