"""Stable positions over a dict's keys, for SCAN and for random picks.

A dict keeps insertion order but has no positions. `Order` is a list of its keys beside it, made when it is first needed; from
then on the owner of the dict tells it of every key that comes or goes. Entries of keys that are gone stay until they are about
as many as the rest; then the list is made anew from the dict.

A scan walks the list from its end to its front, and its cursor is the number of entries that are still to come. That makes the
cursor free of state: new keys are appended behind what was visited, and making the list anew only ever moves an entry towards the
front, so a key that was still to come still comes. At worst a key is returned twice, which SCAN allows.
"""
import random


class Order:
    """The keys of one dict in a list. O(n) to make, then O(1) per key, amortized."""

    __slots__ = ("_mapping", "_keys", "_moved")

    def __init__(self, mapping: dict):
        self._mapping = mapping
        self._keys: list = list(mapping)
        self._moved: dict = {}          # keys that have gone: -1, or the position of their newest entry if they have come back

    def _renew(self) -> None:
        self._keys = list(self._mapping)
        self._moved = {}

    def added(self, key) -> None:
        """To be called after a key was put into the dict that was not there."""
        keys = self._keys
        if len(keys) > 2 * len(self._mapping) + 64:
            self._renew()
            return
        if self._moved and key in self._moved:
            self._moved[key] = len(keys)
        keys.append(key)

    def removed(self, key) -> None:
        """To be called after a key was taken out of the dict."""
        self._moved[key] = -1
        if len(self._moved) > len(self._mapping) + 64:
            self._renew()

    def page(self, cursor: int, count: int) -> tuple[int, list]:
        """One step of a scan: (the next cursor, keys). Looks at `count` entries; 0 as the next cursor ends the scan."""
        keys = self._keys
        end = len(keys) if cursor == 0 or cursor > len(keys) else cursor
        start = max(0, end - count)
        found = keys[start:end]
        moved = self._moved
        if moved:
            found = [key for i, key in enumerate(found, start) if moved.get(key, i) == i]
        return start, found

    def random(self):
        """A random key of a dict that is not empty."""
        if len(self._keys) > 2 * len(self._mapping) + 64:
            self._renew()
        keys, moved = self._keys, self._moved
        for _ in range(100):
            i = int(random.random() * len(keys))
            key = keys[i]
            if not moved or moved.get(key, i) == i:
                return key
        self._renew()                   # a tiny dict, and nearly all entries are of keys that are gone
        return random.choice(self._keys)
