from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_chatwork.api.errors import ChatworkForbiddenError, ChatworkParameterError
from airflow_provider_chatwork.sandbox import Fault
from airflow_provider_chatwork.waiting.poller.message_poller import MessageSubscription, subscribe_messages
from tests.waiting.poller.scenario import BOT, EVER, ROOM, SATO, YAMADA, Scenario, play


def watch(scenario: Scenario, **arguments: Any) -> MessageSubscription:
    return subscribe_messages(scenario.settings, arguments.pop("room_id", ROOM), **arguments)


def bodies(wait: MessageSubscription) -> list[str]:
    return [message["body"] for message in wait.page]


class TestSubscribeMessages:
    def test_rejects_an_invalid_room_id(self):
        async def main(scenario: Scenario) -> None:
            with pytest.raises(ChatworkParameterError, match="room_id"):
                watch(scenario, room_id="general")

        play(main)


class TestPage:
    def test_is_there_after_the_first_poll(self):
        async def main(scenario: Scenario) -> None:
            scenario.sandbox.post_message(ROOM, SATO, "はい")
            async with watch(scenario) as wait:
                assert not wait.page
                assert await wait.wait_for_change(EVER)
                assert bodies(wait)[-1] == "はい"
                assert [message["send_time"] for message in wait.page] == sorted(
                    message["send_time"] for message in wait.page
                )
            assert scenario.asked() == ["list_messages"]

        play(main)

    def test_is_empty_for_an_empty_room(self):
        async def main(scenario: Scenario) -> None:
            [room_id] = scenario.rooms(1)
            async with watch(scenario, room_id=room_id) as wait:
                assert not await wait.wait_for_change(scenario.now + 0.4)
                assert await wait.wait_for_change(EVER)
                assert not wait.page

        play(main)

    def test_one_poll_serves_all_subscriptions(self):
        async def main(scenario: Scenario) -> None:
            async def read() -> list[str]:
                async with watch(scenario) as wait:
                    await wait.wait_for_change(EVER)
                    await wait.wait_for_change(EVER)
                    return bodies(wait)

            readers = [asyncio.create_task(read()) for _ in range(300)]
            await asyncio.sleep(10)
            scenario.sandbox.post_message(ROOM, SATO, "はい")
            for texts in await asyncio.gather(*readers):
                assert texts[-1] == "はい"
            assert scenario.asked() == ["list_messages"] * 2

        play(main)

    def test_polling_marks_nothing_as_read(self):
        async def main(scenario: Scenario) -> None:
            async with watch(scenario) as wait:
                await wait.wait_for_change(EVER)
            assert dict(scenario.sandbox.requests[-1].query) == {"force": "1"}

        play(main)

    @pytest.mark.parametrize("doing", ["speak", "edit", "delete"])
    def test_only_a_changed_page_notifies(self, doing):
        async def main(scenario: Scenario) -> None:
            message_id = scenario.sandbox.post_message(ROOM, YAMADA, "まえ")
            async with watch(scenario) as wait:
                await wait.wait_for_change(EVER)
                assert not await wait.wait_for_change(scenario.now + 200)
                if doing == "speak":
                    scenario.sandbox.post_message(ROOM, BOT, "あと")
                elif doing == "edit":
                    scenario.sandbox.edit_message(ROOM, message_id, "あと")
                else:
                    scenario.sandbox.delete_message(ROOM, message_id)
                assert await wait.wait_for_change(scenario.now + 61)
                assert bodies(wait)[-1] == ("[deleted]" if doing == "delete" else "あと")

        play(main)


class TestLateSubscription:
    def test_gets_the_next_page_and_not_an_older_one(self):
        async def main(scenario: Scenario) -> None:
            message_id = scenario.sandbox.post_message(ROOM, SATO, "はい")
            async with watch(scenario) as wait:
                await wait.wait_for_change(EVER)
                scenario.sandbox.edit_message(ROOM, message_id, "やはり、いいえ")
                await asyncio.sleep(20)
                async with watch(scenario) as other:
                    assert not await other.wait_for_change(scenario.now + 30)
                    assert await other.wait_for_change(EVER)
                    assert bodies(other)[-1] == "やはり、いいえ"
                    assert scenario.asked() == ["list_messages"] * 2

        play(main)

    def test_gets_the_page_of_a_first_poll_that_has_begun(self):
        async def main(scenario: Scenario) -> None:
            scenario.sandbox.post_message(ROOM, SATO, "はい")
            async with watch(scenario):
                await asyncio.sleep(0.6)
                assert scenario.transports[0].under_way
                async with watch(scenario) as other:
                    assert await other.wait_for_change(EVER)
                    assert bodies(other)[-1] == "はい"
                    assert not await other.wait_for_change(scenario.now + 30)

        play(main)

    @pytest.mark.parametrize("broken", [True, False])
    def test_gets_a_new_page_after_a_long_interval(self, broken):
        async def main(scenario: Scenario) -> None:
            async with watch(scenario, interval=600.0) as wait:
                await wait.wait_for_change(EVER)
                if broken:
                    scenario.sandbox.add_fault(Fault("refuse"))
                    await asyncio.sleep(601)
                else:
                    await asyncio.sleep(100)
                scenario.sandbox.post_message(ROOM, SATO, "はい")
                async with watch(scenario) as other:
                    assert not await other.wait_for_change(scenario.now)
                    assert await other.wait_for_change(EVER)
                    assert bodies(other)[-1] == "はい"

        play(main)


class TestSharing:
    def test_others_are_not_affected_by_the_end_of_a_subscription(self):
        async def main(scenario: Scenario) -> None:
            async with watch(scenario) as wait:
                for after in (0.0, 0.6, 30.0):
                    async with watch(scenario):
                        await asyncio.sleep(after)
                await wait.wait_for_change(EVER)
                scenario.sandbox.post_message(ROOM, SATO, "はい")
                assert await wait.wait_for_change(scenario.now + 61)

        play(main)

    def test_subscriptions_to_tasks_of_the_room_are_separate(self):
        async def main(scenario: Scenario) -> None:
            async with watch(scenario) as wait, scenario.wait(scenario.task()) as other:
                await wait.wait_for_change(EVER)
                await other.wait_for_change(EVER)
                assert sorted(scenario.asked()) == ["list_messages", "read"]

        play(main)

    def test_a_lost_room_raises(self):
        async def main(scenario: Scenario) -> None:
            async with watch(scenario) as wait:
                await wait.wait_for_change(EVER)
                scenario.sandbox.remove_member(ROOM, BOT)
                with pytest.raises(ChatworkForbiddenError):
                    await wait.wait_for_change(EVER)

        play(main)

    def test_a_lost_body_is_not_an_empty_room(self):
        async def main(scenario: Scenario) -> None:
            async with watch(scenario) as wait:
                await wait.wait_for_change(EVER)
                before = wait.page
                scenario.sandbox.add_fault(Fault("malformed", shape="empty"))
                assert not await wait.wait_for_change(scenario.now + 100)
                assert wait.page is before

        play(main)
