"""The mentions of an alert, and the accounts in a room that they mean.

A mention is one of

* an account id;
* a name or a Chatwork id. Case, full or half width, spaces, a leading ``@`` and a trailing ``さん`` are ignored;
* an e-mail address, a common owner of DAGs: compared as a whole, and with the part before the ``@``;
* :data:`OWNER`: each owner of the DAG;
* :data:`EVERYBODY`: all members of the room.

A mention that matches no member, or more than one, is unknown and mentions nobody.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from airflow_provider_chatwork import api
from airflow_provider_chatwork.api import validation
from airflow_provider_chatwork.api.errors import ChatworkParameterError

if TYPE_CHECKING:
    from airflow_provider_chatwork.api.models import Member

#: Mentions the owners of the DAG.
OWNER: Final = "owner"
#: Mentions all members of the room.
EVERYBODY: Final = "toall"

#: One or several mentions; a text may hold several, separated by commas.
Mentions: TypeAlias = int | str | Iterable[int | str] | None

_REMEDY = f"give account ids, names, handles, {OWNER} or {EVERYBODY}, as a list or as one comma-separated text"
# Airflow's default owner, for a task without an owner.
_DEFAULT_OWNER = "airflow"
_COMMA = re.compile("[,，、\n]")
_HONORIFIC = "さん"


@dataclass(frozen=True, kw_only=True)
class ResolvedMentions:
    """The accounts that mentions mean.

    :param accounts: account ids with their names in the room (``None`` if unknown), in the order of the mentions.
    :param everybody: whether all members of the room are mentioned.
    :param unknown: the mentions that match no member of the room, or more than one.
    """

    accounts: tuple[tuple[int, str | None], ...] = ()
    everybody: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def account_ids(self) -> tuple[int, ...]:
        """The account ids without names."""
        return tuple(account_id for account_id, _ in self.accounts)


def parse_mentions(value: object, *, parameter: str = "mentions") -> tuple[int | str, ...]:
    """Return mentions in the given order without duplicates, ids as numbers and others as text.

    :param value: one mention, a list, or a text with mentions separated by commas. The text may be a rendered list
        (``[1, 'yamada']``). ``None``, and the text of an empty template, are no mention. An item of a list is one
        mention, and may contain a comma.
    :param parameter: the name of the value in errors.
    :raises ChatworkParameterError: for a value that is neither a number nor a text.
    """
    items = _split(value) if isinstance(value, str) else value
    if isinstance(items, (bytes, Mapping)) or not isinstance(items, Iterable):
        items = (items,)
    found = [_mention(parameter, item) for item in items]
    return tuple(dict.fromkeys(mention for mention in found if mention is not None))


def owner_names(owners: str | Iterable[str]) -> tuple[str, ...]:
    """Return the owners as a list. Airflow joins the owners of a DAG's tasks with commas."""
    texts = (owners,) if isinstance(owners, str) else owners
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


def needs_members(mentions: Mentions, owners: str | Iterable[str] = ()) -> bool:
    """Whether :func:`resolve_mentions` needs the members of the room: for names, not for ids and ``toall``.

    :raises ChatworkParameterError: as :func:`parse_mentions`.
    """
    return any(isinstance(mention, str) for mention in _expand_owners(parse_mentions(mentions), owners))


def resolve_mentions(
    mentions: Mentions, *, owners: str | Iterable[str] = (), members: Iterable[Member] | None = None
) -> ResolvedMentions:
    """Return the accounts that mentions mean.

    :param mentions: the same as for :func:`parse_mentions`.
    :param owners: the owners of the DAG. An owner never means :data:`EVERYBODY`, and Airflow's default owner
        ``airflow`` means nobody.
    :param members: the result of ``list_members`` for the room. ``None`` if it is not known: account ids are then
        accepted, and all other mentions are unknown.
    :raises ChatworkParameterError: as :func:`parse_mentions`.
    """
    wanted = parse_mentions(mentions)
    room = None if members is None else list(members)
    accounts: dict[int, str | None] = {}
    unknown: list[str] = []
    for mention in _expand_owners(wanted, owners):
        found = _unnamed_account(mention) if room is None else _find_member(mention, room)
        if found is None:
            unknown.append(str(mention))
        else:
            accounts.setdefault(*found)
    return ResolvedMentions(
        accounts=tuple(accounts.items()), everybody=EVERYBODY in wanted, unknown=tuple(dict.fromkeys(unknown))
    )


