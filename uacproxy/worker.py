"""``python -m uacproxy.worker``: one of several workers, as ``workers.process`` starts it.

Its words are the number of a descriptor with what it is born with, and, for whoever looks at
the list of processes, which of how many it is.
"""

# mypy: untyped-calls-exclude="twisted"

from __future__ import annotations

import sys
from typing import Any

from twisted.logger import globalLogBeginner, textFileLogObserver

from uacproxy.service import UacproxyService
from uacproxy.workers.inheritance import read_inheritance, take_place


def main(words: list[str]) -> None:
    """Work until told to stop."""
    inheritance = read_inheritance(int(words[0]))
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
    from twisted.internet import reactor as installed  # imported late: it installs itself

    reactor: Any = installed
    service = UacproxyService(inheritance.config, take_place(inheritance))
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    main(sys.argv[1:])
