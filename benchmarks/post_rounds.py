"""Posting a message three ways, in turns: the provider's hook, a bare ``requests`` session, Slack's hook.

``python -m benchmarks.post_rounds ORIGIN ROUNDS`` prints its samples as JSON, see :class:`Samples`. It is run by
``posting.py``, which gives it the connections and the certificates in its environment.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

OURS, BARE, SLACK = "provider", "bare requests", "slack provider"

_TOKEN = "benchmark-token-0123456789abcdef"
# Different rooms, by which the server counts the posts of each.
OUR_ROOM, _BARE_ROOM = 1001, 1002
_WARM_UP = 20
# Calls in one round: enough for the resolution of the CPU clock, and few enough that the load of the machine is steady.
_CALLS = {OURS: 40, BARE: 40, SLACK: 20}


@dataclass
class Samples:
    """What was measured of one way to post.

    :param path: where it posts to, by which the server knows it.
    :param sent: how often it posted.
    :param wall: seconds by the clock for one call, a figure for each round.
    :param cpu: seconds of this process's CPU for one call, a figure for each round.
    """

    path: str
    sent: int = 0
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def connections(origin: str) -> dict[str, dict[str, Any]]:
    """The two Airflow connections, by id, as JSON has them."""
    return {
        "chatwork_default": {
            "conn_type": "chatwork",
            "password": _TOKEN,
            "host": f"{origin}/v2",
            "extra": {"default_room_id": OUR_ROOM},
        },
        "slack_api_default": {"conn_type": "slack", "password": _TOKEN, "extra": {"base_url": f"{origin}/api/"}},
    }


def measure(origin: str, rounds: int) -> dict[str, Samples]:
    """Post in turns, and return the samples of each way."""
    posts = {OURS: _ours(), BARE: _bare(origin), SLACK: _slack()}
    samples = {
        OURS: Samples(f"/v2/rooms/{OUR_ROOM}/messages"),
        BARE: Samples(f"/v2/rooms/{_BARE_ROOM}/messages"),
        SLACK: Samples("/api/chat.postMessage"),
    }
    for name, post in posts.items():
        _turn(post, samples[name], _WARM_UP)
    order = list(posts)
    for _ in range(rounds):
        for name in order:
            calls = _CALLS[name]
            wall, cpu = _turn(posts[name], samples[name], calls)
            samples[name].wall.append(wall / calls)
            samples[name].cpu.append(cpu / calls)
        # Nobody always comes after the same one.
        order.append(order.pop(0))
    return samples


def _turn(post: Callable[[str], object], samples: Samples, calls: int) -> tuple[float, float]:
    first = samples.sent
    samples.sent += calls
    # Each text is different, so that the server can count duplicates.
    texts = [f"[info][title]日次集計[/title]第{number}回 12345件[/info]" for number in range(first, samples.sent)]
    cpu, wall = time.process_time(), time.perf_counter()
    for text in texts:
        post(text)
    return time.perf_counter() - wall, time.process_time() - cpu


def _ours() -> Callable[[str], object]:
    from airflow_provider_chatwork.hooks.chatwork import ChatworkHook

    hook = ChatworkHook()
    return lambda text: hook.post_message(OUR_ROOM, text)


def _bare(origin: str) -> Callable[[str], object]:
    import requests

    session = requests.Session()
    url = f"{origin}/v2/rooms/{_BARE_ROOM}/messages"
    headers = {"x-chatworktoken": _TOKEN}
    return lambda text: session.post(url, data={"body": text, "self_unread": "0"}, headers=headers)


def _slack() -> Callable[[str], object]:
    from airflow.providers.slack.hooks.slack import SlackHook

    hook = SlackHook()
    # As SlackAPIPostOperator does it.
    return lambda text: hook.call("chat.postMessage", json={"channel": "C0123456789", "text": text})


def main() -> None:
    """Measure, and write the samples to the standard output."""
    origin, rounds = sys.argv[1:]
    samples = measure(origin, int(rounds))
    print(json.dumps({name: asdict(one) for name, one in samples.items()}))


if __name__ == "__main__":
    main()
