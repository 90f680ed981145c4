from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from airflow_provider_chatwork.api import errors
from airflow_provider_chatwork.api.account import get_me
from airflow_provider_chatwork.api.call import Call, Response, Upload
from airflow_provider_chatwork.api.files import upload_file
from airflow_provider_chatwork.api.http import RateLimit
from airflow_provider_chatwork.api.messages import delete_message, list_messages, post_message
from airflow_provider_chatwork.api.rooms import (
    create_invite_link,
    create_room,
    delete_invite_link,
    delete_room,
    update_members,
)
from airflow_provider_chatwork.api.tasks import create_task, list_tasks
from airflow_provider_chatwork.client import Client
from airflow_provider_chatwork.sandbox import Fault, Limits
from airflow_provider_chatwork.sandbox.company import BOT, DATA_ROOM, NOTICE_ROOM, SATO, TAKAHASHI, YAMADA
from tests.clients import LOOPS, ROOM_LIMIT, START, TOKEN, Answers, Scene

HOUR = 3600.0
DONE = "夜間バッチが終わりました"
UNKNOWN = errors.ChatworkUnknownOutcomeError


@pytest.fixture(params=LOOPS)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene(request.param)
    yield scene
    scene.close()


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return request.param


def closed(scene: Scene) -> Scene:
    scene.close()
    return scene


def post() -> Call:
    return post_message(DATA_ROOM, DONE)


def lost(operation: str = "post_message", **options) -> Fault:
    return Fault("lost_reply", operation=operation, **options)


def failed(operation: str = "post_message", **options) -> Fault:
    return Fault("status", operation=operation, status=500, **options)


def newest(scene: Scene) -> str:
    return scene.sandbox.messages(DATA_ROOM)[-1]["message_id"]


