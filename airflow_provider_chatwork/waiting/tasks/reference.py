"""A visible mark in the text of a task, by which a later try of whoever gave it finds it again.

Chatwork has nothing hidden to keep such a mark in, and people may read it: it is the last line of the text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from airflow_provider_chatwork.api import models, validation
from airflow_provider_chatwork.api.call import CallFlow, strict_empty_list
from airflow_provider_chatwork.api.errors import ChatworkParameterError, ChatworkUnknownOutcomeError
from airflow_provider_chatwork.api.messages import PAGE, list_messages, reaches_back, same_text
from airflow_provider_chatwork.api.notation_escaping import safe
from airflow_provider_chatwork.api.tasks import may_be_announced, search_tasks

#: Longest reference, in characters: names of DAGs, tasks and runs have up to 250 each.
LONGEST = 1_000

_LINE = {"ja": "参照: {reference}", "en": "Reference: {reference}"}


def with_reference(body: object, reference: object, lang: str, round_: int = 1) -> str:
    """Return the text of a task that ends with a line for its reference.

    :param reference: one line of 1 to 1,000 characters. Nothing in it acts, whatever it holds.
    :param lang: ``ja`` (``参照: ...``) or ``en`` (``Reference: ...``).
    :param round_: tells what is given anew from what was given before, where it is more than 1: ``... (2)``.
    :raises ChatworkParameterError: for a reference that cannot be seen or found.
    """
    text = validation.text("body", body).rstrip()
    line = validation.text("reference", reference, longest=LONGEST).strip()
    if not line or "\n" in line or "\r" in line:
        raise ChatworkParameterError(
            "reference", reference, "give one line of text that no other task has, such as {{ run_id }}"
        )
    signed = _LINE[lang].format(reference=safe(line))
    return validation.text("body", f"{text}\n{signed} ({round_})" if round_ > 1 else f"{text}\n{signed}")


def find_by_reference(
    room_id: int | str,
    body: str,
    to_ids: Sequence[int],
    account_id: int,
    ignore: Collection[int] = (),
    *,
    since: float = 0.0,
) -> CallFlow[list[int | None] | None]:
    """Find tasks with a text among those an account has given, open and done. Yields the calls to run.

    Where it was given more than once, the newest tasks count. A list that is full may hide some; then each assignee is
    asked for by itself, and where that is not enough the messages of the room tell whether there can be any.

    :param body: the whole text, with its reference. A text that somebody has edited since is not found.
    :param to_ids: the assignees.
    :param account_id: who gave it, the account of the token.
    :param ignore: tasks that do not count.
    :param since: Unix time, by Chatwork's clock, before which they cannot have been given; 0 where that is not known.
    :return: a task id for each assignee, ``None`` for one whose task was deleted; ``None`` where there is none at all.
        A task that people have handed on to somebody else stands for a missing one.
    :raises ChatworkUnknownOutcomeError: where Chatwork shows no more than 100 tasks and not enough of these, and does
        not show all messages either.
    """

    def is_it(task: models.Task) -> bool:
        return task["task_id"] not in ignore and same_text(task.get("body") or "", body)

    found, hidden = yield from search_tasks(room_id, account_id, to_ids, is_it)
    if hidden and not found:
        page = yield strict_empty_list(list_messages(room_id))
        if reaches_back(page, since) and not may_be_announced(page, since, body, account_id):
            return None
    if hidden:
        people = ", ".join(map(str, hidden))
        raise ChatworkUnknownOutcomeError(
            "create_task",
            f"the room shows no more than {PAGE} tasks of {people}, and this one may be behind them",
        )
    return _one_each(found, to_ids) if found else None


def _one_each(tasks: list[models.Task], to_ids: Sequence[int]) -> list[int | None]:
    newest: dict[int, int] = {}
    for task in sorted(tasks, key=lambda task: task["task_id"]):
        newest[task["account"]["account_id"]] = task["task_id"]
    handed_on = [task_id for account_id, task_id in newest.items() if account_id not in to_ids]
    chosen: list[int | None] = []
    for account_id in to_ids:
        chosen.append(newest.get(account_id) or (handed_on.pop() if handed_on else None))
    return chosen
