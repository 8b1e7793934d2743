"""Where terms stand in documents: phrases, and words near each other."""
import math
from itertools import pairwise

import numpy as np

from ..matches import Leaf, Match
from .index import GAP


def exact(text, rows: np.ndarray, words: list[bytes]) -> np.ndarray:
    """Which of the rows (all with text) have the words next to each other, in this order: a mask."""
    flat, bounds = text.words_of(text.numbers(rows))
    if not len(flat):
        return np.zeros(len(rows), dtype=bool)
    n = len(words)
    starts_here = text.stands(flat, words[0])
    for i in range(1, n):
        starts_here[:len(flat) - i] &= text.stands(flat[i:], words[i])
        starts_here[max(0, len(flat) - i):] = False
    at = np.flatnonzero(starts_here)
    documents = np.searchsorted(bounds, at, side="right") - 1
    inside = at + n <= bounds[documents + 1]
    found = np.zeros(len(rows), dtype=bool)
    found[documents[inside]] = True
    return found


def _mask(text, part: Match, flat: np.ndarray) -> np.ndarray:
    """Where among the words of documents a match stands."""
    if isinstance(part, Leaf):
        return text.stands(flat, part.name) if part.is_term else np.zeros(len(flat), dtype=bool)
    mask = np.zeros(len(flat), dtype=bool)
    for child in part.children:
        mask |= _mask(text, child, flat)
    return mask


def places(text, rows: np.ndarray, parts: list[Match]) -> list[list[list[int]]]:
    """For each row (all with text), for each part the positions where it stands, ascending."""
    flat, bounds = text.words_of(text.numbers(rows))
    wide = np.cumsum(flat == GAP) * max(text.gap - 2, -1) if text.has_gaps else None
    columns = []
    for part in parts:
        at = np.flatnonzero(_mask(text, part, flat))
        cuts = np.searchsorted(at, bounds)
        columns.append(((at if wide is None else at + wide[at]).tolist(), cuts.tolist()))
    return [[at[cuts[i]:cuts[i + 1]] for at, cuts in columns] for i in range(len(rows))]


def within(text, rows: np.ndarray, parts: list[Match], slop: int | None, in_order: bool) -> np.ndarray:
    """Which rows have what they have of the parts (some may be optional) with at most `slop` other words between (None: any
    number): a mask."""
    most = math.inf if slop is None or slop < 0 else slop
    check = _ordered if in_order else _unordered
    found = [[positions for positions in lists if positions] for lists in places(text, rows, parts)]
    return np.array([len(lists) < 2 or check(lists, most) for lists in found], dtype=bool)


def _ordered(lists: list[list[int]], most: float) -> bool:
    """Whether there is a position in each list, none before that of the list before it, with at most `most` words between."""
    at = [0] * len(lists)
    for first in lists[0]:
        last, span = first, 0
        for i in range(1, len(lists)):
            positions, k = lists[i], at[i]
            while k < len(positions) and positions[k] < last:
                k += 1
            at[i] = k
            if k == len(positions):
                return False
            span += positions[k] - last - 1
            last = positions[k]
            if span > most:
                break
        if span <= most:
            return True
    return False


def _unordered(lists: list[list[int]], most: float) -> bool:
    n = len(lists)
    at = [0] * n
    if not all(lists):
        return False
    now = [positions[0] for positions in lists]
    highest = max(now)
    while True:
        least = min(range(n), key=now.__getitem__)
        if highest - now[least] - (n - 1) <= most:
            return True
        at[least] += 1
        if at[least] == len(lists[least]):
            return False
        now[least] = lists[least][at[least]]
        highest = max(highest, now[least])


def spread(lists: list[list[int]], n_children: int) -> int:
    """How far what matched stands from each other in one document: the root of the squared least distances between one part and
    the next, at least 1. `lists`: positions of the parts that stand somewhere."""
    lists = [positions for positions in lists if positions]
    if n_children < 2:
        return 1
    if len(lists) < 2:
        return n_children - 1
    squares = 0
    for one, other in pairwise(lists):
        squares += _least_distance(one, other) ** 2
    return int(math.sqrt(squares)) if squares else n_children - 1


def _least_distance(one: list[int], other: list[int]) -> int:
    i = j = 0
    least = abs(one[0] - other[0])
    while least > 1 and i < len(one) and j < len(other):
        least = min(least, abs(one[i] - other[j]))
        if other[j] > one[i]:
            i += 1
        else:
            j += 1
    return least
