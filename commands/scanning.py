"""What SCAN, HSCAN and SSCAN share: their options, and random picks."""
import random
from collections.abc import Callable

from respserver.glob import matcher
from respserver.protocol.errors import OUT_OF_RANGE, CommandError

from .arguments import syntax_error, to_int

#: Longest reply that a negative count may ask of HRANDFIELD and SRANDMEMBER. Redis would go on until its output buffer limit.
MAX_REPEATED = 1 << 25


class ScanOptions:
    """MATCH pattern, COUNT n, and TYPE name or NOVALUES where the command knows them."""

    __slots__ = ("match", "count", "type", "no_values")

    def __init__(self, words, *, know_type: bool = False, no_values_error: str | None = None):
        """`no_values_error`: the text for NOVALUES where it has no meaning; None: this command knows it."""
        self.match: Callable[[bytes], bool] | None = None
        self.count = 10
        self.type: bytes | None = None
        self.no_values = False
        i = 0
        while i < len(words):
            word = words[i].upper()
            if word == b"NOVALUES":
                if no_values_error:
                    raise CommandError(no_values_error)
                self.no_values = True
                i += 1
                continue
            if i + 1 >= len(words):
                raise syntax_error()
            operand = words[i + 1]
            if word == b"COUNT":
                self.count = to_int(operand)
                if self.count < 1:
                    raise syntax_error()
            elif word == b"MATCH":
                self.match = None if operand == b"*" else matcher(operand)
            elif word == b"TYPE" and know_type:
                self.type = operand
            else:
                raise syntax_error()
            i += 2


def cursor_reply(cursor: int, found: list) -> list:
    """The reply of the scan commands."""
    return [b"%d" % cursor, found]


def random_picks(keys, pick: Callable[[], bytes], count: int) -> list:
    """For HRANDFIELD and SRANDMEMBER: `count` different ones of `keys` (all, if they are fewer), or -count with repetitions.
    `keys` can be listed and has a length; `pick` returns one of them at random."""
    if count < 0:
        if -count > MAX_REPEATED:
            raise CommandError(OUT_OF_RANGE)
        return [pick() for _ in range(-count)]
    if count >= len(keys):
        return list(keys)
    if 3 * count > len(keys):
        return random.sample(list(keys), count)
    picked: dict = {}
    while len(picked) < count:
        picked[pick()] = None
    return list(picked)
