"""Tell twistd that ``twistd uacproxy`` exists."""

from twisted.application.service import ServiceMaker

uacproxy = ServiceMaker(
    "uacproxy",
    "uacproxy.service",
    "A SIP proxy that replaces identities, answers challenges and keeps trunks registered.",
    "uacproxy",
)
