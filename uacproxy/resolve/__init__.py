"""From a URI to addresses: RFC 3263."""
