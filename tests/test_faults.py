"""Every operation with every fault, in both clients: the right value or error, and nothing executed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.sandbox import Fault
from airflow_provider_chatwork.sandbox.company import BOT, DATA_ROOM
from tests.clients import LOOPS, ROOM_LIMIT, START, Scene
from tests.operations import CASES, Case

GATEWAY = "<html><body><h1>502 Bad Gateway</h1></body></html>"
WINDOW = {"x-ratelimit-limit": "300", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(START) + 120)}

_CHANGED = "chatroom_changed"

UNKNOWN = errors.ChatworkUnknownOutcomeError
#: The errors of an operation that is not repeatable, if the fault does not show whether it was executed.
NETWORK = errors.ChatworkNetworkError
SERVER = errors.ChatworkServerError
UNREADABLE = errors.ChatworkUnexpectedResponseError


@dataclass(frozen=True)
class Trouble:
    """A fault that happens once, and its expected effect.

    :param executed: whether Chatwork executes the request that meets it.
    :param original: the error it is on its own; ``None`` where it says by itself that nothing was executed.
    :param finished: whether what Chatwork shows a little later is its last word.
    :param status: set for an answer with this status and no body.
    """

    name: str
    fault: Callable[[str], Fault]
    executed: bool
    original: type[errors.ChatworkError] | None
    finished: bool = True
    status: int = 0

    def __str__(self) -> str:
        return self.name


def _fault(kind: str, **options: Any) -> Callable[[str], Fault]:
    return lambda operation: Fault(kind, operation=operation, **options)  # type: ignore[arg-type]


def _answer(status: int, body: Any = None, **options: Any) -> Callable[[str], Fault]:
    return _fault("status", status=status, body=body, **options)


TROUBLES = (
    Trouble("no trouble", lambda operation: Fault("refuse", path="/nowhere"), True, None),
    Trouble("connection refused", _fault("refuse"), False, None),
    Trouble("connection refused three times", _fault("refuse", times=3), False, None),
    Trouble("account limit", _answer(429, {"errors": ["Rate limit exceeded"]}, headers=WINDOW), False, None),
    Trouble("account limit without headers", _answer(429, headers={}), False, None),
    Trouble("room limit", _answer(429, ROOM_LIMIT), False, None),
    Trouble("room limit without headers", _answer(429, ROOM_LIMIT, headers={}), False, None),
    Trouble("reply lost", _fault("lost_reply"), True, NETWORK),
    Trouble("cut in the middle of the body", _fault("cut"), True, NETWORK),
    Trouble("time-out after acting", _fault("timeout"), True, NETWORK, finished=False),
    Trouble("time-out before acting", _fault("timeout", executed=False), False, NETWORK, finished=False),
    Trouble("500 before acting", _answer(500, {"errors": ["Internal error"]}), False, SERVER),
    Trouble("500 after acting", _answer(500, executed=True), True, SERVER),
    Trouble("502 with a web page", _answer(502, GATEWAY, headers={}), False, SERVER),
    Trouble("502 after acting", _answer(502, GATEWAY, headers={}, executed=True), True, SERVER),
    Trouble("503", _answer(503, headers={}), False, SERVER),
    Trouble("504 before acting", _answer(504, headers={}), False, SERVER, finished=False),
    Trouble("504 after acting", _answer(504, headers={}, executed=True), True, SERVER, finished=False),
    Trouble("redirect", _answer(302, headers={"location": "https://example.com/"}), False, UNREADABLE),
    Trouble("204", _answer(204), False, UNREADABLE, finished=False, status=204),
    Trouble("truncated JSON", _fault("malformed", shape="truncated"), True, UNREADABLE, finished=False),
    Trouble("web page instead of JSON", _fault("malformed", shape="html"), True, UNREADABLE, finished=False),
    Trouble("wrong type", _fault("malformed", body='"done"'), True, UNREADABLE, finished=False),
    Trouble("empty body", _fault("malformed", shape="empty"), True, UNREADABLE, finished=False, status=200),
)

#: Operations whose success has no body.
SILENT = ("delete_room", "reject_incoming_request")
#: Operations whose success is documented with and without a body.
EITHER = ("delete_message", "delete_invite_link")


def expected(case: Case, trouble: Trouble) -> tuple[str | type[errors.ChatworkError], bool]:
    """The expected end (``value``: as without the fault; ``empty``; or an error), and whether it must be executed."""
    if trouble.status == 204:
        # Nothing was executed, but 204 is the answer of a success.
        if case.operation in (*SILENT, *EITHER):
            return "value", False
        if case.is_list:
            return "empty", False
    elif trouble.status == 200 and case.operation in (*SILENT, *EITHER):
        return "value", True
    elif trouble.status == 200 and case.is_list and case.kind != "cursor":
        return "empty", True
    elif trouble.name == "wrong type" and case.operation in SILENT:
        return "value", True
    if trouble.original is None or case.kind in ("read", "replace", "settle"):
        return "value", True
    if case.kind == "cursor":
        return trouble.original, trouble.executed
    if case.kind == "accept":
        # Chatwork shows that the request was accepted, but not the result.
        return (UNKNOWN, True) if trouble.executed else (("value", True) if trouble.finished else (UNKNOWN, False))
    return ("value", True) if trouble.executed or trouble.finished else (UNKNOWN, False)


@cache
def undisturbed(case: Case) -> tuple[Any, Any, Any]:
    """The result without a fault, and the state of the sandbox before and after."""
    scene = Scene()
    call = case.call(scene.sandbox)
    before = state(scene)
    return scene.run(call), before, state(scene)


def state(scene: Scene) -> Any:
    """The visible state, except for times and for the system messages about changed room settings."""
    world = scene.sandbox.store
    rooms = []
    for room in world.rooms.values():
        said = {m.message_id: (m.account_id, m.body) for m in room.messages.values() if _CHANGED not in m.body}
        unread = {account_id: len(said.keys() & ids) for account_id, ids in room.unread.items()}
        tasks = {task.task_id: (task.account_id, task.body, task.status) for task in room.tasks.values()}
        files = {file.file_id: (file.account_id, file.filename, file.content) for file in room.files.values()}
        settings = (room.room_id, room.name, room.description, room.icon, dict(room.roles), str(room.link))
        rooms.append((settings, said, unread, tasks, files, dict(room.seen)))
    return rooms, {owner: dict(known) for owner, known in world.contacts.items()}, sorted(world.requests)


def meet(case: Case, trouble: Trouble, scene: Scene) -> None:
    value, before, after = undisturbed(case)
    call = case.call(scene.sandbox)
    scene.add_faults(trouble.fault(case.operation))
    end, done = expected(case, trouble)
    if isinstance(end, str):
        assert scene.run(call) == (value if end == "value" else [])
    else:
        with pytest.raises(errors.ChatworkError) as raised:
            scene.run(call)
        assert type(raised.value) is end
        assert trouble.original is not None
        if end is UNKNOWN:
            assert isinstance(raised.value.__cause__, trouble.original)
    assert state(scene) == (after if done else before)
    again = case.kind == "replace" and trouble.executed
    assert scene.sandbox.write_count(case.operation) <= (2 if again else 1)
    assert sum(scene.clock.slept) <= scene.max_wait
    assert not [fault for fault in scene.sandbox.open_faults if fault.operation]


@pytest.fixture(params=LOOPS)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene(request.param)
    yield scene
    scene.close()


class TestEveryOperationMeetsEveryFault:
    @pytest.mark.parametrize("case", CASES, ids=str)
    @pytest.mark.parametrize("loop", LOOPS)
    def test_and_ends_as_documented(self, case: Case, loop: str):
        for trouble in TROUBLES:
            with closing(Scene(loop)) as scene:
                try:
                    meet(case, trouble, scene)
                except BaseException as failure:
                    failure.add_note(f"{case} met {trouble}; Chatwork was asked for {scene.operations}")
                    raise

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_and_is_sent_once_without_a_fault(self, case: Case, scene: Scene):
        scene.run(case.call(scene.sandbox))
        assert scene.operations == [case.operation]
        assert scene.clock.slept == []


class TestFaultsThatLast:
    """A permanent fault raises its error after the allowed number of tries, within the allowed time."""

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_a_refused_connection_is_a_network_error(self, case: Case, scene: Scene):
        call = case.call(scene.sandbox)
        scene.add_faults(Fault("refuse", times=None))
        with pytest.raises(NETWORK) as raised:
            scene.run(call)
        assert raised.value.sent is False
        assert len(scene.sent) == scene.client.policy.tries

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_a_limit_that_never_ends_is_a_rate_limit_error(self, case: Case, scene: Scene):
        call = case.call(scene.sandbox)
        scene.add_faults(Fault("status", status=429, headers={}, times=None))
        with pytest.raises(errors.ChatworkRateLimitError):
            scene.run(call)
        assert 240 <= sum(scene.clock.slept) <= scene.max_wait
        assert scene.sandbox.write_count(case.operation) == 0

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_a_server_that_always_fails_is_a_server_error_or_unknown(self, case: Case, scene: Scene):
        call = case.call(scene.sandbox)
        scene.add_faults(Fault("status", status=500, times=None))
        with pytest.raises(UNKNOWN if case.kind in ("create", "accept") else SERVER):
            scene.run(call)
        assert sum(scene.clock.slept) <= scene.max_wait
        assert scene.sandbox.write_count(case.operation) == 0

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_an_operation_that_always_fails_is_a_server_error_as_nothing_is_found(self, case: Case, scene: Scene):
        call = case.call(scene.sandbox)
        scene.add_faults(Fault("status", status=500, operation=case.operation, times=None))
        with pytest.raises(SERVER):
            scene.run(call)
        assert scene.operations.count(case.operation) == (1 if case.kind == "cursor" else scene.client.policy.tries)
        assert scene.sandbox.write_count(case.operation) == 0

    @pytest.mark.parametrize("case", [case for case in CASES if case.kind != "replace"], ids=str)
    def test_answers_that_are_always_lost_execute_nothing_twice(self, case: Case, scene: Scene):
        call = case.call(scene.sandbox)
        scene.add_faults(Fault("lost_reply", operation=case.operation, times=None))
        found = case.kind == "create"
        if found:
            assert scene.run(call) == undisturbed(case)[0]
        else:
            with pytest.raises(UNKNOWN if case.kind == "accept" else NETWORK):
                scene.run(call)
        assert scene.sandbox.write_count(case.operation) == (0 if case.kind == "read" else 1)


_REFUSALS = {
    400: errors.ChatworkInvalidRequestError,
    401: errors.ChatworkAuthError,
    403: errors.ChatworkForbiddenError,
    404: errors.ChatworkNotFoundError,
    405: errors.ChatworkInvalidRequestError,
    413: errors.ChatworkInvalidRequestError,
    422: errors.ChatworkInvalidRequestError,
}


class TestRefusals:
    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_are_never_repeated(self, case: Case, scene: Scene):
        call = case.call(scene.sandbox)
        for status, error in _REFUSALS.items():
            scene.add_faults(Fault("status", status=status, body={"errors": ["だめです"]}))
            with pytest.raises(errors.ChatworkApiError) as raised:
                scene.run(call)
            assert (type(raised.value), raised.value.errors) == (error, ("だめです",))
            assert raised.value.operation == case.operation
        assert scene.operations == [case.operation] * len(_REFUSALS)
        assert scene.clock.slept == []

    @pytest.mark.parametrize("first", [_answer(429, headers={}), _fault("refuse")], ids=["429", "refused"])
    @pytest.mark.parametrize("case", [case for case in CASES if case.kind == "settle"], ids=str)
    def test_of_a_second_try_are_raised_where_the_first_was_not_executed(
        self, case: Case, first: Callable[[str], Fault], scene: Scene
    ):
        call = case.call(scene.sandbox)
        scene.add_faults(first(case.operation))
        status = 404 if case.operation in ("delete_message", "reject_incoming_request") else 400
        scene.add_faults(Fault("status", operation=case.operation, status=status))
        with pytest.raises(errors.ChatworkApiError) as raised:
            scene.run(call)
        assert raised.value.status == status
        assert scene.operations[-1] == case.operation

    def test_leave_the_bot_in_the_room_that_it_may_not_leave(self, scene: Scene):
        scene.sandbox.remove_member(DATA_ROOM, BOT)
        with pytest.raises(errors.ChatworkForbiddenError):
            scene.run(next(case for case in CASES if case.operation == "delete_room").call(scene.sandbox))
