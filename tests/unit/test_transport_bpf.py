"""What the assembler of packet filters refuses, before the kernel would without a word."""

from __future__ import annotations

import pytest

from uacproxy.errors import OwnMistake
from uacproxy.transport.bpf import MOST, Assembler


def test_a_jump_is_written_as_the_number_of_instructions_it_passes_over() -> None:
    program = Assembler()
    program.when("A == k", 0x53495020, then="far", otherwise="near")
    program.go("far")
    program.label("near")
    program.do("return k", 1)
    program.label("far")
    program.do("return A")
    assert program.octets() == (
        b"\x15\x00\x02\x01\x20\x50\x49\x53"
        b"\x05\x00\x00\x00\x01\x00\x00\x00"
        b"\x06\x00\x00\x00\x01\x00\x00\x00"
        b"\x16\x00\x00\x00\x00\x00\x00\x00"
    )


@pytest.mark.parametrize(("passed", "is_taken"), [(255, True), (256, False)])
def test_a_conditional_jump_is_short(passed: int, is_taken: bool) -> None:
    program = Assembler()
    program.when("A > k", 32, then="there")
    for _ in range(passed):
        program.do("X = A")
    program.label("there")
    program.do("return A")
    if is_taken:
        assert program.octets()
    else:
        with pytest.raises(OwnMistake, match="there is 256 instructions away"):
            program.octets()


def test_no_jump_leads_back_or_nowhere_and_no_name_is_given_twice() -> None:
    program = Assembler()
    program.label("here")
    program.go("here")
    with pytest.raises(OwnMistake, match="here does not follow"):
        program.octets()
    with pytest.raises(OwnMistake, match="two labels here"):
        program.label("here")


@pytest.mark.parametrize("length", [0, MOST + 1])
def test_a_program_has_as_many_instructions_as_the_kernel_takes(length: int) -> None:
    program = Assembler()
    for _ in range(length):
        program.do("return A")
    with pytest.raises(OwnMistake, match=f"{length} instructions"):
        program.octets()
