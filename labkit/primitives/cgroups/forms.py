"""Forms: a value as text in a cgroup's files, and back, for both versions. Chapter 03.

    BYTES.v2.encode("256M")     ("268435456",)
    BYTES.v2.decode("max")      None

One text for each file, because v1 spreads over two files what v2 writes in one. The
functions are pure: nothing here asks Linux.

Reading order: Form, Forms, what limits look like, what counters look like.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from labkit.errors import DocumentError
from labkit.primitives.cgroups.amounts import bytes_of, count_of, cpus_of
from labkit.primitives.cgroups.io_limit import IoLimit

Value = int | float | bool | None | tuple[IoLimit, ...]
"""What is read: bytes, CPUs, a count; None means that there is no limit."""

PERIOD_US = 100_000  # what Linux starts with: cpu.max is "max 100000"
MOST_PIDS = 4 * 1024 * 1024  # include/linux/threads.h, PID_MAX_LIMIT
MOST_WEIGHT = 10_000  # cgroup-v2.rst, "cpu.weight"
_SHARES_OF_WEIGHT = 1024 / 100  # what both versions start with
_V1_HAS_NO_LIMIT = 1 << 62  # v1 has no word for none: it shows a number above this


class Form(NamedTuple):
    """How a value is written: `encode` gives one text a file, `decode` takes them."""

    encode: Callable[[object], tuple[str, ...]]
    decode: Callable[..., Value]


class Forms(NamedTuple):
    """A form for each version of cgroups."""

    v2: Form
    v1: Form


def _or_max(size: object) -> tuple[str, ...]:
    return ("max" if size is None else str(bytes_of(size)),)


def _none_if_max(text: str) -> int | None:
    return None if text == "max" else int(text)


def _or_minus_one(size: object) -> tuple[str, ...]:
    return ("-1" if size is None else str(bytes_of(size)),)


def _none_if_huge(text: str) -> int | None:
    return None if int(text) >= _V1_HAS_NO_LIMIT else int(text)


def _none_or_all(size: object) -> tuple[str, ...]:
    if size is not None and bytes_of(size) != 0:
        raise DocumentError(
            f"swap={size!r}: cgroup v1 can't limit swap by itself",
            "give swap=0 for none, or None for as much as there is",
            "cgroups(7)",
            meaning="memory.memsw.limit_in_bytes counts memory and swap together",
        )
    return ("60" if size is None else "0",)  # 60: what Linux starts with


def _zero_or_none(text: str) -> int | None:
    return 0 if text == "0" else None


def _quota_us(cpus: object) -> int:
    return round(cpus_of(cpus) * PERIOD_US)


def _quota_and_period(cpus: object) -> tuple[str, ...]:
    return (f"{'max' if cpus is None else _quota_us(cpus)} {PERIOD_US}",)


def _cpus(text: str) -> float | None:
    quota, period = text.split()
    return None if quota == "max" else int(quota) / int(period)


def _period_quota(cpus: object) -> tuple[str, ...]:
    return str(PERIOD_US), "-1" if cpus is None else str(_quota_us(cpus))


def _cpus_of_two(period: str, quota: str) -> float | None:
    return None if int(quota) < 0 else int(quota) / int(period)


def _weight(weight: object) -> tuple[str, ...]:
    return (str(100 if weight is None else count_of(weight, 1, MOST_WEIGHT)),)


def _shares(weight: object) -> tuple[str, ...]:
    return (str(round(int(_weight(weight)[0]) * _SHARES_OF_WEIGHT)),)


def _weight_of_shares(text: str) -> int:
    return round(int(text) / _SHARES_OF_WEIGHT)


def _pids_or_max(count: object) -> tuple[str, ...]:
    return ("max" if count is None else str(count_of(count, 0, MOST_PIDS)),)


def _io_limit(limit: object) -> IoLimit:
    if isinstance(limit, IoLimit):
        return limit
    raise DocumentError(
        f"io={limit!r} is no limit of a disk",
        'IoLimit.on("/var/lib/labkit", write="8M"); without numbers it lifts the limit',
        meaning="an I/O limit needs a disk: the one that a path lies on",
    )


def _io_max(limit: object) -> tuple[str, ...]:
    io = _io_limit(limit)
    rbps, wbps = ("max" if n is None else n for n in (io.read, io.write))
    return (f"{io.device} rbps={rbps} wbps={wbps}",)


def _of_io_max(text: str) -> tuple[IoLimit, ...]:
    rows = (row.split() for row in text.splitlines())
    words = ((row[0], dict(word.split("=") for word in row[1:])) for row in rows)
    return tuple(
        IoLimit(device, _none_if_max(word["rbps"]), _none_if_max(word["wbps"]))
        for device, word in words
    )


def _two_rates(limit: object) -> tuple[str, ...]:
    io = _io_limit(limit)
    return f"{io.device} {io.read or 0}", f"{io.device} {io.write or 0}"  # 0 lifts it


def _of_two_rates(read: str, write: str) -> tuple[IoLimit, ...]:
    reads, writes = (
        {device: int(rate) for device, rate in map(str.split, text.splitlines())}
        for text in (read, write)
    )
    devices = dict.fromkeys((*reads, *writes))
    return tuple(IoLimit(one, reads.get(one), writes.get(one)) for one in devices)


def _is_one(text: str) -> bool:
    return text == "1"


def _is_frozen(text: str) -> bool:
    return text == "FROZEN"


def _one_or_zero(on: object) -> tuple[str, ...]:
    return ("1" if on else "0",)


def _state(on: object) -> tuple[str, ...]:
    return ("FROZEN" if on else "THAWED",)


def _after(word: str, divisor: int = 1) -> Callable[[str], int]:
    # The number behind a word, "oom_kill 1"; summed where there is one for each disk.
    def decode(text: str) -> int:
        found = text.replace("=", " ").split()
        pairs = zip(found, found[1:], strict=False)
        return sum(int(number) for name, number in pairs if name == word) // divisor

    return decode


def _us_of_ns(text: str) -> int:
    return int(text) // 1000


def _is_one_after_frozen(text: str) -> bool:
    return "frozen 1" in text.splitlines()


def _never(value: object) -> tuple[str, ...]:
    raise DocumentError(
        f"{value!r}: Linux counts here, and nobody else",
        "read it; limit() sets what can be set",
        meaning="this file is only read",
    )


def _both(
    encode_v2: Callable[[object], tuple[str, ...]],
    decode_v2: Callable[..., Value],
    encode_v1: Callable[[object], tuple[str, ...]],
    decode_v1: Callable[..., Value],
) -> Forms:
    return Forms(Form(encode_v2, decode_v2), Form(encode_v1, decode_v1))


def _read(decode_v2: Callable[..., Value], decode_v1: Callable[..., Value]) -> Forms:
    return _both(_never, decode_v2, _never, decode_v1)


# fmt: off
#                 v2 written         and read           v1 written     and read
BYTES    = _both(_or_max,           _none_if_max,      _or_minus_one, _none_if_huge)
SWAP     = _both(_or_max,           _none_if_max,      _none_or_all,  _zero_or_none)
CPUS     = _both(_quota_and_period, _cpus,             _period_quota, _cpus_of_two)
SHARE    = _both(_weight,           int,               _shares,       _weight_of_shares)
PIDS     = _both(_pids_or_max,      _none_if_max,      _pids_or_max,  _none_if_max)
DISK     = _both(_io_max,           _of_io_max,        _two_rates,    _of_two_rates)
SWITCH   = _both(_one_or_zero,      _is_one,           _state,        _is_frozen)

COUNT    = _read(int,                                  int)
BUSY     = _read(_after("usage_usec"),                 _us_of_ns)
OOM      = _read(_after("oom_kill"),                   _after("oom_kill"))
SLOTS    = _read(_after("nr_periods"),                 _after("nr_periods"))
HELD     = _read(_after("nr_throttled"),               _after("nr_throttled"))
DELAY    = _read(_after("throttled_usec"),             _after("throttled_time", 1000))
FULL     = _read(_after("max"),                        _after("max"))
READ     = _read(_after("rbytes"),                     _after("Read"))
WROTE    = _read(_after("wbytes"),                     _after("Write"))
STILL    = _read(_is_one_after_frozen,                 _is_frozen)
# fmt: on
