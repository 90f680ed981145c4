"""Japanese holidays, where the library that knows them is installed (the extra ``holidays``)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

log = logging.getLogger(__name__)


@lru_cache(maxsize=2000)
def is_holiday(day: date) -> bool:
    """Whether a day is a holiday in Japan; never, where the library is not installed, as the log then says once."""
    known = _library()
    return known is not None and bool(known(day))


@cache
def _library() -> Callable[[date], Any] | None:
    try:
        # By its name, as what checks our types may run without it.
        return import_module("jpholiday").is_holiday  # type: ignore[no-any-return]
    except ImportError:
        log.info(
            "jpholiday is not installed, so business days are Monday to Friday, holidays included. "
            "To leave out Japanese holidays: pip install 'airflow-provider-chatwork[holidays]'"
        )
        return None
