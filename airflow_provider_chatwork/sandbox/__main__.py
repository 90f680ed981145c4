"""``python -m airflow_provider_chatwork.sandbox``: serve a sandbox on a port, with a web page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_chatwork.sandbox.rate_limits import Limits
from airflow_provider_chatwork.sandbox.sandbox import Sandbox

if TYPE_CHECKING:
    from airflow_provider_chatwork.sandbox.serving import Address


def main(argv: Sequence[str] | None = None) -> int:
    """Serve a sandbox until interrupted; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        from airflow_provider_chatwork.sandbox.server import SandboxApp
        from airflow_provider_chatwork.sandbox.serving import SandboxServer, listen
    except ModuleNotFoundError as error:
        print(f"{error}. The sandbox needs: pip install 'airflow-provider-chatwork[sandbox]'", file=sys.stderr)
        return 1
    limits = Limits.off() if arguments.no_limits else Limits(requests=arguments.requests, posts=arguments.posts)
    sandbox = Sandbox(
        arguments.token,
        limits=limits,
        free_plan=arguments.free_plan,
        complete_tasks_after=arguments.complete_tasks_after,
    )
    try:
        app = SandboxApp(sandbox, arguments.host, arguments.allow_host, arguments.state)
        server = SandboxServer(app, listen(arguments.host, arguments.port), arguments.certfile, arguments.keyfile)
    except (OSError, ValueError) as error:
        print(f"The sandbox cannot start: {error}", file=sys.stderr)
        return 1
    if not _is_loopback(arguments.host):
        print("Warning: other machines can reach this sandbox, and its commands need no token.", file=sys.stderr)
    print(_start_message(server.address, sandbox), flush=True)
    try:
        server.run_in_this_thread()
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_chatwork.sandbox",
        description="A simulated Chatwork in memory, for trying things out.",
    )
    limits = Limits()
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8765, help="port to listen on, 0 for a free one (default: 8765)")
    parser.add_argument("--token", default="sandbox-token", help="API token of the bot (default: sandbox-token)")
    parser.add_argument("--state", type=Path, metavar="FILE", help="JSON file that keeps the state")
    parser.add_argument(
        "--complete-tasks-after", type=float, metavar="SECONDS", help="people complete their tasks after this time"
    )
    parser.add_argument("--requests", type=int, default=limits.requests, help="requests in 5 minutes (default: 300)")
    parser.add_argument("--posts", type=int, default=limits.posts, help="posts per room in 10 seconds (default: 10)")
    parser.add_argument("--no-limits", action="store_true", help="switch all rate limits off")
    parser.add_argument("--free-plan", action="store_true", help="hide messages older than 40 days")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="further host name that browsers may use"
    )
    parser.add_argument("--certfile", help="serve https with this certificate (PEM)")
    parser.add_argument("--keyfile", help="private key of the certificate, if it is not in the same file")
    return parser


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _start_message(address: Address, sandbox: Sandbox) -> str:
    return f"""Chatwork sandbox
  page        {address}/
  API         {address.api}
  token       {sandbox.token}

The Airflow connection, as a URI or as JSON:
  export AIRFLOW_CONN_CHATWORK_DEFAULT='{address.connection_uri(sandbox.token)}'
  export AIRFLOW_CONN_CHATWORK_DEFAULT='{address.connection_json(sandbox.token)}'

Stop with Ctrl+C."""


if __name__ == "__main__":
    sys.exit(main())
