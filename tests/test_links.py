from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

from airflow_provider_chatwork.links import PLACE_KEY, ChatworkMessageLink, ChatworkRoomLink, push_place
from airflow_provider_chatwork.operators.messages import ChatworkPostMessageOperator
from airflow_provider_chatwork.provider_info import get_provider_info
from airflow_provider_chatwork.sandbox import company
from airflow_provider_chatwork.sensors.tasks import ChatworkTaskDoneSensor
from tests.airflow_helpers import VERSION, FakeTaskInstance, connect, new_dag, run_dag
from tests.operators.samples import OPERATORS

KDDI = "https://kcw.kddi.ne.jp"


@pytest.fixture
def ti(monkeypatch: pytest.MonkeyPatch) -> FakeTaskInstance:
    """A task instance whose XComs Airflow's ``XCom`` returns."""
    instance = FakeTaskInstance()

    def get_value(*, ti_key: Any, key: str) -> Any:
        assert ti_key == "the key of the task instance"
        return instance.xcoms.get(key)

    monkeypatch.setattr(XCom, "get_value", get_value)
    return instance


def links(ti: FakeTaskInstance) -> tuple[str, str]:
    key: Any = "the key of the task instance"
    operator: Any = None
    return ChatworkRoomLink().get_link(operator, ti_key=key), ChatworkMessageLink().get_link(operator, ti_key=key)


class TestLinks:
    def test_point_to_the_room_and_the_message(self, ti):
        push_place({"ti": ti}, "https://www.chatwork.com", 5, "1900000000000000001")
        assert links(ti) == (
            "https://www.chatwork.com/#!rid5",
            "https://www.chatwork.com/#!rid5-1900000000000000001",
        )

    def test_point_to_another_web_client(self, ti):
        push_place({"ti": ti}, KDDI, "5", "7")
        assert links(ti) == (f"{KDDI}/#!rid5", f"{KDDI}/#!rid5-7")

    def test_are_empty_before_the_task_ran(self, ti):
        assert links(ti) == ("", "")

    def test_point_only_to_the_room_without_a_message(self, ti):
        push_place({"ti": ti}, KDDI, 5)
        assert links(ti) == (f"{KDDI}/#!rid5", "")

    def test_are_empty_where_the_xcom_has_another_form(self, ti):
        ti.xcom_push(PLACE_KEY, "https://evil.example.com")
        assert links(ti) == ("", "")

    def test_are_registered_in_airflow(self):
        told = {f"{link.__module__}.{link.__name__}" for link in (ChatworkRoomLink, ChatworkMessageLink)}
        assert set(get_provider_info()["extra-links"]) == told

    @pytest.mark.parametrize("operator", [*OPERATORS, ChatworkTaskDoneSensor], ids=lambda operator: operator.__name__)
    def test_belong_to_every_operator_and_sensor(self, operator):
        assert [type(link) for link in operator.operator_extra_links] == [ChatworkRoomLink, ChatworkMessageLink]
        assert all(isinstance(link, BaseOperatorLink) for link in operator.operator_extra_links)


class TestPushPlace:
    def test_does_nothing_without_a_task_instance(self):
        push_place({}, KDDI, 5, "7")

    def test_stores_plain_json(self, ti):
        push_place({"ti": ti}, KDDI, " 5 ", "7")
        assert ti.xcoms == {PLACE_KEY: {"web_url": KDDI, "room_id": "5", "message_id": "7"}}


class TestInADag:
    def test_point_to_the_message_after_the_task_ran(self, db, chatwork_sandbox, monkeypatch, tmp_path):
        connect(monkeypatch, chatwork_sandbox, web_url=KDDI)
        with new_dag("linked") as dag:
            told = ChatworkPostMessageOperator(task_id="told", room_id=company.DATA_ROOM, body="hi")
            ChatworkPostMessageOperator(task_id="failed", room_id=company.PRIVATE_ROOM, body="hi")
        run = run_dag(dag, monkeypatch, tmp_path)
        message_id = chatwork_sandbox.messages(company.DATA_ROOM)[-1]["message_id"]
        expected = {
            "told": {
                "Chatwork room": f"{KDDI}/#!rid{company.DATA_ROOM}",
                "Chatwork message": f"{KDDI}/#!rid{company.DATA_ROOM}-{message_id}",
            },
            "failed": {"Chatwork room": None, "Chatwork message": None},
        }
        for ti in run.get_task_instances():
            for link in told.operator_extra_links:
                if VERSION < (3, 0):
                    seen = link.get_link(dag.get_task(ti.task_id), ti_key=ti.key)
                else:
                    seen = ti.xcom_pull(task_ids=ti.task_id, key=link.xcom_key)
                assert (seen or None) == expected[ti.task_id][link.name]
