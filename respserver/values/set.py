"""The set type."""
import sys

from .numbers import parse_int
from .order import Order


class Set:
    """Members in the order of their insertion; a set of nothing but integers lists them by size, as Redis does."""

    __slots__ = ("_members", "_only_ints", "_order")

    type_name = "set"

    def __init__(self, members=()):
        self._members: dict[bytes, None] = dict.fromkeys(members)
        self._only_ints = all(parse_int(member) is not None for member in self._members)
        self._order: Order | None = None                    # for scans and random picks

    def add(self, member: bytes) -> bool:
        """Adds a member. Returns whether it is new."""
        members = self._members
        if member in members:
            return False
        members[member] = None
        if self._only_ints and parse_int(member) is None:
            self._only_ints = False
        if self._order is not None:
            self._order.added(member)
        return True

    def remove(self, member: bytes) -> bool:
        """Removes a member. Returns whether it was there."""
        if member not in self._members:
            return False
        del self._members[member]
        if self._order is not None:
            self._order.removed(member)
        return True

    def members(self):
        """The members: a live view that works as a set, in no particular order."""
        return self._members.keys()

    def listed(self, max_ints: int) -> list[bytes]:
        """The members as Redis lists them; `max_ints` is set-max-intset-entries."""
        if self._only_ints and len(self._members) <= max_ints:
            return sorted(self._members, key=int)
        return list(self._members)

    def random_member(self) -> bytes:
        """A random member of a set that is not empty."""
        return self._ordered().random()

    def _ordered(self) -> Order:
        if self._order is None:
            self._order = Order(self._members)
        return self._order

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """One step of a scan: (the next cursor, members); 0 as the next cursor ends the scan."""
        return self._ordered().page(cursor, count)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member: bytes) -> bool:
        return member in self._members

    def __iter__(self):
        return iter(self._members)

    def copy(self) -> "Set":
        """A set of its own with the same members."""
        twin = Set()
        twin._members = dict(self._members)
        twin._only_ints = self._only_ints
        return twin

    def encoding(self, max_ints: int, max_members: int, max_length: int) -> str:
        """Redis's encoding of such a set: intset, listpack or hashtable; the limits are the three set-max-* directives."""
        if self._only_ints and len(self._members) <= max_ints:
            return "intset"
        if len(self._members) <= max_members and all(len(member) <= max_length for member in self._members):
            return "listpack"
        return "hashtable"

    def memory(self) -> int:
        """Bytes held, about."""
        total = sys.getsizeof(self) + sys.getsizeof(self._members) + sum(sys.getsizeof(member) for member in self._members)
        return total + (0 if self._order is None else 8 * len(self._members))
