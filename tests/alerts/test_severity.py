from __future__ import annotations

from airflow_provider_chatwork.alerts.severity import SEVERITIES, rank


class TestRank:
    def test_grows_with_how_bad_it_is(self):
        assert SEVERITIES == ("info", "warning", "error", "critical")
        assert [rank(severity) for severity in SEVERITIES] == sorted(rank(severity) for severity in SEVERITIES)
        assert rank("critical") > rank("error") > rank("warning") > rank("info")
