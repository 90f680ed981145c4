"""Who is meant by the mentions of an alert: from ids, names and handles to accounts in the room.

A mention is one of

* an account id;
* a name or a Chatwork id (a handle), as written by people: letter case, full or half width, blanks, a leading ``@``
  and a trailing ``さん`` make no difference;
* an e-mail address, as it stands as owner in many DAGs: the whole of it, or what is before the ``@``;
* :data:`OWNER`: each owner of the DAG;
* :data:`EVERYBODY`: everyone in the room.

Nobody is called by a guess: who is not in the room, or cannot be told apart from somebody else, is unknown.
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

#: Stands for the owners of the DAG.
OWNER: Final = "owner"
#: Stands for everyone in the room.
EVERYBODY: Final = "toall"

#: One or several mentions; a text may hold several, separated by commas.
Mentions: TypeAlias = int | str | Iterable[int | str] | None

_REMEDY = f"give account ids, names, handles, {OWNER} or {EVERYBODY}, as a list or as one comma-separated text"
# Airflow's own for a DAG that names no owner.
_NOBODY = "airflow"
_COMMA = re.compile("[,，、\n]")
_HONORIFIC = "さん"


@dataclass(frozen=True, kw_only=True)
class People:
    """Who is called.

    :param accounts: account ids with the names they have in the room, ``None`` where that was not looked up; in the
        order of the mentions, each once.
    :param everybody: whether everyone in the room is called.
    :param unknown: mentions, as they were given, that stand for nobody in the room or for more than one.
    """

    accounts: tuple[tuple[int, str | None], ...] = ()
    everybody: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def account_ids(self) -> tuple[int, ...]:
        """The accounts without their names."""
        return tuple(account_id for account_id, _ in self.accounts)


def parse_mentions(value: object, *, parameter: str = "mentions") -> tuple[int | str, ...]:
    """Read mentions: ids as numbers, everything else as text, each once, in the order given.

    :param value: one mention, several, or a text with several separated by commas; the text may be what a template
        makes of a list (``[1, 'yamada']``). ``None`` and what a template of nothing renders to are no mention. In a
        list every item is one mention, so that a name may hold a comma.
    :param parameter: what an error calls the value.
    :raises ChatworkParameterError: for what is neither an id nor text.
    """
    items = _split(value) if isinstance(value, str) else value
    if isinstance(items, (bytes, Mapping)) or not isinstance(items, Iterable):
        items = (items,)
    found = [_mention(parameter, item) for item in items]
    return tuple(dict.fromkeys(mention for mention in found if mention is not None))


def owner_names(owners: str | Iterable[str]) -> tuple[str, ...]:
    """The owners one by one: Airflow joins those of a DAG's tasks with commas."""
    texts = (owners,) if isinstance(owners, str) else owners
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


def needs_members(mentions: Mentions, owners: str | Iterable[str] = ()) -> bool:
    """Whether the members of the room must be known to :func:`resolve` these mentions; ids and "toall" need nobody.

    :raises ChatworkParameterError: as :func:`parse_mentions`.
    """
    return any(isinstance(mention, str) for mention in _meant(parse_mentions(mentions), owners))


def resolve(mentions: Mentions, *, owners: str | Iterable[str] = (), members: Iterable[Member] | None = None) -> People:
    """Find out who is meant.

    :param mentions: what :func:`parse_mentions` takes.
    :param owners: the owners of the DAG. Each is a mention of its own, but never :data:`EVERYBODY`; Airflow's default
        owner ``airflow`` is nobody.
    :param members: the answer of ``list_members`` for the room. ``None`` where it was not asked for, or gave no
        answer: account ids are then taken as given, and everybody else is unknown.
    :raises ChatworkParameterError: as :func:`parse_mentions`.
    """
    wanted = parse_mentions(mentions)
    room = None if members is None else list(members)
    accounts: dict[int, str | None] = {}
    unknown: list[str] = []
    for mention in _meant(wanted, owners):
        found = _as_given(mention) if room is None else _member(mention, room)
        if found is None:
            unknown.append(str(mention))
        else:
            accounts.setdefault(*found)
    return People(
        accounts=tuple(accounts.items()), everybody=EVERYBODY in wanted, unknown=tuple(dict.fromkeys(unknown))
    )


def as_notation(people: People) -> str:
    """Call them, as notation: one line for each name that is known. Nobody gives an empty text."""
    # Ids without names are read as icons only, so they stand side by side.
    bare = api.notation.to([account_id for account_id, name in people.accounts if not name])
    named = [api.notation.to(account_id, name) for account_id, name in people.accounts if name]
    return "\n".join(filter(None, [api.notation.to_all() if people.everybody else "", bare, *named]))


def _split(text: str) -> Sequence[object]:
    text = text.strip()
    if text[:1] + text[-1:] in ("[]", "()"):
        # What `ast.literal_eval` may raise, all of it: the text came out of a template.
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


def _meant(mentions: Iterable[int | str], owners: str | Iterable[str]) -> list[int | str]:
    """The mentions with :data:`OWNER` replaced by the owners, and without :data:`EVERYBODY`."""
    meant: list[int | str] = []
    for mention in mentions:
        if mention == OWNER:
            # An owner is text that somebody wrote elsewhere, so it can neither call everybody nor be an error here.
            names = [name for name in owner_names(owners) if _key(name) != _NOBODY]
            meant.extend(int(name) if re.fullmatch("0*[1-9][0-9]{0,17}", name) else name for name in names)
        elif mention != EVERYBODY:
            meant.append(mention)
    return meant


def _as_given(mention: int | str) -> tuple[int, None] | None:
    return (mention, None) if isinstance(mention, int) else None


def _member(mention: int | str, members: Sequence[Member]) -> tuple[int, str] | None:
    """Who it is, by the closest way of comparing that finds anybody; ``None`` where that finds more than one."""
    if isinstance(mention, int):
        # To call an account that is not in the room notifies nobody, but looks as if it did.
        return next(((mention, member.get("name", "")) for member in members if member["account_id"] == mention), None)
    whole = _key(mention)
    before = whole.partition("@")[0]
    ways: tuple[tuple[str, tuple[Literal["chatwork_id", "name"], ...]], ...] = (
        (whole, ("chatwork_id", "name")),
        (before, ("chatwork_id",)),
        (before, ("name",)),
    )
    for key, fields in ways:
        # A member without a handle must not be found by nothing.
        if key and (found := [member for member in members if key in [_key(member.get(field)) for field in fields]]):
            names = {member["account_id"]: member.get("name", "") for member in found}
            return next(iter(names.items())) if len(names) == 1 else None
    return None


def _key(text: str | None) -> str:
    """What is compared. Format characters go too: names copied from a message may hold what :func:`safe` put in."""
    folded = unicodedata.normalize("NFKC", text or "").casefold()
    bare = "".join(each for each in folded if not each.isspace() and unicodedata.category(each) != "Cf")
    return bare.removeprefix("@").removesuffix(_HONORIFIC) or bare
