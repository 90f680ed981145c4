"""A reference in the last line of a task's text, by which a later try finds the task.

People can read it. Chatwork has no hidden field for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_chatwork.api import models, validation
from airflow_provider_chatwork.api.call import CallFlow, strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkParameterError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.api.messages import PAGE, list_messages, reaches_back, same_text
from airflow_provider_chatwork.api.notation import safe
from airflow_provider_chatwork.api.tasks import may_be_announced, search_tasks
from airflow_provider_chatwork.utils.i18n import Catalog, Texts

#: The longest reference, in characters: the names of DAGs, tasks and runs have up to 250 each.
MAX_REFERENCE = 1_000

_TEXTS: Texts = {"reference": ("参照: {reference}", "Reference: {reference}")}


def with_reference(body: object, reference: object, lang: str, first_try: int = 1) -> str:
    """Return the text of a task with its reference as the last line.

    :param reference: one line of 1 to 1,000 characters. Notation in it is escaped.
    :param lang: ``ja`` (``参照: ...``) or ``en`` (``Reference: ...``).
    :param first_try: the number of the first try since the last clear. From 2 on it is appended (``... (2)``), so that
        the tasks of different clears differ.
    :raises ChatworkParameterError: for a reference that is empty or has several lines.
    """
    text = validation.text("body", body).rstrip()
    line = validation.text("reference", reference, longest=MAX_REFERENCE).strip()
    if not line or "\n" in line or "\r" in line:
        raise ChatworkParameterError(
            "reference", reference, "give one line of text that no other task has, such as {{ run_id }}"
        )
    last_line = Catalog(lang, _TEXTS).text("reference", reference=safe(line))
    return validation.text("body", f"{text}\n{last_line} ({first_try})" if first_try > 1 else f"{text}\n{last_line}")


def find_by_reference(
    room_id: int | str, body: str, to_ids: Sequence[int], account_id: int, *, since: float = 0.0
) -> CallFlow[list[int | None] | None]:
    """Find the tasks with a text that an account has assigned, open and done. Yields the calls to run.

    Of several, the newest tasks count. A full list may hide tasks. Then the tasks are listed by assignee, and if these
    lists are full as well, the messages of the room are searched for the announcement of the task.

    :param body: the whole text with the reference. A task whose text was edited is not found.
    :param to_ids: the assignees.
    :param account_id: the account of the token.
    :param since: Unix time by Chatwork's clock before which the tasks cannot have been created; 0 if it is not known.
    :return: the task id of each assignee, ``None`` for a task that was deleted; ``None`` if there is no task at all. A
        task that now has another assignee takes the place of a missing one.
    :raises ChatworkUnknownOutcomeError: if neither the lists nor the messages show whether there are tasks.
    """

    def matches(task: models.Task) -> bool:
        return same_text(task.get("body") or "", body)

    found, hidden = yield from search_tasks(room_id, account_id, to_ids, matches)
    if hidden and not found:
        page = yield strict_empty_list(list_messages(room_id))
        if reaches_back(page, since) and not may_be_announced(page, since, body, account_id):
            return None
    if hidden:
        people = ", ".join(map(str, hidden))
        raise ChatworkUnknownOutcomeError(
            "create_task",
            f"Chatwork lists no more than {PAGE} tasks of {people}, and this one may be behind them",
        )
    return _one_for_each(found, to_ids) if found else None


def _one_for_each(tasks: list[models.Task], to_ids: Sequence[int]) -> list[int | None]:
    newest: dict[int, int] = {}
    for task in sorted(tasks, key=lambda task: task["task_id"]):
        newest[task["account"]["account_id"]] = task["task_id"]
    reassigned = [task_id for account_id, task_id in newest.items() if account_id not in to_ids]
    chosen: list[int | None] = []
    for account_id in to_ids:
        chosen.append(newest.get(account_id) or (reassigned.pop() if reassigned else None))
    return chosen