class TestALostResponse:
    """A write whose answer was lost is found, and a write that was not executed is not."""

    def test_is_found_where_an_equal_message_of_mine_is_older(self, scene):
        older = scene.sandbox.post_message(DATA_ROOM, BOT, DONE)
        scene.clock.now += 10
        scene.add_faults(lost())
        assert scene.run(post()) == {"message_id": newest(scene)} != {"message_id": older}
        assert scene.bodies(DATA_ROOM).count(DONE) == 2

    def test_is_not_found_in_an_equal_message_of_mine_that_is_older(self, scene):
        scene.sandbox.post_message(DATA_ROOM, BOT, DONE)
        scene.clock.now += 10
        scene.add_faults(failed())
        assert scene.run(post()) == {"message_id": newest(scene)}
        assert scene.bodies(DATA_ROOM).count(DONE) == 2

    def test_is_not_found_in_the_last_post_of_this_client(self, scene):
        first = scene.run(post())
        scene.add_faults(failed())
        assert scene.run(post()) == {"message_id": newest(scene)} != first
        assert scene.bodies(DATA_ROOM).count(DONE) == 2

    def test_is_found_next_to_the_last_post_of_this_client(self, scene):
        first = scene.run(post())
        scene.add_faults(lost())
        assert scene.run(post()) == {"message_id": newest(scene)} != first
        assert scene.bodies(DATA_ROOM).count(DONE) == 2

    def test_is_not_found_in_an_equal_message_of_somebody_else(self, scene):
        scene.add_faults(failed(executed=False))
        send = scene.sandbox.handle

        def somebody_is_faster(request):
            if request.method == "POST" and not scene.sandbox.requests:
                scene.sandbox.post_message(DATA_ROOM, YAMADA, DONE)
            return send(request)

        scene._answer = somebody_is_faster
        assert scene.run(post()) == {"message_id": newest(scene)}
        assert [m["account"]["account_id"] for m in scene.sandbox.messages(DATA_ROOM)[-2:]] == [YAMADA, BOT]

    def test_is_not_found_in_another_text(self, scene):
        scene.add_faults(failed())
        scene.sandbox.post_message(DATA_ROOM, BOT, DONE + "!")
        assert scene.run(post()) == {"message_id": newest(scene)}
        assert scene.bodies(DATA_ROOM)[-2:] == [DONE + "!", DONE]

    @pytest.mark.parametrize(("later", "found"), [(99, True), (100, False), (150, False)])
    def test_is_unknown_where_100_messages_came_after_it(self, scene, later, found):
        def crowd_after_post(request):
            try:
                return scene.sandbox.handle(request)
            finally:
                if request.method == "POST":
                    for number in range(later):
                        scene.sandbox.post_message(DATA_ROOM, YAMADA, f"{number}")

        scene._answer = crowd_after_post
        scene.add_faults(lost())
        if found:
            message_id = scene.run(post())["message_id"]
            assert [m["message_id"] for m in scene.sandbox.messages(DATA_ROOM) if m["body"] == DONE] == [message_id]
        else:
            with pytest.raises(UNKNOWN, match="100 messages"):
                scene.run(post())
        assert scene.sandbox.write_count("post_message") == 1

    def test_is_sent_again_where_100_messages_are_all_older(self, scene):
        for number in range(150):
            scene.sandbox.post_message(DATA_ROOM, YAMADA, f"{number}")
        scene.clock.now += 10
        scene.add_faults(failed())
        assert scene.run(post()) == {"message_id": newest(scene)}

    def test_is_found_although_the_first_search_fails(self, scene):
        scene.add_faults(lost(), Fault("lost_reply", operation="list_messages", times=3))
        assert scene.run(post()) == {"message_id": newest(scene)}
        assert scene.sandbox.write_count("post_message") == 1

    def test_is_found_although_the_account_id_is_known_late(self, scene):
        scene.add_faults(lost(), Fault("status", operation="get_me", status=503, times=2))
        assert scene.run(post()) == {"message_id": newest(scene)}

    @pytest.mark.parametrize(
        "search_fault",
        [
            Fault("status", operation="list_messages", status=500, times=None),
            Fault("malformed", operation="list_messages", shape="wrong_types", times=None),
            Fault("malformed", operation="list_messages", shape="empty", times=None),
            Fault("timeout", operation="list_messages", times=None),
            Fault("refuse", operation="get_me", times=None),
        ],
        ids=["500", "wrong types", "empty body", "time-out", "get_me refused"],
    )
    @pytest.mark.parametrize("fault", [lost(), failed()], ids=["lost", "500"])
    def test_is_unknown_where_every_search_fails(self, scene, fault, search_fault):
        scene.add_faults(fault, search_fault)
        with pytest.raises(UNKNOWN) as raised:
            scene.run(post())
        assert isinstance(raised.value.__cause__, errors.ChatworkNetworkError | errors.ChatworkServerError)
        assert scene.operations.count("post_message") == 1
        assert sum(scene.clock.slept) <= scene.max_wait

    def test_is_not_sent_again_for_a_list_that_came_without_a_body(self, scene):
        scene.add_faults(lost(), Fault("malformed", operation="list_messages", shape="empty"))
        assert scene.run(post()) == {"message_id": newest(scene)}
        assert scene.sandbox.write_count("post_message") == 1

    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_is_unknown_at_once_where_the_search_is_refused(self, scene, status):
        scene.add_faults(lost(), Fault("status", operation="list_messages", status=status, times=None))
        with pytest.raises(UNKNOWN, match=f"looking for it failed as well .*{status}"):
            scene.run(post())
        assert scene.operations == ["post_message", "get_me", "list_messages"]

    def test_is_found_after_a_search_that_had_to_wait_for_the_limit(self, scene):
        scene.add_faults(lost(), Fault("status", operation="list_messages", status=429, headers=window(90)))
        assert scene.run(post()) == {"message_id": newest(scene)}
        assert scene.sandbox.write_count("post_message") == 1
        assert 80 <= max(scene.clock.slept) <= 115

    def test_is_unknown_where_the_limit_stops_the_search_for_too_long(self, loop):
        scene = Scene(loop, max_wait=60)
        scene.add_faults(
            lost(), Fault("status", operation="list_messages", status=429, headers=window(290), times=None)
        )
        with pytest.raises(UNKNOWN):
            scene.run(post())
        closed(scene)
        assert scene.sandbox.write_count("post_message") == 1
        assert sum(scene.clock.slept) <= 60

    def test_is_looked_up_twice_before_a_cut_connection_counts_as_not_executed(self, loop):
        # The connection is cut first, and Chatwork executes the call two seconds later.
        scene = Scene(loop)

        def late(request):
            if request.method == "POST":
                scene.late = scene.clock.now + 2
                raise errors.ChatworkNetworkError("reset by peer")
            if (
                request.url.endswith("force=1")
                and scene.clock.now >= scene.late
                and DONE not in scene.bodies(DATA_ROOM)
            ):
                scene.sandbox.post_message(DATA_ROOM, BOT, DONE)
            return scene.sandbox.handle(request)

        scene._answer = late
        assert scene.run(post()) == {"message_id": newest(scene)}
        closed(scene)
        assert scene.bodies(DATA_ROOM).count(DONE) == 1

    def test_is_sent_again_where_a_cut_connection_delivered_nothing(self, loop):
        scene = Scene(loop)

        def dies_once(request):
            if request.method == "POST" and len(scene.sent) == 1:
                raise errors.ChatworkNetworkError("reset by peer")
            return scene.sandbox.handle(request)

        scene._answer = dies_once
        assert scene.run(post()) == {"message_id": newest(scene)}
        closed(scene)
        assert scene.operations == ["get_me", *["list_messages"] * 3, "post_message"]

    def test_is_unknown_where_no_time_is_left_for_a_lookup(self, loop):
        scene = Scene(loop, max_wait=0.5)
        scene.add_faults(lost())
        with pytest.raises(UNKNOWN, match="no time left to find out") as raised:
            scene.run(post())
        closed(scene)
        assert isinstance(raised.value.__cause__, errors.ChatworkNetworkError)
        assert scene.clock.slept == []

    def test_of_a_timeout_is_looked_up_three_times(self, scene):
        scene.add_faults(Fault("timeout", executed=False))
        with pytest.raises(UNKNOWN, match="not visible so far"):
            scene.run(post())
        assert scene.operations == ["post_message", "get_me", *["list_messages"] * 3]

    def test_is_looked_up_once_more_after_the_last_try(self, loop):
        scene = Scene(loop, tries=2)
        scene.add_faults(failed(), failed(executed=True))
        assert scene.run(post()) == {"message_id": newest(scene)}
        closed(scene)
        assert scene.operations[-1] == "list_messages"
        assert scene.sandbox.write_count("post_message") == 1


