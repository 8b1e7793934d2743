"""Glob patterns as Redis understands them: * ? [abc] [a-z] [^a] and \\ to escape. Bytes against bytes."""
import re
from collections.abc import Callable
from functools import lru_cache

#: Redis gives up on patterns with more stars (but two in a row count as one).
_MAX_STARS = 1000
_EVERYTHING = re.compile(rb"", re.DOTALL)


def _segments(pattern: bytes, ignore_case: bool):
    """The pattern cut at its stars: a list of compiled pieces of fixed length, with the length of each.

    A piece has no repetition, so matching it costs its own length; the pieces between stars are found leftmost-first, which is
    right because a star takes anything. No pattern can cost more than length of text times length of pattern."""
    pieces, current, size = [], [], 0
    i, n = 0, len(pattern)
    while i < n:
        c = pattern[i:i + 1]
        i += 1
        if c == b"*":
            pieces.append((b"".join(current), size))
            current, size = [], 0
            while pattern[i:i + 1] == b"*":
                i += 1
            continue
        size += 1
        if c == b"?":
            current.append(b".")
        elif c == b"[":
            piece, i = _char_class(pattern, i)
            current.append(piece)
        else:
            if c == b"\\" and i < n:
                c = pattern[i:i + 1]
                i += 1
            current.append(re.escape(c))
    pieces.append((b"".join(current), size))
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return [(re.compile(text, flags) if text else _EVERYTHING, size) for text, size in pieces]


def _char_class(pattern: bytes, i: int) -> tuple[bytes, int]:
    """One [...] as a regular expression of one byte, and where the pattern goes on. `i` is behind the opening bracket."""
    n = len(pattern)
    negate = pattern[i:i + 1] == b"^"
    if negate:
        i += 1
    members = bytearray(256)
    while i < n:
        if pattern[i] == 0x5C and i + 1 < n:                       # backslash
            members[pattern[i + 1]] = 1
            i += 2
        elif pattern[i] == 0x5D:                                    # closing bracket
            i += 1
            break
        elif i + 2 < n and pattern[i + 1] == 0x2D:                  # a-z
            low, high = sorted((pattern[i], pattern[i + 2]))
            members[low:high + 1] = b"\x01" * (high + 1 - low)
            i += 3
        else:
            members[pattern[i]] = 1
            i += 1
    found = b"".join(b"\\x%02x" % byte for byte in range(256) if members[byte])
    if not found:
        return (rb"[\x00-\xff]" if negate else rb"[^\x00-\xff]"), i
    return b"[%b%b]" % (b"^" if negate else b"", found), i


@lru_cache(maxsize=512)
def matcher(pattern: bytes, ignore_case: bool = False) -> Callable[[bytes], bool]:
    """A function that tells whether bytes match the whole pattern."""
    if pattern == b"*":
        return lambda text: True
    pieces = _segments(pattern, ignore_case)
    if len(pieces) > _MAX_STARS + 1:
        return lambda text: False
    first, first_size = pieces[0]
    if len(pieces) == 1:
        return lambda text: len(text) == first_size and first.match(text) is not None
    last, last_size = pieces[-1]
    middle = [piece for piece, size in pieces[1:-1] if size]

    def matches(text: bytes) -> bool:
        end = len(text) - last_size
        if end < first_size or first.match(text) is None or last.match(text, end) is None:
            return False
        position = first_size
        for piece in middle:
            found = piece.search(text, position, end)
            if found is None:
                return False
            position = found.end()
        return True
    return matches
