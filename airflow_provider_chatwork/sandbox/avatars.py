"""SVG pictures of accounts and rooms, drawn from text, so that the page loads nothing from other servers."""

from __future__ import annotations

from html import escape

from airflow_provider_chatwork.sandbox.operations.rooms import ICONS

#: White text on these has a contrast of at least 4.5.
_COLOURS = ("#2563a8", "#a8324a", "#2f7046", "#7a4fa3", "#9a5b13", "#18727a", "#5b6470", "#8a3b8f")
_SIGNS = dict(zip(ICONS, "群✓文会行計業学守★案♥茶杯♪走旅", strict=True))


def avatar(account_id: int, name: str) -> str:
    """Return a round picture with the first letter of a name, as SVG."""
    return _draw(_COLOURS[account_id % len(_COLOURS)], name.strip()[:1] or "?", radius=32)


def icon(preset: str) -> str | None:
    """Return the picture of an ``icon_preset`` as SVG, ``None`` for an unknown preset."""
    if preset not in _SIGNS:
        return None
    return _draw(_COLOURS[ICONS.index(preset) % len(_COLOURS)], _SIGNS[preset], radius=14)


def _draw(colour: str, sign: str, radius: int) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">'
        f'<rect width="64" height="64" rx="{radius}" fill="{colour}"/>'
        '<text x="32" y="33" fill="#fff" font-family="sans-serif" font-size="30" text-anchor="middle" '
        f'dominant-baseline="central">{escape(sign)}</text></svg>'
    )
