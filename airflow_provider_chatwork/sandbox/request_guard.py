"""Protects the commands, which need no token, from requests of other web sites."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import ip_address

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def rejection_reason(
    headers: Mapping[str, str], method: str, path: str, bound: str, allowed: Collection[str]
) -> str | None:
    """Return why a request is rejected, ``None`` if it is accepted.

    Any web site can make a browser on this machine send requests to the sandbox. Such a request has the site's own name
    in ``Host`` (DNS rebinding), needs a CORS preflight to send JSON, which is never granted, or has ``Sec-Fetch-Site``.

    :param headers: the request's headers, names in lower case.
    :param bound: the address the server listens on.
    :param allowed: further host names of the sandbox.
    """
    host = _hostname(headers.get("host", ""))
    if not _is_allowed(host, bound, allowed):
        return f"Host {host!r} is not allowed; to allow it, start the sandbox with --allow-host {host}"
    if path.startswith("/sandbox/") and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return "Requests from other web sites are not allowed"
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if method not in ("GET", "HEAD") and media_type != "application/json":
        return "Send JSON with content-type: application/json"
    return None


def _is_allowed(host: str, bound: str, allowed: Collection[str]) -> bool:
    if host in (*_LOOPBACK_NAMES, bound, *allowed):
        return True
    try:
        # DNS rebinding needs a name, so a server on all interfaces accepts any IP address.
        return ip_address(bound).is_unspecified and bool(ip_address(host))
    except ValueError:
        return False


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
