"""SIP as octets: grammar, values, messages, framing (RFC 3261 7, 19, 20, 25)."""
