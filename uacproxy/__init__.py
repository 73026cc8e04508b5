"""A SIP proxy that replaces identities, answers challenges and keeps trunks registered."""

__version__ = "0.1.0"