class TestTheClockOfChatwork:
    """The clock of the worker may be wrong; the client uses the time in Chatwork's answers."""

    @pytest.fixture(params=[-HOUR, -1.4, 0.0, 1.4, HOUR])
    def wrong(self, request, loop) -> Iterator[Scene]:
        scene = Scene(loop, skew=request.param)
        yield scene
        scene.close()

    def test_finds_a_lost_message_whatever_the_clock_of_the_worker_shows(self, wrong):
        wrong.add_faults(lost())
        assert wrong.run(post()) == {"message_id": newest(wrong)}
        assert wrong.sandbox.write_count("post_message") == 1

    @pytest.mark.parametrize("fraction", [0.0, 0.5, 0.95])
    def test_finds_a_lost_message_sent_at_any_fraction_of_a_second(self, wrong, fraction):
        wrong.run(get_me())
        wrong.clock.now = int(wrong.clock.now) + 1 + fraction
        wrong.add_faults(lost())
        assert wrong.run(post()) == {"message_id": newest(wrong)}
        assert wrong.sandbox.write_count("post_message") == 1

    def test_ignores_an_older_equal_message_whatever_the_clock_of_the_worker_shows(self, wrong):
        wrong.sandbox.post_message(DATA_ROOM, BOT, DONE)
        wrong.clock.now += 10
        wrong.add_faults(failed())
        assert wrong.run(post()) == {"message_id": newest(wrong)}
        assert wrong.bodies(DATA_ROOM).count(DONE) == 2

    def test_is_not_read_from_an_answer_of_a_proxy(self, scene):
        scene.add_faults(lost())
        scene.run(post())
        date = {"date": "Fri, 01 Jan 2038 00:00:00 GMT"}
        scene.add_faults(Fault("status", operation="post_message", status=500, headers=date, executed=True))
        # The client knows its account id already, so it sends nothing between this answer and the lookup.
        assert scene.run(post()) == {"message_id": newest(scene)}
        assert scene.sandbox.write_count("post_message") == 2


