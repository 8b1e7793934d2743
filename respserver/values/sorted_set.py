"""The sorted set type."""
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from .order import Order

#: A block of entries is cut in two when it has become this long.
_LONGEST = 1024


class _Last:
    """Greater than every member: (score, LAST) lies behind all entries of that score."""

    def __lt__(self, other) -> bool:
        return False

    def __gt__(self, other) -> bool:
        return True


_LAST = _Last()


class SortedSet:
    """Members with scores, ordered by score and then by the members' bytes.

    A dict gives the score of a member; the order is a list of sorted blocks of (score, member), found by bisection, so that a
    change costs a few microseconds at any size and a rank the number of blocks before it.

    Whoever stores one elsewhere needs `items()` to write it and `SortedSet(pairs)` to make it again; in commands: ZADD key score
    member ..., with scores as protocol.reply.format_double writes them."""

    __slots__ = ("_scores", "_blocks", "_ends", "_order")

    type_name = "zset"

    def __init__(self, pairs: Iterable[tuple[bytes, float]] = ()):
        self._scores: dict[bytes, float] = dict(pairs)
        self._order: Order | None = None                    # for scans and random picks
        entries = sorted((score, member) for member, score in self._scores.items())
        half = _LONGEST // 2
        self._blocks: list[list[tuple[float, bytes]]] = [entries[i:i + half] for i in range(0, len(entries), half)]
        self._ends: list[tuple[float, bytes]] = [block[-1] for block in self._blocks]

    # Members

    def score(self, member: bytes) -> float | None:
        """The score of a member, None if there is no such member."""
        return self._scores.get(member)

    def put(self, member: bytes, score: float) -> bool:
        """Gives a member a score. Returns whether it is new."""
        old = self._scores.get(member)
        if old is not None:
            if old == score:
                return False
            self._take_out((old, member))
        elif self._order is not None:
            self._order.added(member)
        self._scores[member] = score
        entry = score, member
        blocks, ends = self._blocks, self._ends
        if not blocks:
            blocks.append([entry])
            ends.append(entry)
            return old is None
        at = min(bisect_left(ends, entry), len(blocks) - 1)
        block = blocks[at]
        block.insert(bisect_left(block, entry), entry)
        if len(block) > _LONGEST:
            half = len(block) // 2
            blocks[at:at + 1] = block[:half], block[half:]
            ends[at:at + 1] = block[half - 1], block[-1]
        else:
            ends[at] = block[-1]
        return old is None

    def remove(self, member: bytes) -> bool:
        """Removes a member. Returns whether it was there."""
        score = self._scores.pop(member, None)
        if score is None:
            return False
        self._take_out((score, member))
        if self._order is not None:
            self._order.removed(member)
        return True

    def _take_out(self, entry: tuple[float, bytes]) -> None:
        at = bisect_left(self._ends, entry)
        block = self._blocks[at]
        del block[bisect_left(block, entry)]
        if block:
            self._ends[at] = block[-1]
        else:
            del self._blocks[at], self._ends[at]

    # Positions, from the lowest score on

    def rank(self, member: bytes) -> int | None:
        """The position of a member, None if there is no such member."""
        score = self._scores.get(member)
        return None if score is None else self._position((score, member))

    def _position(self, entry: tuple) -> int:
        """How many entries come before this one, which need not be there."""
        at = bisect_left(self._ends, entry)
        before = sum(map(len, self._blocks[:at]))
        return before + (bisect_left(self._blocks[at], entry) if at < len(self._blocks) else 0)

    def below(self, score: float, inclusive: bool) -> int:
        """How many members have a smaller score, or one that is not greater (`inclusive`)."""
        return self._position((score, _LAST) if inclusive else (score, b""))

    def before(self, member: bytes, inclusive: bool) -> int:
        """How many members have smaller bytes, or no greater ones (`inclusive`). Of a set in which all scores are the same."""
        bisect = bisect_right if inclusive else bisect_left
        at = bisect(self._ends, member, key=_member)
        before = sum(map(len, self._blocks[:at]))
        return before + (bisect(self._blocks[at], member, key=_member) if at < len(self._blocks) else 0)

    def slice(self, start: int, stop: int, reverse: bool = False) -> list[tuple[float, bytes]]:
        """The entries (score, member) from position `start` on and before `stop`, from the highest score down if `reverse`."""
        n = len(self._scores)
        start, stop = max(start, 0), min(stop, n)
        if reverse:
            start, stop = n - stop, n - start
        found: list = []
        for block in self._blocks:
            if stop <= 0:
                break
            if start < len(block):
                found += block[max(start, 0):stop]
            start -= len(block)
            stop -= len(block)
        if reverse:
            found.reverse()
        return found

    def items(self) -> Iterator[tuple[bytes, float]]:
        """(member, score) in order."""
        return ((member, score) for block in self._blocks for score, member in block)

    # Scans and picks

    def _ordered(self) -> Order:
        if self._order is None:
            self._order = Order(self._scores)
        return self._order

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """One step of a scan: (the next cursor, members); 0 as the next cursor ends the scan."""
        return self._ordered().page(cursor, count)

    def random_member(self) -> bytes:
        """A random member of a set that is not empty."""
        return self._ordered().random()

    def members(self):
        """The members: a live view, in no particular order."""
        return self._scores.keys()

    def __len__(self) -> int:
        return len(self._scores)

    def __contains__(self, member: bytes) -> bool:
        return member in self._scores

    def copy(self) -> "SortedSet":
        """A sorted set of its own with the same content."""
        return SortedSet(self._scores)

    def encoding(self, max_members: int, max_length: int) -> str:
        """Redis's encoding of such a sorted set; the limits are the two zset-max-listpack-* directives."""
        small = len(self._scores) <= max_members and all(len(member) <= max_length for member in self._scores)
        return "listpack" if small else "skiplist"

    def memory(self) -> int:
        """Bytes held, about."""
        n = len(self._scores)
        total = sys.getsizeof(self) + sys.getsizeof(self._scores) + sum(sys.getsizeof(member) for member in self._scores)
        return total + n * (24 + 56 + 8) + (0 if self._order is None else 8 * n)


def _member(entry: tuple[float, bytes]) -> bytes:
    return entry[1]
