"""Sockets: UDP and TCP flows (RFC 3261 18, RFC 3581)."""
