from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from airflow_provider_chatwork.sandbox.__main__ import main


class TestMain:
    @pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
    def test_prints_its_address_and_saves_its_state(self, tmp_path: Path, stop: signal.Signals) -> None:
        command = [sys.executable, "-W", "error", "-m", "airflow_provider_chatwork.sandbox", "--port", "0"]
        state = tmp_path / "state.json"
        process = subprocess.Popen(
            [*command, "--token", "my-token", "--state", str(state)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(10)]
            base = next(line.split()[1] for line in lines if line.strip().startswith("API"))
            assert any(
                line.startswith("  export AIRFLOW_CONN_CHATWORK_DEFAULT='chatwork://:my-token@") for line in lines
            )
            assert httpx.get(f"{base}/me", headers={"x-chatworktoken": "my-token"}).status_code == 200
        finally:
            process.send_signal(stop)
            _, errors = process.communicate(timeout=20)
        assert errors == ""
        assert state.exists()

    def test_a_port_in_use_is_reported(self, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            assert main(["--port", str(taken.getsockname()[1])]) == 1
        assert capsys.readouterr().err.startswith("The sandbox cannot start: ")

    def test_a_missing_extra_is_reported_with_its_install_command(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in [name for name in sys.modules if name.startswith("airflow_provider_chatwork.sandbox.serv")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "uvicorn", None)
        assert main(["--port", "0"]) == 1
        assert "pip install 'airflow-provider-chatwork[sandbox]'" in capsys.readouterr().err

    def test_an_invalid_state_file_is_reported(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "other.json"
        file.write_text("{}")
        assert main(["--port", "0", "--state", str(file)]) == 1
        assert "not a sandbox snapshot" in capsys.readouterr().err

    def test_starts_without_airflow(self) -> None:
        code = (
            "import sys, airflow_provider_chatwork.sandbox.__main__, airflow_provider_chatwork.sandbox.serving;"
            "print('airflow' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "False"