class TestOtherLostAnswers:
    def test_a_task_is_found_by_its_message_and_people(self, scene):
        scene.sandbox.create_task(DATA_ROOM, BOT, [YAMADA, TAKAHASHI], "確認")
        scene.clock.now += 10
        scene.add_faults(lost("create_task"))
        made = scene.run(create_task(DATA_ROOM, "確認", [TAKAHASHI, YAMADA]))
        assert made == {"task_ids": [task["task_id"] for task in scene.sandbox.tasks(DATA_ROOM)[-2:]]}
        assert [t["account"]["account_id"] for t in scene.sandbox.tasks(DATA_ROOM)[-2:]] == [TAKAHASHI, YAMADA]

    def test_a_task_is_found_although_it_was_completed_at_once(self, scene):
        def ticked(request):
            try:
                return scene.sandbox.handle(request)
            finally:
                if request.method == "POST":
                    scene.sandbox.complete_task(DATA_ROOM, scene.sandbox.tasks(DATA_ROOM)[-1]["task_id"])

        scene._answer = ticked
        scene.add_faults(lost("create_task"))
        made = scene.run(create_task(DATA_ROOM, "確認", [YAMADA, TAKAHASHI]))
        assert len(made["task_ids"]) == 2
        assert scene.sandbox.write_count("create_task") == 1

    @pytest.mark.parametrize("filename", ['売上 "速報".csv', "か\u3099くせい.txt", " a.txt ", "plain.csv"])
    def test_a_file_is_found_although_its_name_was_changed(self, scene, filename):
        scene.add_faults(lost("upload_file"))
        made = scene.run(upload_file(DATA_ROOM, Upload(filename, b"1")))
        assert made == {"file_id": scene.sandbox.files(DATA_ROOM)[-1]["file_id"]}
        assert scene.sandbox.write_count("upload_file") == 1

    def test_a_file_is_not_found_in_another_file_of_the_same_name(self, scene):
        scene.sandbox.upload_file(DATA_ROOM, BOT, Upload("a.csv", b"12"))
        scene.sandbox.upload_file(DATA_ROOM, YAMADA, Upload("a.csv", b"1"))
        scene.add_faults(failed("upload_file"))
        scene.run(upload_file(DATA_ROOM, Upload("a.csv", b"1")))
        assert scene.sandbox.write_count("upload_file") == 1

    def test_a_room_is_found_next_to_an_older_one_of_the_same_name(self, scene):
        older = scene.run(create_room("夜間", [BOT]))
        scene.clock.now += 10
        scene.sandbox.post_message(older["room_id"], BOT, "まだ使っています")
        scene.add_faults(lost("create_room"))
        made = scene.run(create_room("夜間", [BOT]))
        assert made["room_id"] == max(scene.sandbox.store.rooms) != older["room_id"]
        assert scene.sandbox.write_count("create_room") == 2

    def test_a_link_is_found_although_an_equal_one_was_deleted(self, scene):
        made = scene.run(create_invite_link(DATA_ROOM, code="night"))
        scene.run(delete_invite_link(DATA_ROOM))
        scene.add_faults(lost("create_invite_link"))
        assert scene.run(create_invite_link(DATA_ROOM, code="night")) == made

    def test_a_room_that_was_left_is_not_in_the_list_any_more(self, scene):
        for room_id in (DATA_ROOM, NOTICE_ROOM):
            scene.add_faults(lost("delete_room"))
            assert scene.run(delete_room(room_id, "leave")) is None
        assert scene.sandbox.write_count("delete_room") == 2

    def test_members_are_set_although_the_bot_lost_the_admin_role(self, scene):
        scene.add_faults(lost("update_members"))
        roles = scene.run(update_members(DATA_ROOM, [YAMADA], members_member_ids=[BOT, SATO]))
        assert roles == {"admin": [YAMADA], "member": [BOT, SATO], "readonly": []}
        assert scene.sandbox.write_count("update_members") == 1

    def test_members_are_unknown_where_the_bot_has_left(self, scene):
        scene.add_faults(lost("update_members"))
        with pytest.raises(UNKNOWN, match="cannot list the members"):
            scene.run(update_members(DATA_ROOM, [YAMADA]))

    def test_members_are_refused_where_they_are_not_the_requested_ones(self, scene):
        scene.add_faults(failed("update_members"))
        with pytest.raises(errors.ChatworkForbiddenError):
            scene.run(update_members(NOTICE_ROOM, [YAMADA]))

    def test_a_deletion_is_confirmed_by_the_404_of_the_second_try(self, scene):
        mine = scene.sandbox.post_message(DATA_ROOM, BOT, "a")
        scene.add_faults(lost("delete_message"))
        assert scene.run(delete_message(DATA_ROOM, mine)) == {"message_id": mine}


