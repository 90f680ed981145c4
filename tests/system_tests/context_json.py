"""Write what a callback got as plain JSON: every attribute an alert could use, and the errors of reading it."""

from __future__ import annotations

import datetime
import enum
import json
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "ti": (
        "id",
        "dag_id",
        "task_id",
        "run_id",
        "map_index",
        "rendered_map_index",
        "try_number",
        "max_tries",
        "state",
        "start_date",
        "end_date",
        "duration",
        "logical_date",
        "execution_date",
        "queued_dttm",
        "hostname",
        "operator",
        "pool",
        "queue",
        "key",
        "is_mapped",
        "log_url",
        "mark_success_url",
        "dag_version_id",
        # Private, and the only place of Airflow 3 that knows whether a failure will be followed by another try.
        "_ti_context_from_server.should_retry",
        "_ti_context_from_server.max_tries",
    ),
    "dag_run": (
        "id",
        "dag_id",
        "run_id",
        "dag_run_id",
        "logical_date",
        "execution_date",
        "data_interval_start",
        "data_interval_end",
        "run_after",
        "queued_at",
        "start_date",
        "end_date",
        "state",
        "run_type",
        "conf",
        "clear_number",
        "triggering_user_name",
        "triggered_by",
        "external_trigger",
        "partition_key",
        "note",
    ),
    "dag": (
        "dag_id",
        "dag_display_name",
        "description",
        "doc_md",
        "owner",
        "owner_links",
        "tags",
        "default_args",
        "params",
        "timezone",
        "fileloc",
    ),
    "task": (
        "task_id",
        "task_display_name",
        "task_type",
        "operator_name",
        "owner",
        "retries",
        "retry_delay",
        "email",
        "doc_md",
        "execution_timeout",
        "subject",
        "body",
        "options",
        "defaults",
        "multiple",
        "map_index_template",
    ),
    "sla": ("dag_id", "task_id", "execution_date", "timestamp", "email_sent", "notification_sent", "description"),
}
#: What of these a context has.
_IN_CONTEXT = ("ti", "dag_run", "dag", "task")
# Of what else a context holds, what an alert may want to say.
_SCALARS = (
    "run_id",
    "reason",
    "try_number",
    "map_index",
    "max_tries",
    "ds",
    "ts",
    "logical_date",
    "execution_date",
    "data_interval_start",
    "data_interval_end",
    "start_date",
    "params",
    "task_instance_key_str",
    "ti_key_str",
    "test_mode",
    "deadline",
)
_DEPTH = 6


def plain(value: object, depth: int = _DEPTH) -> Any:
    """Return a value as JSON. What JSON has no form for becomes an object with one key that begins with ``$``."""
    if isinstance(value, enum.Enum):
        return {"$enum": _name(type(value)), "value": plain(value.value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime.datetime):
        return {"$datetime": value.isoformat()}
    if isinstance(value, datetime.timedelta):
        return {"$seconds": value.total_seconds()}
    if depth and isinstance(value, Mapping):
        return {str(key): plain(entry, depth - 1) for key, entry in value.items()}
    if depth and isinstance(value, set | frozenset):
        return {"$set": sorted((plain(entry, depth - 1) for entry in value), key=json.dumps)}
    if depth and isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(entry, depth - 1) for entry in value]
    return {"$object": _name(type(value)), "text": _text(value)}


def guarded(read: Any, *arguments: Any, **keywords: Any) -> Any:
    """Call something and return its value as JSON, or what it raised as ``{"$raised": ...}``."""
    try:
        return plain(read(*arguments, **keywords))
    except BaseException as error:
        # Airflow's error about an imminent deadlock is no Exception, and is recorded like any other.
        return {"$raised": f"{_name(type(error))}: {str(error)[:500]}"}


def describe_object(name: str, value: object) -> dict[str, Any]:
    """Describe a ``ti``, ``dag_run``, ``dag``, ``task`` or ``sla``: its type, and its attributes, or keys of a dict."""
    kind = _name(type(value))
    if isinstance(value, Mapping):
        return {"type": kind, "keys": plain(value)}
    return {"type": kind, "attributes": {path: guarded(_read, value, path) for path in _ATTRIBUTES[name]}}


def describe_exception(error: object) -> dict[str, Any]:
    """Describe what a context has as its ``exception``."""
    found: dict[str, Any] = {"type": _name(type(error)), "text": _text(error)}
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)
        found["frame_count"] = len(frames)
        # Of all these, what is Airflow's own says nothing new.
        found["last_frames"] = [
            {"file": frame.filename, "line": frame.lineno, "function": frame.name} for frame in frames[-2:]
        ]
        found["cause"] = _name(type(error.__cause__)) if error.__cause__ else None
    return found


def describe_context(context: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the whole of a context."""
    found: dict[str, Any] = {"type": _name(type(context)), "keys": sorted(context)}
    for name in _IN_CONTEXT:
        if name in context:
            found[name] = describe_object(name, context[name])
    if "exception" in context:
        found["exception"] = describe_exception(context["exception"])
    found["values"] = {name: guarded(context.__getitem__, name) for name in _SCALARS if name in context}
    return found


def describe_late(dag: Any, tasks: str, blocking: str, slas: list[Any], blocking_tis: list[Any]) -> dict[str, Any]:
    """Describe what Airflow 2 calls an ``sla_miss_callback`` with."""
    return {
        "dag": describe_object("dag", dag),
        "task_list": tasks,
        "blocking_task_list": blocking,
        "slas": [describe_object("sla", sla) for sla in slas],
        "blocking_tis": [describe_object("ti", ti) for ti in blocking_tis],
    }


def _read(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _text(value: object) -> str:
    try:
        return str(value)[:1000]
    except Exception as error:
        return f"({type(error).__name__} when asked for its text)"
