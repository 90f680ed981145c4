"""The options of a question, and a strict parser of answers.

An answer is the whole first line of a reply: an option, its number, or both as the question lists them, followed by
nothing but one of :data:`POLITE_ENDINGS`. "承認します" is an answer; "承認しません" only begins with an option and is
none. Width, case and white space make no difference, and neither does one full stop, or exclamation marks, at the end.
A question mark and an ellipsis do: "承認?" is not an approval.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from airflow_provider_chatwork.api.errors import ChatworkParameterError

#: The effect of an option: ``True`` continues, ``False`` skips what is downstream, task ids are branched to.
OptionEffect: TypeAlias = bool | str | Sequence[str]

#: The maximum number of characters of an option.
MAX_OPTION_LENGTH = 100
#: The values of ``on_timeout`` that are not options.
TIMEOUT_ACTIONS = ("fail", "skip")
#: The maximum number of characters of all comments of a question together, as they travel with the trigger.
MAX_COMMENTS_LENGTH = 5000
#: The maximum number of characters of one comment.
MAX_COMMENT_LENGTH = 1000
#: Polite endings that affirm an option. "お願いします" by itself is not one of them: "承認お願いします" asks somebody
#: else to approve.
POLITE_ENDINGS = (
    *("です", "します", "しました", "いたします", "いたしました", "致します", "致しました"),
    *("とします", "といたします", "と致します", "させていただきます", "させて頂きます"),
    *("でお願いします", "でお願いいたします", "でお願い致します"),
    *("でよろしくお願いします", "でよろしくお願いいたします", "でよろしくお願い致します"),
)
# A longer line cannot be an option.
_MAX_LINE_LENGTH = 4 * MAX_OPTION_LENGTH

_END = re.compile(r" ?(?:[。.]|!+)\Z")
# They select how an emoji is drawn, and have no meaning.
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f]")


@dataclass(frozen=True)
class Options:
    """The options of a question, in order, as a parser of answers."""

    texts: Sequence[str]

    def number(self, text: str) -> int:
        """Return the number of an option, from 1."""
        return [*self.texts].index(text) + 1

    def parse(self, answer: str) -> tuple[str | None, str]:
        """Return the option that an answer names, or ``None``, and the comment below it.

        :param answer: a reply without the notation of the reply.
        """
        first, _, comment = answer.strip().partition("\n")
        if len(first) > _MAX_LINE_LENGTH:
            return None, comment.strip()
        line = normalize(first)
        return self._by_form.get(line) or self._match_polite(line), comment.strip()

    def find(self, text: str) -> str | None:
        """Return the option that a text names, without polite endings; ``None`` if it names none."""
        return self._by_form.get(normalize(text)) if len(text) <= _MAX_LINE_LENGTH else None

    def _match_polite(self, line: str) -> str | None:
        stems = (line.removesuffix(ending).rstrip() for ending in POLITE_ENDINGS if line.endswith(ending))
        matches = {self._by_form[stem] for stem in stems if stem in self._by_form}
        # An option may itself end with one of the endings, which makes the line ambiguous.
        return matches.pop() if len(matches) == 1 else None

    @cached_property
    def _by_form(self) -> Mapping[str, str]:
        by_form: dict[str, str] = {}
        for number, text in enumerate(self.texts, 1):
            line = normalize(text)
            for form in (line, f"{number}", f"{number} {line}", f"{number}.{line}", f"{number}. {line}"):
                if by_form.setdefault(form, text) != text:
                    raise ChatworkParameterError(
                        "options",
                        [*self.texts],
                        f"{form!r} could mean {by_form[form]!r} as well as {text!r}; rename them so that no option "
                        "equals another one, or the number of another one",
                    )
        return by_form


def parse_options(options: object) -> dict[str, bool | list[str]]:
    """Validate options, and return them with their effects; task ids always as a list.

    :param options: a mapping of option texts to an :data:`OptionEffect`.
    :raises ChatworkParameterError: for anything else, and for options that are ambiguous.
    """
    if not isinstance(options, Mapping) or not options:
        raise ChatworkParameterError(
            "options", options, "give a mapping of the possible answers to their effects, such as {'OK': True}"
        )
    parsed = {_parse_text(options, text): _parse_effect(options, effect) for text, effect in options.items()}
    # Raises for ambiguous options.
    Options([*parsed]).find("")
    return parsed


def timeout_option(on_timeout: object, options: Sequence[str]) -> str | None:
    """Return the option that ``on_timeout`` names; ``None`` for ``fail`` and ``skip``.

    :raises ChatworkParameterError: for anything else, and for an option that is named like one of them.
    """
    option = Options(options).find(on_timeout) if isinstance(on_timeout, str) else None
    is_action = on_timeout in TIMEOUT_ACTIONS
    if is_action and option is not None:
        raise ChatworkParameterError("on_timeout", on_timeout, "an option has the same name; rename the option")
    if not is_action and option is None:
        allowed = ", ".join(map(repr, (*TIMEOUT_ACTIONS, *options)))
        raise ChatworkParameterError("on_timeout", on_timeout, f"give one of {allowed}")
    return option


def truncate_comment(comment: str, approvers: int) -> str:
    """Truncate a comment, so that the comments of that many approvers stay within :data:`MAX_COMMENTS_LENGTH`."""
    length = min(MAX_COMMENT_LENGTH, MAX_COMMENTS_LENGTH // max(approvers, 1))
    return comment if len(comment) <= length else f"{comment[: max(length - 1, 0)]}…"


def normalize(text: str) -> str:
    """Return a line without differences of width, case, white space, invisible characters and the final full stop."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    visible = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    return _END.sub("", " ".join(_VARIATION_SELECTORS.sub("", visible).split())).strip()


def _parse_text(options: object, text: object) -> str:
    if not isinstance(text, str) or not normalize(text):
        raise ChatworkParameterError("options", options, f"{text!r} is not an answer that people can write; give text")
    if "{{" in text or "{%" in text:
        raise ChatworkParameterError(
            "options",
            options,
            f"{text!r} is a template, and the texts of options are not rendered; give the text, or the whole mapping "
            "as a template",
        )
    if len(text.splitlines()) > 1 or len(text) > MAX_OPTION_LENGTH:
        raise ChatworkParameterError(
            "options", options, f"{text!r} has to be one line of at most {MAX_OPTION_LENGTH} characters"
        )
    return text


def _parse_effect(options: object, effect: object) -> bool | list[str]:
    if isinstance(effect, bool):
        return effect
    task_ids = [effect] if isinstance(effect, str) else effect
    if not isinstance(task_ids, (list, tuple)) or not task_ids or not all(isinstance(i, str) and i for i in task_ids):
        raise ChatworkParameterError(
            "options",
            options,
            f"{effect!r} is not an effect; give True to continue, False to skip what is downstream, or the task ids to "
            "branch to",
        )
    return [*task_ids]
