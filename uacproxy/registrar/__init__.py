"""Local users: their bindings and their digest (RFC 3261 10 and 22)."""