def window(seconds: float) -> dict[str, str]:
    reset = int(START + seconds)
    return {"x-ratelimit-limit": "300", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(reset)}


class TestLimits:
    def test_the_client_waits_for_the_account_limit_and_every_message_arrives_once(self, scene):
        scene.sandbox.limits = Limits(requests=5, window=60, posts=None)
        for number in range(12):
            scene.run(post_message(DATA_ROOM, f"{number}"))
        assert scene.bodies(DATA_ROOM)[-12:] == [f"{number}" for number in range(12)]
        assert [record.status for record in scene.sandbox.requests].count(429) == len(scene.clock.slept) == 2

    def test_the_client_waits_for_the_room_limit_and_every_message_arrives_once(self, scene):
        for number in range(25):
            scene.run(post_message(DATA_ROOM, f"{number}"))
        assert scene.bodies(DATA_ROOM)[-25:] == [f"{number}" for number in range(25)]
        assert all(10 <= seconds <= 12.5 for seconds in scene.clock.slept)
        assert len(scene.clock.slept) == 2

    def test_a_room_limit_ignores_the_headers_of_the_account_limit(self, scene):
        scene.add_faults(Fault("status", status=429, body=ROOM_LIMIT, headers=window(280)))
        scene.run(post())
        assert scene.clock.slept == [pytest.approx(11.25)]

    def test_a_distant_reset_is_an_error_at_once_with_retry_after(self, loop):
        scene = Scene(loop, max_wait=20)
        scene.add_faults(Fault("status", status=429, headers=window(200)))
        with pytest.raises(errors.ChatworkRateLimitError) as raised:
            scene.run(post())
        closed(scene)
        assert raised.value.retry_after == pytest.approx(200, abs=1)
        assert raised.value.per_room is False
        assert scene.clock.slept == []
        assert len(scene.sent) == 1

    @pytest.mark.parametrize("jitter", [0.0, 1.0])
    def test_a_full_window_is_waited_for_whatever_the_jitter(self, loop, jitter):
        scene = Scene(loop, jitter=jitter, max_wait=300)
        scene.add_faults(Fault("status", status=429, headers=window(295)))
        assert scene.run(post()) == {"message_id": newest(scene)}
        closed(scene)
        assert 294 <= sum(scene.clock.slept) <= 300

    def test_a_reset_is_read_by_chatworks_clock(self, loop):
        scene = Scene(loop, skew=HOUR, jitter=0)
        scene.add_faults(Fault("status", status=429, headers=window(30)))
        scene.run(post())
        closed(scene)
        assert scene.clock.slept == [pytest.approx(30, abs=1)]

    def test_the_rate_limit_is_that_of_the_last_answer(self, scene):
        assert scene.client.rate_limit is None
        scene.run(get_me())
        assert scene.client.rate_limit == RateLimit(300, 299, int(START + 300))
        scene.run(get_me())
        assert scene.client.rate_limit.remaining == 298

    def test_the_rate_limit_is_kept_where_an_answer_has_none(self, scene):
        scene.run(get_me())
        scene.add_faults(Fault("status", status=404, headers={}))
        with pytest.raises(errors.ChatworkNotFoundError):
            scene.run(get_me())
        assert scene.client.rate_limit == RateLimit(300, 299, int(START + 300))


