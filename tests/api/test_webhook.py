from __future__ import annotations

import base64
import json

import pytest

from airflow_provider_chatwork.api.errors import ChatworkParameterError
from airflow_provider_chatwork.api.webhook import parse_event, verify

TOKEN = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
BODY = (
    '{"webhook_setting_id":"12345","webhook_event_type":"message_created","webhook_event_time":1700000001,'
    '"webhook_event":{"message_id":"1800000000000000001","room_id":100,"account_id":200,'
    '"body":"完了 [info]ok[/info]","send_time":1700000000,"update_time":0}}'
).encode()
SIGNATURE = "T/q2/BnTTaGbXWek30Fp4MMQM9MI6urzEWoGgsouoKk="


class TestVerify:
    def test_accepts_a_body_signed_with_the_token(self):
        assert verify(BODY, SIGNATURE, TOKEN)

    @pytest.mark.parametrize("body", [BODY + b"\n", BODY.replace(b"200", b"201"), b""])
    def test_refuses_any_other_body(self, body):
        assert not verify(body, SIGNATURE, TOKEN)

    @pytest.mark.parametrize("signature", ["", "T/q2", SIGNATURE.lower(), "完了", SIGNATURE[:-1]])
    def test_refuses_any_other_signature(self, signature):
        assert not verify(BODY, signature, TOKEN)

    def test_refuses_another_token(self):
        assert not verify(BODY, SIGNATURE, base64.b64encode(b"other").decode())

    def test_accepts_a_signature_from_a_query_with_spaces_for_plus_signs(self):
        signed = next(
            (body, signature)
            for body, signature in ((b"%d" % n, _sign(b"%d" % n)) for n in range(1000))
            if "+" in signature
        )
        assert verify(signed[0], signed[1].replace("+", " "), TOKEN)

    @pytest.mark.parametrize("token", ["", "  ", "not base64!", "あ"])
    def test_refuses_an_invalid_token_without_showing_it(self, token):
        with pytest.raises(ChatworkParameterError, match="webhook_token") as caught:
            verify(BODY, SIGNATURE, token)
        assert not token.strip() or token not in str(caught.value)

    @pytest.mark.parametrize("signature", [None, [], [None], [SIGNATURE, SIGNATURE], ["", SIGNATURE], (), b"", [b""]])
    def test_refuses_a_request_without_exactly_one_signature(self, signature):
        assert verify(BODY, signature, TOKEN) is False

    @pytest.mark.parametrize(
        "signature", [SIGNATURE.encode(), [SIGNATURE], (SIGNATURE.encode(),), f" {SIGNATURE}\r\n", "\ud800"]
    )
    def test_reads_a_signature_as_frameworks_give_it(self, signature):
        assert verify(BODY, signature, TOKEN) is (signature != "\ud800")

    @pytest.mark.parametrize("signature", [1, {"a": 1}, [1], object(), True])
    def test_refuses_a_signature_of_another_type_by_its_name(self, signature):
        with pytest.raises(ChatworkParameterError, match=r"^signature="):
            verify(BODY, signature, TOKEN)

    @pytest.mark.parametrize("body", [BODY.decode(), None, {}, 1])
    def test_refuses_a_body_that_is_not_bytes(self, body):
        with pytest.raises(ChatworkParameterError, match=r"^body="):
            verify(body, SIGNATURE, TOKEN)

    @pytest.mark.parametrize("kind", [bytearray, memoryview])
    def test_reads_every_kind_of_bytes(self, kind):
        assert verify(kind(BODY), SIGNATURE, TOKEN)


class TestParseEvent:
    def test_reads_a_setting_id_that_is_a_number_as_text(self):
        assert parse_event(BODY.replace(b'"12345"', b"12345"))["webhook_setting_id"] == "12345"

    def test_reads_a_message(self):
        assert parse_event(BODY) == json.loads(BODY)

    def test_reads_a_mention(self):
        event = {"from_account_id": 200, "to_account_id": 300, "room_id": 100, "message_id": "1800000000000000001"}
        body = _body("mention_to_me", event | {"body": "[To:300]", "send_time": 1, "update_time": 0})
        assert parse_event(body)["webhook_event"]["to_account_id"] == 300

    def test_keeps_a_message_id_as_text_and_unknown_fields_as_they_are(self):
        event = {"message_id": 1800000000000000001, "room_id": 1, "account_id": 2, "body": "", "new": [1]}
        read = parse_event(_body("message_updated", event | {"send_time": 1, "update_time": 2}))["webhook_event"]
        assert (read["message_id"], read["new"]) == ("1800000000000000001", [1])

    @pytest.mark.parametrize(
        "body",
        [
            *(
                b"",
                b"{",
                b"[]",
                b"null",
                b"{}",
                b'{"webhook_event_type": []}',
                b'{"webhook_event_type": "room_created"}',
            ),
            *(BODY.replace(b'"room_id":100,', b""), BODY.replace(b"1700000001", b'"soon"'), b"[" * 100_000),
        ],
    )
    def test_refuses_anything_that_is_not_a_webhook(self, body):
        with pytest.raises(ChatworkParameterError, match="not a webhook of Chatwork"):
            parse_event(body)


def _body(kind: str, event: dict[str, object]) -> bytes:
    envelope = {"webhook_setting_id": "1", "webhook_event_type": kind, "webhook_event_time": 1, "webhook_event": event}
    return json.dumps(envelope).encode()


def _sign(body: bytes) -> str:
    import hashlib
    import hmac

    return base64.b64encode(hmac.digest(base64.b64decode(TOKEN), body, hashlib.sha256)).decode()
