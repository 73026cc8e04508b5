"""What an operator asks of one account: enabled, disabled, registered, unregistered.

A wish for an account that another instance registers is left for that one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from uacproxy.uac.account_index import AccountIndex
from uacproxy.uac.registration import Registration
from uacproxy.uac.registration_shards import RegistrationShards
from uacproxy.uac.registration_states import RegistrationState


@final
class OperatorWishes:
    """The four verbs.

    Args:
        index: of the accounts.
        disabled: l_uuids of those an operator has disabled; kept here.
        shards: of several instances; None: there is one.
        remember: writes to the store how an account stands.
    """

    def __init__(
        self,
        index: AccountIndex,
        disabled: set[str],
        shards: RegistrationShards | None,
        remember: Callable[[Registration], None],
    ) -> None:
        self._index = index
        self._disabled = disabled
        self._shards = shards
        self._remember = remember

    def enable(self, attr: str, value: str) -> bool:
        """Undo ``disable``.

        Returns:
            False, here and below: no account has this ``attr``.

        Raises:
            KeyError: here and below: no such attribute.
        """
        registration = self._index.first(attr, value)
        if registration is None:
            return False
        if not self._is_elsewhere(registration, "enable"):
            self._disabled.discard(registration.account.l_uuid)
            registration.enable()
            self._remember_wish(registration)
        return True

    def disable(self, attr: str, value: str) -> bool:
        """Stop registering an account; its binding is taken back."""
        registration = self._index.first(attr, value)
        if registration is None:
            return False
        if not self._is_elsewhere(registration, "disable"):
            self._disabled.add(registration.account.l_uuid)
            registration.disable()
            self._remember_wish(registration)
        return True

    def register(self, attr: str, value: str) -> bool:
        """Send a REGISTER at once, whatever is due, and even to a disabled account's registrar."""
        registration = self._index.first(attr, value)
        if registration is None:
            return False
        if not self._is_elsewhere(registration, "register"):
            self._disabled.discard(registration.account.l_uuid)
            registration.register()
        return True

    def unregister(self, attr: str, value: str) -> bool:
        """Take an account's binding back; it rests until it is registered or enabled again."""
        registration = self._index.first(attr, value)
        if registration is None:
            return False
        if not self._is_elsewhere(registration, "unregister"):
            registration.unregister()
        return True

    def ask(self, l_uuid: str, what: str) -> None:
        """Do what an operator asked another instance for; see ``RegistrationShards``."""
        act = {
            "enable": self.enable,
            "disable": self.disable,
            "register": self.register,
            "unregister": self.unregister,
        }.get(what)
        if act is not None:
            act("l_uuid", l_uuid)

    def _remember_wish(self, registration: Registration) -> None:
        """Write at once what other instances have to know; what is under way writes at its end."""
        if self._shards is not None and not registration.in_flight:
            self._remember(registration)

    def _is_elsewhere(self, registration: Registration, what: str) -> bool:
        """Hand what an operator asks for to the instance that registers the account."""
        if self._shards is None or registration.state is not RegistrationState.ELSEWHERE:
            return False
        self._shards.ask_owner(registration.account.l_uuid, what)
        return True
