"""The BPF program decides as the rules say: it is run here, step by step."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.primitives.cgroups.device_rules import DEFAULTS, DeviceRule, program

ACCESS = {"m": 1, "r": 2, "w": 4}
KIND = {"b": 1, "c": 2}
EXIT, JUMPS = b"\x95", (b"\x56", b"\x16")


def run(code: bytes, kind: str, access: str, major: int, minor: int) -> int:
    """Return what a program answers: a small machine for the instructions it uses."""
    context = struct.pack(
        "<III", KIND[kind] | sum(ACCESS[a] for a in access) << 16, major, minor
    )
    register = [0] * 11
    at = 0
    while True:
        operation, registers, jump, value = struct.unpack_from("<BBhi", code, 8 * at)
        target, source = registers & 15, registers >> 4
        at += 1
        if operation == 0x61:
            register[target] = struct.unpack_from("<I", context, jump)[0]
        elif operation == 0x54:
            register[target] &= value & 0xFFFFFFFF
        elif operation == 0x74:
            register[target] >>= value
        elif operation == 0x56:
            at += jump if register[target] != value else 0
        elif operation == 0x16:
            at += jump if register[target] == value else 0
        elif operation == 0xB4:
            register[target] = value
        elif operation == 0xBC:
            register[target] = register[source]
        elif operation == 0x95:
            return register[0]
        else:
            raise AssertionError(f"unknown instruction {operation:#x}")


def decided(
    rules: tuple[DeviceRule, ...], kind: str, access: str, *numbers: int
) -> int:
    """Return what the rules say: the last one that fits counts."""
    for rule in reversed(rules):
        about = (
            rule.kind in ("a", kind)
            and rule.major in (None, numbers[0])
            and rule.minor in (None, numbers[1])
        )
        named, asked = set(rule.access), set(access)
        if about and (asked <= named if rule.allow else asked & named):
            return int(rule.allow)
    return 0


NUMBERS = st.integers(0, 3)
RULES = st.builds(
    DeviceRule,
    st.booleans(),
    st.sampled_from("abc"),
    st.none() | NUMBERS,
    st.none() | NUMBERS,
    st.sampled_from(["r", "w", "m", "rw", "rm", "rwm"]),
)


@settings(deadline=None)  # other tests may be running
@given(
    st.lists(RULES, max_size=5).map(tuple),
    st.sampled_from("bc"),
    st.sampled_from(["r", "w", "m", "rw"]),
    NUMBERS,
    NUMBERS,
)
def test_the_program_and_the_rules_agree(
    rules: tuple[DeviceRule, ...], kind: str, access: str, major: int, minor: int
) -> None:
    answer = run(program(rules), kind, access, major, minor)
    assert answer == decided(rules, kind, access, major, minor)


def test_by_default_the_usual_devices_work_and_disks_do_not() -> None:
    code = program((DeviceRule(allow=False), *DEFAULTS))
    assert run(code, "c", "rw", 1, 3)
    assert run(code, "c", "rw", 136, 7)
    assert run(code, "b", "m", 8, 0)
    assert not run(code, "b", "r", 8, 0)
    assert not run(code, "c", "r", 1, 11)


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        (DeviceRule(False), ("a",)),
        (DeviceRule(True, "c", 1, 3), ("c 1:3 rwm",)),
        (DeviceRule(True, "b", None, None, "m"), ("b *:* m",)),
        (DeviceRule(True, access="r"), ("b *:* r", "c *:* r")),
    ],
)
def test_a_rule_is_a_line_of_v1(rule: DeviceRule, lines: tuple[str, ...]) -> None:
    assert rule.lines == lines


@settings(deadline=None)  # other tests may be running
@given(st.lists(RULES, max_size=5).map(tuple))
def test_no_part_of_a_program_is_out_of_reach(rules: tuple[DeviceRule, ...]) -> None:
    code = program(rules)
    operations = [code[at : at + 1] for at in range(0, len(code), 8)]
    ends = [at for at, one in enumerate(operations) if one == EXIT]
    jumped = {
        at + 1 + struct.unpack_from("<h", code, 8 * at + 2)[0]
        for at, one in enumerate(operations)
        if one in JUMPS
    }
    assert all(at + 1 in jumped for at in ends[:-1])