def to_notation(found: ResolvedMentions) -> str:
    """Return mentions as notation: one line for each account with a known name. No accounts give an empty text."""
    # Chatwork shows ids without names as icons, so they are put in one line.
    bare = api.notation.to([account_id for account_id, name in found.accounts if not name])
    named = [api.notation.to(account_id, name) for account_id, name in found.accounts if name]
    return "\n".join(filter(None, [api.notation.to_all() if found.everybody else "", bare, *named]))


def _split(text: str) -> Sequence[object]:
    text = text.strip()
    if text[:1] + text[-1:] in ("[]", "()"):
        # All errors of `ast.literal_eval`: the text is a rendered template.
        with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            rendered = ast.literal_eval(text)
            if isinstance(rendered, (list, tuple)):
                return rendered
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return _COMMA.split(text)


def _mention(parameter: str, item: object) -> int | str | None:
    if item is None:
        return None
    if isinstance(item, bool) or not isinstance(item, (int, str)):
        raise ChatworkParameterError(parameter, item, _REMEDY)
    text = unicodedata.normalize("NFKC", str(item)).strip()
    if validation.none_if_blank(text) is None:
        return None
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return validation.identifier(parameter, text)
    keyword = text.casefold().removeprefix("[").removesuffix("]")
    return keyword if keyword in (OWNER, EVERYBODY) else str(item).strip()


def _expand_owners(mentions: Iterable[int | str], owners: str | Iterable[str]) -> list[int | str]:
    """Return the mentions with :data:`OWNER` replaced by the owners, and without :data:`EVERYBODY`."""
    expanded: list[int | str] = []
    for mention in mentions:
        if mention == OWNER:
            # Owners are free text: an owner named "toall" must not mention everybody, and none is an error.
            names = [name for name in owner_names(owners) if _key(name) != _DEFAULT_OWNER]
            expanded.extend(int(name) if re.fullmatch("0*[1-9][0-9]{0,17}", name) else name for name in names)
        elif mention != EVERYBODY:
            expanded.append(mention)
    return expanded


def _unnamed_account(mention: int | str) -> tuple[int, None] | None:
    return (mention, None) if isinstance(mention, int) else None


def _find_member(mention: int | str, members: Sequence[Member]) -> tuple[int, str] | None:
    """Return the member that matches best; ``None`` if there is none, or if several match equally."""
    if isinstance(mention, int):
        # A mention of an account outside of the room notifies nobody, although the room shows it as a mention.
        return next(((mention, member.get("name", "")) for member in members if member["account_id"] == mention), None)
    whole = _key(mention)
    before = whole.partition("@")[0]
    comparisons: tuple[tuple[str, tuple[Literal["chatwork_id", "name"], ...]], ...] = (
        (whole, ("chatwork_id", "name")),
        (before, ("chatwork_id",)),
        (before, ("name",)),
    )
    for key, fields in comparisons:
        # An empty key would match members without a Chatwork id.
        if key and (found := [member for member in members if key in [_key(member.get(field)) for field in fields]]):
            names = {member["account_id"]: member.get("name", "") for member in found}
            return next(iter(names.items())) if len(names) == 1 else None
    return None


def _key(text: str | None) -> str:
    """Return the text to compare, without format characters: a name copied from a message may contain some."""
    folded = unicodedata.normalize("NFKC", text or "").casefold()
    bare = "".join(each for each in folded if not each.isspace() and unicodedata.category(each) != "Cf")
    return bare.removeprefix("@").removesuffix(_HONORIFIC) or bare