class TestGivingUp:
    def test_raises_the_original_error_without_a_sleep_after_the_last_try(self, loop):
        gone = [errors.ChatworkNetworkError(f"{number}", sent=False) for number in range(5)]
        scene = Scene(loop, jitter=0, transport=Answers(*gone))
        with pytest.raises(errors.ChatworkNetworkError) as raised:
            scene.run(post())
        closed(scene)
        assert raised.value is gone[-1]
        assert scene.clock.slept == [1, 2, 4, 8]

    def test_does_not_change_other_errors(self, loop):
        scene = Scene(loop, transport=Answers(KeyError("bug")))
        with pytest.raises(KeyError):
            scene.run(post())
        closed(scene)
        assert len(scene.sent) == 1

    @pytest.mark.parametrize(
        "fault",
        [Fault("lost_reply"), Fault("timeout"), Fault("cut"), Fault("status", status=500)],
        ids=lambda f: f.kind,
    )
    def test_does_not_repeat_a_read_that_moves_the_cursor(self, scene, fault):
        scene.add_faults(fault)
        with pytest.raises((errors.ChatworkNetworkError, errors.ChatworkServerError)):
            scene.run(list_messages(DATA_ROOM, force=False))
        assert scene.operations == ["list_messages"]

    @pytest.mark.parametrize("fault", [Fault("refuse"), Fault("status", status=429)], ids=["refused", "429"])
    def test_repeats_a_read_of_the_cursor_that_was_not_executed(self, loop, fault):
        scene = Scene(loop, max_wait=400)
        scene.add_faults(fault)
        assert scene.run(list_messages(DATA_ROOM, force=False))
        closed(scene)

    def test_sends_nothing_for_a_deadline_in_the_past(self, scene):
        with pytest.raises(errors.ChatworkParameterError, match=r"^limit=.*past"):
            scene.run(create_task(DATA_ROOM, "a", YAMADA, limit=int(START) - 1))
        assert scene.sent == []

    def test_shows_the_token_in_no_error(self, scene):
        scene.add_faults(lost(), Fault("status", operation="list_messages", status=401, times=None))
        with pytest.raises(UNKNOWN) as raised:
            scene.run(post())
        seen, error = "", raised.value
        while error is not None:
            seen, error = f"{seen} {error} {error!r}", error.__cause__ or error.__context__
        assert TOKEN not in seen
        assert TOKEN not in repr(scene.client.settings)
        assert TOKEN not in repr(scene.sent[0])


class TestRunFlow:
    def test_runs_the_calls_and_returns_the_value(self, scene):
        def steps():
            me = yield get_me()
            posted = yield post_message(DATA_ROOM, me["name"])
            return posted["message_id"]

        assert scene.run_flow(steps()) == newest(scene)

    def test_throws_an_error_into_the_flow(self, scene):
        def steps():
            try:
                yield list_tasks(1)
            except errors.ChatworkForbiddenError as error:
                return error.status

        assert scene.run_flow(steps()) == 403

    def test_raises_an_error_that_the_flow_does_not_catch(self, scene):
        def steps():
            yield list_tasks(1)

        with pytest.raises(errors.ChatworkForbiddenError):
            scene.run_flow(steps())

    def test_retries_each_call_of_the_flow(self, scene):
        def steps():
            return (yield get_me())["account_id"]

        scene.add_faults(Fault("cut"))
        assert scene.run_flow(steps()) == BOT


class TestFindExecuted:
    def test_finds_what_an_earlier_process_has_posted(self):
        scene = Scene()
        posted = scene.run(post())
        scene.clock.now += 100
        other = Client(scene.client.settings, scene._send, clock=scene.clock, sleep=scene.clock.sleep)
        assert other.find_executed(post(), START) == [posted]
        assert other.find_executed(post(), START + 50) == []

    def test_finds_nothing_for_a_call_without_a_lookup(self):
        assert Scene().client.find_executed(get_me(), START) == []


class TestRememberedResults:
    def test_do_not_include_the_pages_of_the_cursor(self, scene):
        for _ in range(3):
            scene.run(list_messages(DATA_ROOM, force=False))
        scene.run(post())
        assert len(scene.client._results) == 1

    def test_are_limited_in_number(self, loop):
        answer = Response(200, {}, b'{"message_id": "1"}')
        scene = Scene(loop, transport=Answers(answer))
        for _ in range(1200):
            scene.run(post())
        closed(scene)
        assert len(scene.client._results) == 1000


class TestAnEchoOfTheToken:
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
    def test_is_masked_in_the_error(self, loop, status):
        body = json.dumps({"errors": [f"invalid header x-chatworktoken: {TOKEN}"]}).encode()
        scene = Scene(loop, tries=1, max_wait=0, transport=Answers(Response(status, {}, body)))
        with pytest.raises(errors.ChatworkError) as raised:
            scene.run(get_me())
        closed(scene)
        assert TOKEN not in f"{raised.value} {raised.value!r}"
        assert "x-chatworktoken: ***" in str(raised.value)
