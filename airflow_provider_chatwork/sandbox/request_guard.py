"""Keeps other people's web pages away from the control endpoints, which need no token."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import ip_address

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def rejection_reason(
    headers: Mapping[str, str], method: str, path: str, bound: str, allowed: Collection[str]
) -> str | None:
    """Return why a request is refused, ``None`` when it is welcome.

    A page anywhere on the web can make a browser on this machine send requests here. It cannot choose the ``Host``
    (which names its own domain even if that resolves to this machine), nor send JSON without asking first, which is
    never granted, nor hide where it came from.

    :param headers: the request's headers, names in lower case.
    :param bound: the address the server listens on.
    :param allowed: further host names it is known under.
    """
    host = _hostname(headers.get("host", ""))
    if not _is_known(host, bound, allowed):
        return f"Host {host!r} is not this sandbox; start it with --allow-host {host} if it should be"
    if path.startswith("/sandbox/") and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return "Other web sites may not use the sandbox"
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method not in ("GET", "HEAD") and media_type != "application/json":
        return "Send JSON with content-type: application/json"
    return None


def _is_known(host: str, bound: str, allowed: Collection[str]) -> bool:
    if host in (*_LOOPBACK_NAMES, bound, *allowed):
        return True
    try:
        # A number cannot be rebound to another machine, so on all interfaces any of them will do.
        return ip_address(bound).is_unspecified and bool(ip_address(host))
    except ValueError:
        return False


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
