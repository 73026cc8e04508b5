"""The program ``uacctl``: ``manage.ctl``, and the way into a database without a service."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, final

from twisted.internet.defer import Deferred, execute

from uacproxy.accounts.editor import AccountEditor
from uacproxy.config.ini import ConfigErrors, read_config
from uacproxy.errors import UacproxyError
from uacproxy.manage import ctl
from uacproxy.manage.account_command import Ask, WrongUsage
from uacproxy.manage.operations import Operations
from uacproxy.manage.verb import Later, Views


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``uacctl``; return its exit status."""
    return ctl.main(argv, open_database)


def open_database(path: str) -> Ask:
    """Return what asks the database that an ini file names, in this process.

    Raises:
        WrongUsage: no such file, or it names no database.
    """
    try:
        config = read_config(path)
    except ConfigErrors as found:
        if found.config is None:
            raise WrongUsage("\n".join(str(error) for error in found.errors)) from None
        config = found.config
    uac = config.resolved().uac
    if not uac.reg_db_url:
        raise WrongUsage(f"{path}: [uac] reg_db_url is empty or wrong")
    try:
        editor = AccountEditor(uac.reg_db_url, uac.reg_db_table, run_in_thread=execute)
    except UacproxyError as error:
        raise WrongUsage(f"{path}: {error}") from None
    views: Any = _NoService()
    operations = Operations(Views(views, views, views, views, editor))

    async def ask(verb: str, arguments: Sequence[str]) -> Any:
        result = operations.call(verb, arguments)
        assert isinstance(result, Later)  # all of ``account_verbs`` are
        answer: Deferred[Any] = Deferred()
        result.begin(answer.callback, answer.errback)
        value = await answer
        return list(value) if isinstance(value, Iterator) else value

    return ask


@final
class _NoService:
    """Stands for the service that does not run: nobody takes up what was written."""

    def refresh(
        self, _l_uuid: str, then: Callable[[bool], None], _failed: Callable[[Any], None]
    ) -> None:
        then(True)

    def catch_up(self) -> None:
        """Read nothing."""

    def remove(self, _l_uuid: str) -> bool:
        return True


if __name__ == "__main__":
    sys.exit(main())
