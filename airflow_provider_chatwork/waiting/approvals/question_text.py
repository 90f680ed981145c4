"""The texts that ask people and help them with their answers, in Japanese and English."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from airflow_provider_chatwork.api.notation import info, safe, to
from airflow_provider_chatwork.api.validation import LANGUAGES

_HONORIFICS = ("さん", "さま", "様")
_WORDS: dict[str, tuple[str, str]] = {
    "title": ("回答のお願い", "Your answer is needed"),
    "how": (
        "このメッセージに返信し、1 行目に選択肢か番号だけを書いてください。2 行目からはコメントを書けます。",
        "Reply to this message. On the first line, write nothing but an option or its number; comments go below it.",
    ),
    "who": ("回答できる人: {names}", "Who may answer: {names}"),
    "between": ("、", ", "),
    "any": ("どなたか 1 人の回答で決まります。", "The answer of any one person decides."),
    "some": (
        "{count} 人のうち {needed} 人が同じ選択肢を選ぶと決まります。",
        "Decided when {needed} of {count} people choose the same.",
    ),
    "all": ("{count} 人全員が同じ選択肢を選ぶと決まります。", "Decided when all {count} people choose the same."),
    "until": ("回答期限: この質問から {limit}", "Time to answer: {limit} from now"),
    "source": ("依頼元: Airflow {source}", "Asked by: Airflow {source}"),
    "days": ("{n} 日", "{n} d"),
    "hours": ("{n} 時間", "{n} h"),
    "minutes": ("{n} 分", "{n} min"),
    "person": ("{name}さん", "{name}"),
    "hint": (
        "恐れ入りますが、回答を読み取れませんでした。1 行目に次の選択肢か番号だけを書いて、もう一度返信してください。",
        "Sorry, this could not be read as an answer. Please reply once more, with nothing but one of these options or "
        "its number on the first line.",
    ),
    "taken back": (
        "先の回答は、この返信により取り消されたものとして扱います。",
        "With this reply, your earlier answer no longer counts.",
    ),
    "question": ("質問", "Question"),
}


def question_text(
    question: str,
    *,
    options: Sequence[str],
    to_ids: Sequence[int],
    approvers: Sequence[int],
    needed: int,
    names: Mapping[int, str],
    timeout: float,
    source: str,
    lang: str,
) -> str:
    """Write the message that asks.

    :param question: notation of the author.
    :param to_ids: who is called.
    :param names: the names of those in the room.
    :param timeout: how many seconds there are to answer. No time of day is told, so that the text is the same on
        every try of the task.
    :param source: which Airflow task asks, from :func:`source_text`; nothing leaves it away.
    """
    say = _speaker(lang)
    how = [_listed(options), "", say("how")]
    if [*to_ids] != [*approvers]:
        how.append(
            say("who", names=safe(say("between").join(_one_line(names[account_id]) for account_id in approvers)))
        )
    if len(approvers) > 1:
        which = "any" if needed == 1 else "all" if needed == len(approvers) else "some"
        how.append(say(which, count=len(approvers), needed=needed))
    how.append(say("until", limit=_while(say, timeout)))
    if source:
        how.append(say("source", source=safe(_one_line(source))))
    called = to({account_id: person(names[account_id], lang) for account_id in to_ids})
    framed = info(f"{question}\n\n" + "\n".join(how), title=say("title"))
    return f"{called}\n{framed}" if called else framed


def source_text(dag_id: str, task_id: str, run_id: str, map_index: int | None = None) -> str:
    """Name the task instance that asks: by this, people tell the runs of a DAG apart, and so does who looks for it.

    :param map_index: which one of several mapped tasks; negative, or ``None``, for one that is not mapped.
    """
    mapped = "" if map_index is None or map_index < 0 else f"[{map_index}]"
    return f"{dag_id} / {task_id}{mapped} / {run_id}"


def hint_text(options: Sequence[str], link: str, lang: str) -> str:
    """Write how to answer, for somebody whose answer could not be read.

    :param link: the address of the question.
    """
    return "\n".join([_say(lang, "hint"), _listed(options), f"{_say(lang, 'question')}: {link}"])


def taken_back_text(options: Sequence[str], link: str, lang: str) -> str:
    """Write the hint for somebody whose earlier answer no longer counts. It ends with that for everybody.

    :param link: the address of the question.
    """
    return f"{_say(lang, 'taken back')}\n{hint_text(options, link, lang)}"


def person(name: str, lang: str) -> str:
    """Speak to somebody."""
    return name if not name or name.endswith(_HONORIFICS) else _say(lang, "person", name=name)


def _one_line(name: str) -> str:
    # A name with a line break could look like an option.
    return " ".join(name.split())


def _listed(options: Sequence[str]) -> str:
    return "\n".join(f"{number}. {safe(text)}" for number, text in enumerate(options, 1))


def _while(say: Callable[..., str], seconds: float) -> str:
    for name, unit in (("days", 86400), ("hours", 3600)):
        if seconds >= unit and seconds % unit == 0:
            return say(name, n=int(seconds // unit))
    return say("minutes", n=max(round(seconds / 60), 1))


def _speaker(lang: str) -> Callable[..., str]:
    return lambda name, /, **values: _say(lang, name, **values)


def _say(lang: str, sentence: str, /, **values: object) -> str:
    return _WORDS[sentence][LANGUAGES.index(lang)].format(**values)
