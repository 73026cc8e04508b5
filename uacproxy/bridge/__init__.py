"""Calls as a back-to-back user agent: two dialogs, one with each side (RFC 3261 6, RFC 7092)."""
