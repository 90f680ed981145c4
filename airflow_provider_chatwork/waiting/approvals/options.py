"""What people's answers to a question mean, and what follows from all of them. Text and numbers only.

Understanding is strict on purpose. An answer is the whole first line of what somebody wrote: an option, its number, or
both as the question shows them, and behind it nothing but one of the polite endings of :data:`POLITE`. "承認します" is
an answer; "承認しません" begins with an option and is none, and whoever writes it is asked again. Width, case and white
space make no difference, and neither does one full stop (or exclamation marks) at the end. A question mark and an
ellipsis do: "承認?" is no approval.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias, TypedDict

from airflow_provider_chatwork.api.errors import ChatworkParameterError

#: What an option is good for: ``True`` goes on, ``False`` does not, and task ids say with what to go on.
Effect: TypeAlias = bool | str | Sequence[str]

#: How many characters an option may have: people write it on one line.
LONGEST_OPTION = 100
#: What can follow from no answer in time, besides an option.
ON_TIMEOUT = ("fail", "skip")
#: How many characters of the comments below the answers are kept, in all. They travel with the wait.
MOST_WORDS = 5000
#: How many of one comment.
LONGEST_WORDS = 1000
#: What people put behind an option to be polite, and what affirms it. A closed list. "お願いします" by itself is not in
#: it: "承認お願いします" is what people write who ask somebody else to approve.
POLITE = (
    *("です", "します", "しました", "いたします", "いたしました", "致します", "致しました"),
    *("とします", "といたします", "と致します", "させていただきます", "させて頂きます"),
    *("でお願いします", "でお願いいたします", "でお願い致します"),
    *("でよろしくお願いします", "でよろしくお願いいたします", "でよろしくお願い致します"),
)
# A longer line is no option, however it is written.
_LONGEST_LINE = 4 * LONGEST_OPTION

_END = re.compile(r" ?(?:[。.]|!+)\Z")
# They choose how an emoji is drawn, and say nothing.
_VARIATION = re.compile("[\ufe00-\ufe0f]")


class Answer(TypedDict):
    """What somebody answered. ``choice`` is the option and ``number`` its number, from 1.

    ``words`` is what they wrote below it, :func:`clipped`. Times are Unix seconds; an ``update_time`` of 0 means never
    edited.
    """

    account_id: int
    name: str
    choice: str
    number: int
    words: str
    message_id: str
    send_time: int
    update_time: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from the answers: ``open`` as long as nothing does, ``decided``, or ``split`` for good.

    :param choice: the option that was decided for.
    """

    outcome: Literal["open", "decided", "split"]
    choice: str | None = None


@dataclass(frozen=True)
class Options:
    """The options of a question, in their order.

    :param texts: as people see them.
    """

    texts: Sequence[str]

    def number(self, text: str) -> int:
        """The number of an option, from 1."""
        return [*self.texts].index(text) + 1

    def read(self, written: str) -> tuple[str | None, str]:
        """Tell the option that somebody means, or ``None``, and what they wrote below it.

        :param written: what they wrote, without the notation of the reply.
        """
        first, _, rest = written.strip().partition("\n")
        if len(first) > _LONGEST_LINE:
            return None, rest.strip()
        line = plain(first)
        return self._meanings.get(line) or self._politely(line), rest.strip()

    def find(self, text: str) -> str | None:
        """The option that a text names, without any politeness; ``None`` if it names none."""
        return self._meanings.get(plain(text)) if len(text) <= _LONGEST_LINE else None

    def _politely(self, line: str) -> str | None:
        stems = (line.removesuffix(ending).rstrip() for ending in POLITE if line.endswith(ending))
        meant = {self._meanings[stem] for stem in stems if stem in self._meanings}
        # Options that end like the endings could be meant both ways.
        return meant.pop() if len(meant) == 1 else None

    @cached_property
    def _meanings(self) -> Mapping[str, str]:
        meanings: dict[str, str] = {}
        for number, text in enumerate(self.texts, 1):
            for form in _forms(number, plain(text)):
                if meanings.setdefault(form, text) != text:
                    raise ChatworkParameterError(
                        "options",
                        [*self.texts],
                        f"{form!r} could mean {meanings[form]!r} as well as {text!r}; name them so that nobody can "
                        "take one for another, nor for the number of another",
                    )
        return meanings


