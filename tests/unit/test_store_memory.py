"""The store that ends with the process: what the common contract cannot show."""

from __future__ import annotations

from uacproxy.store.memory import MemoryStore


def test_expired_keys_leave_memory_while_others_are_written() -> None:
    now = 1000.0
    store = MemoryStore(lambda: now)
    for number in range(1000):
        store.put("dialog", b"old %d" % number, b"value", 1010.0)
    now = 1020.0
    for number in range(1000):
        store.put("dialog", b"new %d" % number, b"value", 1090.0)
    assert len(store) == 1000


def test_a_living_key_outlasts_every_sweep() -> None:
    store = MemoryStore(lambda: 1000.0)
    store.put("dialog", b"kept", b"value", 1010.0)
    for number in range(1000):
        store.put("dialog", b"%d" % number, b"value", 999.0)
    found: list[bytes | None] = []
    store.get("dialog", b"kept", found.append)
    assert found == [b"value"]
