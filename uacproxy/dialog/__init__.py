"""Dialogs as a proxy sees them: RFC 3261 12."""