def read_options(options: object) -> dict[str, bool | list[str]]:
    """The options of a question and their effects, checked.

    :param options: a mapping of what people see to an :data:`Effect`.
    :return: the same, with task ids always as a list.
    :raises ChatworkParameterError: for what is no such mapping, and for options that can be taken for one another.
    """
    if not isinstance(options, Mapping) or not options:
        raise ChatworkParameterError(
            "options", options, "give a mapping of what people can answer to what follows, such as {'OK': True}"
        )
    read = {_text(options, text): _effect(options, effect) for text, effect in options.items()}
    # For the error where two of them can be taken for one another.
    Options([*read]).find("")
    return read


def option_for(on_timeout: object, options: Sequence[str]) -> str | None:
    """The option that stands for no answer in time; ``None`` where there is none of it, but ``fail`` or ``skip``.

    :raises ChatworkParameterError: for what is none of them, and where it cannot be told what is meant.
    """
    option = Options(options).find(on_timeout) if isinstance(on_timeout, str) else None
    keyword = on_timeout in ON_TIMEOUT
    if keyword and option is not None:
        raise ChatworkParameterError("on_timeout", on_timeout, "an option has the same name; give the option another")
    if not keyword and option is None:
        allowed = ", ".join(map(repr, (*ON_TIMEOUT, *options)))
        raise ChatworkParameterError("on_timeout", on_timeout, f"give one of {allowed}")
    return option


def tally(
    answers: Iterable[Answer],
    *,
    options: Sequence[str],
    rejecting: Collection[str],
    approvers: Collection[int],
    needed: int,
) -> Verdict:
    """Tell what follows from the answers, in whatever order they are given.

    The latest answer of each approver counts, and only that of approvers. The option that ``needed`` of them chose is
    decided for; where that are two, the one that was first. As soon as no option that goes on can get there any more,
    one that does not go on is decided for, if anybody chose one: the one that most chose, or of these the first.

    :param options: all options.
    :param rejecting: those that do not go on.
    :param needed: how many have to choose the same.
    """
    latest = {
        answer["account_id"]: answer
        for answer in sorted(answers, key=_moment)
        if answer["account_id"] in approvers and answer["choice"] in options
    }
    counts: dict[str, int] = {}
    for answer in sorted(latest.values(), key=_moment):
        counts[answer["choice"]] = counts.get(answer["choice"], 0) + 1
        if counts[answer["choice"]] >= needed:
            return Verdict("decided", answer["choice"])
    silent = len(set(approvers)) - len(latest)
    reachable = [option for option in options if counts.get(option, 0) + silent >= needed]
    if any(option not in rejecting for option in reachable):
        return Verdict("open")
    rejected = {option: count for option, count in counts.items() if option in rejecting}
    if rejected:
        # Of equals, the first: a dict keeps the order in which they were chosen.
        return Verdict("decided", max(rejected, key=lambda option: rejected[option]))
    return Verdict("open" if reachable else "split")


def clipped(words: str, people: int) -> str:
    """As much of a comment as is kept where so many people may write one."""
    longest = min(LONGEST_WORDS, MOST_WORDS // max(people, 1))
    return words if len(words) <= longest else f"{words[: max(longest - 1, 0)]}…"


def plain(text: str) -> str:
    """What is left of a line when it does not matter how it was typed."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    visible = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    return _END.sub("", " ".join(_VARIATION.sub("", visible).split())).strip()


def _forms(number: int, text: str) -> tuple[str, ...]:
    return text, f"{number}", f"{number} {text}", f"{number}.{text}", f"{number}. {text}"


def _moment(answer: Answer) -> tuple[int, int]:
    return answer["send_time"], int(answer["message_id"])


def _text(options: object, text: object) -> str:
    if not isinstance(text, str) or not plain(text):
        raise ChatworkParameterError("options", options, f"{text!r} is nothing that people could write; give a text")
    if "{{" in text or "{%" in text:
        raise ChatworkParameterError(
            "options",
            options,
            f"{text!r} is a template, and what people can answer is not rendered; give the text, or the whole mapping "
            "as a template",
        )
    if len(text.splitlines()) > 1 or len(text) > LONGEST_OPTION:
        raise ChatworkParameterError(
            "options", options, f"{text!r} has to be one line of at most {LONGEST_OPTION} characters"
        )
    return text


def _effect(options: object, effect: object) -> bool | list[str]:
    if isinstance(effect, bool):
        return effect
    task_ids = [effect] if isinstance(effect, str) else effect
    if not isinstance(task_ids, (list, tuple)) or not task_ids or not all(isinstance(i, str) and i for i in task_ids):
        raise ChatworkParameterError(
            "options",
            options,
            f"{effect!r} does not say what follows; give True to go on, False to skip what is downstream, "
            "or the task ids to go on with",
        )
    return [*task_ids]
