"""Stable positions over a dict's keys, for SCAN and for random picks.

A dict keeps insertion order but has no positions. The owner of a dict keeps a list of its keys beside it, made when it is first
needed by `ordered`, and appends each key that is new while the list exists. Deleted keys stay in the list until more than half of
it is stale; then the owner drops the list, and it is made anew from the dict.

SCAN walks the list from its end to its front, and its cursor is the number of entries that are still to come. That makes the
cursor free of state: new keys are appended behind what was visited, and dropping stale entries only ever moves an entry towards
the front, so a key that was still to come still comes. At worst a key is returned twice, which SCAN allows.
"""
import random


def ordered(owner, mapping: dict) -> list:
    """The owner's list of keys (its attribute `order`), made if there is none. O(n) then, else O(1)."""
    if owner.order is None:
        owner.order = list(mapping)
    return owner.order


def note_new(owner, mapping: dict, key) -> None:
    """To be called for a key that was not in the mapping before, if the owner's `order` is not None."""
    order = owner.order
    if len(order) > 2 * len(mapping) + 64:
        owner.order = None
    else:
        order.append(key)


def page(owner, mapping: dict, cursor: int, count: int) -> tuple[int, list]:
    """One step of a scan: (the next cursor, keys). Looks at about `count` entries; 0 as the next cursor ends the scan."""
    order = owner.order
    if order is None or len(order) > 2 * len(mapping) + 64:
        owner.order = None
        order = ordered(owner, mapping)
    end = len(order) if cursor == 0 or cursor > len(order) else cursor
    start = max(0, end - count)
    return start, [key for key in order[start:end] if key in mapping]


def random_key(owner, mapping: dict):
    """A random key of a mapping that is not empty. O(1) but for the first call."""
    order = owner.order
    if order is None or len(order) > 2 * len(mapping) + 64:
        owner.order = None
        order = ordered(owner, mapping)
    for _ in range(100):
        key = order[int(random.random() * len(order))]
        if key in mapping:
            return key
    owner.order = None                                  # nearly all is stale in a tiny mapping
    return random.choice(ordered(owner, mapping))
