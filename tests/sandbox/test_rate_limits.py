from __future__ import annotations

from typing import Any

from airflow_provider_chatwork.sandbox import Limits, Sandbox, company


class TestRequests:
    def test_request_301_in_5_minutes_is_429_until_the_reset(self, api: Any, clock: Any) -> None:
        replies = [api.get("/me") for _ in range(301)]
        assert [reply.status for reply in replies] == [200] * 300 + [429]
        assert replies[0].headers["x-ratelimit-remaining"] == "299"
        assert replies[300].headers["x-ratelimit-remaining"] == "0"
        reset = float(replies[300].headers["x-ratelimit-reset"])
        assert reset == clock.now + 300
        clock.now = reset
        assert api.get("/me").status == 200

    def test_a_rejected_request_is_not_executed(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.limits = Limits(requests=1)
        api.get("/me")
        assert api.post(f"/rooms/{company.DATA_ROOM}/messages", body="x").status == 429
        assert sandbox.write_count("post_message") == 0

    def test_all_tokens_of_an_account_share_the_limit(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.limits = Limits(requests=1)
        sandbox.add_token("again", company.BOT)
        sandbox.add_token("other", company.YAMADA)
        statuses = []
        for token in (sandbox.token, "again", "other"):
            api.token = token
            statuses.append(api.get("/me").status)
        assert statuses == [200, 429, 200]

    def test_the_reset_is_in_whole_seconds_and_never_more_than_a_window_away(self, api: Any, clock: Any) -> None:
        clock.now += 0.9
        assert int(api.get("/me").headers["x-ratelimit-reset"]) - int(clock.now) == 300

    def test_they_can_be_switched_off(self, api: Any, sandbox: Sandbox) -> None:
        sandbox.limits = Limits.off()
        replies = [api.post(f"/rooms/{company.DATA_ROOM}/messages", body="x") for _ in range(301)]
        assert {reply.status for reply in replies} == {200}
        assert replies[-1].headers["x-ratelimit-remaining"] == "300"
