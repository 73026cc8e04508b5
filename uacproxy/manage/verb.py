"""Words of the verbs: what one is, what it may answer, and what it may look at.

A verb is a function of the service's views and of its arguments. It returns a value
that JSON can say, or an iterator of records where a list may be long, or raises
``Fault``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

from uacproxy.errors import UacproxyError
from uacproxy.uac.account import Account
from uacproxy.uac.account_loader import Reloaded

Value = dict[str, Any] | str | int
Rows = Iterator[dict[str, object]]


@final
class Fault(Exception):
    """A verb's answer is no: a number and words, as the module's RPC commands give them.

    It is an outcome for the operator, not an error of the service, and so stands
    outside the tree of ``uacproxy.errors``.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class RegistrationView(Protocol):
    """The registrations as an operator sees them."""

    active: bool  # reg_active

    @property
    def enabled(self) -> bool:
        """Tell whether ``reg_db_url`` is configured."""

    def reload(
        self, then: Callable[[Reloaded], None], failed: Callable[[UacproxyError], None]
    ) -> None:
        """Read all rows again."""

    def catch_up(self) -> None:
        """Read all rows again, because they were written."""

    def refresh(
        self, l_uuid: str, then: Callable[[bool], None], failed: Callable[[UacproxyError], None]
    ) -> None:
        """Read one row again; False: there is none."""

    def enable(self, attr: str, value: str) -> bool:
        """Undo ``disable``; here and below: as ``find``, False where there is none."""

    def disable(self, attr: str, value: str) -> bool:
        """Stop registering one account."""

    def register(self, attr: str, value: str) -> bool:
        """Send a REGISTER at once."""

    def unregister(self, attr: str, value: str) -> bool:
        """Take one account's binding back."""

    def add(self, account: Account) -> bool:
        """Add an account that has no row; False: there is one of this l_uuid."""

    def remove(self, l_uuid: str) -> bool:
        """Forget an account and take its binding back; False: there is none."""

    def dump(self) -> Rows:
        """Yield the record struct of every registration.

        The iterator is read a page at a time, so records may come and go between two
        steps; each step has to survive that.
        """

    def find(self, attr: str, value: str) -> dict[str, object] | None:
        """Return the first record whose ``attr`` is ``value``; KeyError: no such attribute."""

    def explain(self, l_uuid: str) -> str | None:
        """Return the state, the last exchange and the next action in words; None: unknown."""


class EditorView(Protocol):
    """The table of accounts, to be written."""

    def put(
        self,
        mode: str,
        rows: Sequence[Mapping[str, str]],
        then: Callable[[list[tuple[int, str]]], None],
        failed: Callable[[UacproxyError], None],
    ) -> None:
        """Write accounts, all or none; ``then`` gets what is wrong by number of the row."""

    def remove(
        self, l_uuid: str, then: Callable[[bool], None], failed: Callable[[UacproxyError], None]
    ) -> None:
        """Delete an account; False: there is none."""

    def rows(
        self,
        then: Callable[[list[dict[str, object]]], None],
        failed: Callable[[UacproxyError], None],
        *,
        secrets: bool,
    ) -> None:
        """Give all accounts as they are in the table."""


class DialogView(Protocol):
    """The dialogs in progress."""

    def dialogs(self) -> Rows:
        """Yield one record for each; as ``dump``, read a page at a time."""


class StatsView(Protocol):
    """Counters and gauges."""

    def stats(self) -> dict[str, int | float]:
        """Return values by dotted name."""


class InstancesView(Protocol):
    """The instances that share the accounts."""

    @property
    def enabled(self) -> bool:
        """Tell whether they are shared."""

    @property
    def has_heirs(self) -> bool:
        """Tell whether another instance would take what this one gives back."""

    def instances(self) -> Rows:
        """Yield one record for each."""

    def drain(self) -> None:
        """Give all accounts to the others."""

    def undrain(self) -> None:
        """Take a share again."""


class ServiceView(Protocol):
    """The running service itself."""

    @property
    def version(self) -> str:
        """Return the version of the program."""

    @property
    def uptime(self) -> float:
        """Return the seconds since the start."""

    def reload_script(self) -> None:
        """Read the route script again; ScriptError: it is broken, the old one still runs."""

    def shutdown(self) -> None:
        """Begin the ordered stop."""


@dataclass(frozen=True)
class Parting:
    """A value to be answered, and what to do once the answer has left."""

    value: Value
    act: Callable[[], None]


@dataclass(frozen=True)
class Later:
    """An answer that takes its time; ``begin`` calls exactly one of the two, once."""

    begin: Callable[[Callable[[Value | Rows], None], Callable[[Fault], None]], None]


Result = Value | Rows | Parting | Later


@dataclass(frozen=True)
class Views:
    """All that the verbs may look at."""

    registrations: RegistrationView
    dialogs: DialogView
    stats: StatsView
    service: ServiceView
    editor: EditorView | None = None  # None: no reg_db_url
    instances: InstancesView | None = None  # None: nothing is shared


@dataclass(frozen=True)
class Argument:
    """One argument of a verb; ``read`` turns the operator's text into the value, or ValueError."""

    name: str
    doc: str
    read: Callable[[str], Any] = str
    is_optional: bool = False

    @property
    def type_name(self) -> str:
        """Return the type for the manual page."""
        return {"str": "string", "int": "integer"}[self.read.__name__]


@dataclass(frozen=True)
class Verb:
    """One row of the table; ``columns`` are those of the list on a terminal (JSON has all)."""

    name: str
    doc: str
    function: Callable[..., Result]
    arguments: tuple[Argument, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """Return the verb with its arguments in capitals."""
        words = [self.name]
        for argument in self.arguments:
            name = argument.name.upper()
            words.append(f"[{name}]" if argument.is_optional else name)
        return " ".join(words)

    def takes(self, count: int) -> bool:
        """Tell whether so many arguments may be given."""
        needed = sum(not argument.is_optional for argument in self.arguments)
        return needed <= count <= len(self.arguments)
