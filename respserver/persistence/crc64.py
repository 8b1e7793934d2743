"""CRC-64 as Redis has it (Jones: polynomial 0xad93d23594c935a9, reflected, no inversion), a byte at a time.

That is slow; `use` takes a quicker one from whoever has it."""
from collections.abc import Callable

_POLYNOMIAL = 0x95AC9329AC4BC9B5        # 0xad93d23594c935a9 with its bits in the other order


def _table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _table()


def plain(data, crc: int = 0) -> int:
    """The check sum of bytes, going on from that of the bytes before them."""
    table = _TABLE
    for byte in memoryview(data).cast("B"):
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc


_function: Callable = plain


def crc64(data, crc: int = 0) -> int:
    """The check sum of bytes, going on from that of the bytes before them."""
    return _function(data, crc)


def use(function: Callable) -> None:
    """Has a function like `plain` do the work."""
    global _function
    _function = function
