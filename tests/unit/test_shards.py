"""Which account falls into which shard, and which shard to whom."""

from __future__ import annotations

from collections import Counter

from uacproxy.uac.shards import member_name, pick_member, shard_of

MEMBERS = ["one#1a", "two#2b", "three#3c"]


def test_an_account_falls_into_the_same_shard_at_every_instance_and_after_every_start() -> None:
    assert [shard_of(f"trunk{n}", 64) for n in range(4)] == [50, 12, 16, 1]


def test_accounts_fall_evenly_over_the_shards() -> None:
    fallen = Counter(shard_of(f"u{n}", 64) for n in range(64_000))
    assert len(fallen) == 64
    assert min(fallen.values()) > 800 and max(fallen.values()) < 1200


def test_shards_fall_evenly_to_the_members() -> None:
    fallen = Counter(pick_member(shard, MEMBERS) for shard in range(1024))
    assert min(fallen[member] for member in MEMBERS) > 280


def test_only_the_shards_of_one_who_goes_move() -> None:
    for shard in range(64):
        before = pick_member(shard, MEMBERS)
        after = pick_member(shard, MEMBERS[:2])
        assert after == before or before == MEMBERS[2]


def test_one_that_starts_anew_gets_the_shards_it_had() -> None:
    again = ["one#ff", *MEMBERS[1:]]
    for shard in range(64):
        before = pick_member(shard, MEMBERS)
        assert member_name(pick_member(shard, again)) == member_name(before)


def test_the_order_in_which_members_are_named_does_not_matter() -> None:
    for shard in range(64):
        assert pick_member(shard, MEMBERS) == pick_member(shard, MEMBERS[::-1])


def test_two_that_are_called_alike_do_not_get_the_same_shard() -> None:
    assert {pick_member(shard, ["one#2", "one#1"]) for shard in range(64)} == {"one#1"}


def test_where_there_is_nobody_nobody_gets_a_shard() -> None:
    assert pick_member(0, []) == ""


def test_the_name_of_an_instance_may_hold_what_ends_it() -> None:
    assert member_name("a#b:5060#1f") == "a#b:5060"
