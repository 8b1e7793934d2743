"""The list type."""
import sys
from collections import deque
from itertools import islice

#: Longest list that is kept as a Python list; longer ones become a deque, where both ends are cheap but a small one is large.
_SHORT = 256


class List:
    """Elements from left (0) to right. Positions may be negative where Redis allows it; they count from the right."""

    __slots__ = ("_items",)

    type_name = "list"

    def __init__(self, items=()):
        self._items: list | deque = list(items)
        self._fit()

    def _fit(self) -> None:
        if len(self._items) > _SHORT and type(self._items) is list:
            self._items = deque(self._items)

    def push_left(self, items) -> None:
        """Puts each item before the first element: the last one given ends up first."""
        current = self._items
        if type(current) is deque:
            current.extendleft(items)
        else:
            current[:0] = items[::-1]
            self._fit()

    def push_right(self, items) -> None:
        """Puts each item behind the last element."""
        self._items.extend(items)
        self._fit()

    def pop_left(self) -> bytes:
        """Takes the first element of a list that is not empty."""
        items = self._items
        return items.popleft() if type(items) is deque else items.pop(0)

    def pop_right(self) -> bytes:
        """Takes the last element of a list that is not empty."""
        return self._items.pop()

    def at(self, position: int) -> bytes | None:
        """The element at a position, or None."""
        try:
            return self._items[position]
        except IndexError:
            return None

    def replace(self, position: int, item: bytes) -> bool:
        """Replaces an element. Returns whether there is one at the position."""
        try:
            self._items[position] = item
        except IndexError:
            return False
        return True

    def range(self, start: int, end: int) -> list[bytes]:
        """The elements from start (inclusive) to end (exclusive); 0 <= start, end <= len."""
        items = self._items
        if type(items) is list:
            return items[start:end]
        n = len(items)
        if start <= n - end:
            return list(islice(items, start, end))
        found = list(islice(reversed(items), n - end, n - start))
        found.reverse()
        return found

    def trim(self, start: int, end: int) -> None:
        """Keeps the elements from start (inclusive) to end (exclusive) only; 0 <= start < end <= len."""
        items = self._items
        if type(items) is list:
            del items[end:]
            del items[:start]
        elif end - start < start + len(items) - end:
            self._items = deque(self.range(start, end))
        else:
            for _ in range(len(items) - end):
                items.pop()
            for _ in range(start):
                items.popleft()

    def find(self, item: bytes) -> int:
        """The first position of an item, or -1."""
        try:
            return self._items.index(item)
        except ValueError:
            return -1

    def positions(self, item: bytes, *, backwards: bool = False, max_compared: int = 0):
        """Yields every position of an item, from one end to the other; looks at `max_compared` elements at most (0: all)."""
        n = len(self._items)
        limit = min(max_compared, n) if max_compared else n
        if backwards:
            for i, candidate in enumerate(islice(reversed(self._items), limit)):
                if candidate == item:
                    yield n - 1 - i
        else:
            for i, candidate in enumerate(islice(self._items, limit)):
                if candidate == item:
                    yield i

    def insert(self, position: int, item: bytes) -> None:
        """Puts an item before the element at a position from 0 to len."""
        self._items.insert(position, item)
        self._fit()

    def remove(self, item: bytes, count: int) -> int:
        """Takes out equal elements: all (0), the first `count` from the left, or from the right if it is negative.
        Returns how many."""
        if count == 0:
            kept = [each for each in self._items if each != item]
        else:
            left = abs(count)
            kept = []
            for each in self._items if count > 0 else reversed(self._items):
                if left and each == item:
                    left -= 1
                else:
                    kept.append(each)
            if count < 0:
                kept.reverse()
        n_removed = len(self._items) - len(kept)
        if n_removed:
            self._items = kept
            self._fit()
        return n_removed

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self):
        return iter(self._items)

    def copy(self) -> "List":
        """A list of its own with the same elements."""
        return List(self._items)

    def is_small(self, limit: int) -> bool:
        """Whether Redis would keep this list as one listpack; `limit` is list-max-listpack-size: elements, or -1 to -5
        for 4 to 64 kB."""
        if limit >= 0 and len(self._items) > max(limit, 1):
            return False
        most = 8192 if limit >= 0 else 4096 << (min(-limit, 5) - 1)
        if len(self._items) > most:
            return False
        total = 7
        for item in self._items:
            size = len(item)
            total += size + (2 if size < 64 else 4 if size < 4096 else 10)
            if total > most:
                return False
        return True

    def memory(self) -> int:
        """Bytes held, about."""
        return sys.getsizeof(self) + sys.getsizeof(self._items) + sum(sys.getsizeof(item) for item in self._items)
