"""The reducers of GROUPBY: each is a class whose objects hold what is known of one group.

`add(rows)` takes some rows of the group (lists of values, see values.py) in their order, `result()` gives the value
that the group's row shows."""
from __future__ import annotations

import math
import random
from array import array
from functools import cmp_to_key
from hashlib import blake2b

from .values import NULL, Record, compare, text_of, to_number

__all__ = ["REDUCERS", "Reducer"]


class Reducer:
    """`slot`: where in a row the property is; -1 for COUNT. `by`: likewise for FIRST_VALUE's BY. `reduce`: its words (Reduce)."""

    __slots__ = ("slot",)

    def __init__(self, reduce, slot: int, by: int):
        self.slot = slot

    def add(self, rows: list[list]) -> None:
        raise NotImplementedError

    def result(self):
        raise NotImplementedError

    def numbers(self, rows: list[list]) -> list[float]:
        """The numbers among the property's values."""
        slot = self.slot
        values = [row[slot] for row in rows]
        found = [value for value in values if type(value) is float]
        if len(found) != len(values):
            found = [number for value in values if (number := to_number(value)) is not None]
        return found


class Count(Reducer):
    __slots__ = ("n",)

    def __init__(self, reduce, slot, by):
        self.n = 0

    def add(self, rows):
        self.n += len(rows)

    def result(self):
        return float(self.n)


class Sum(Reducer):
    __slots__ = ("total", "n")

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.total = 0.0
        self.n = 0

    def add(self, rows):
        numbers = self.numbers(rows)
        self.n += len(numbers)
        for number in numbers:          # one by one: sum() adds with compensation from Python 3.12 on
            self.total += number

    def result(self):
        return self.total if self.n else math.nan


class Average(Sum):
    __slots__ = ()

    def result(self):
        return self.total / self.n if self.n else math.nan


class Minimum(Reducer):
    __slots__ = ("best",)

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.best = math.inf

    def add(self, rows):
        numbers = self.numbers(rows)
        if numbers:
            self.best = min(self.best, min(numbers))

    def result(self):
        return self.best


class Maximum(Minimum):
    __slots__ = ()

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.best = -math.inf

    def add(self, rows):
        numbers = self.numbers(rows)
        if numbers:
            self.best = max(self.best, max(numbers))


class Deviation(Reducer):
    """The sample standard deviation."""

    __slots__ = ("n", "mean", "squares")

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.n = 0
        self.mean = self.squares = 0.0

    def add(self, rows):
        n, mean, squares = self.n, self.mean, self.squares
        for number in self.numbers(rows):
            n += 1
            delta = number - mean
            mean += delta / n
            squares += delta * (number - mean)
        self.n, self.mean, self.squares = n, mean, squares

    def result(self):
        return math.sqrt(self.squares / (self.n - 1)) if self.n > 1 else 0.0


class Quantile(Reducer):
    """The smallest value that at least this share of the values does not exceed."""

    __slots__ = ("share", "values")

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.share = reduce.number
        self.values = array("d")

    def add(self, rows):
        self.values.extend(self.numbers(rows))

    def result(self):
        if not self.values:
            return math.nan
        return sorted(self.values)[max(0, math.ceil(self.share * len(self.values)) - 1)]


def _key(value):
    """A value as sets hold it: numbers and texts are never equal."""
    if type(value) is Record:
        return tuple([(name, _key(one)) for name, one in value])
    return tuple(map(_key, value)) if type(value) is list else value


class CountDistinct(Reducer):
    __slots__ = ("seen",)

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.seen: set = set()

    def add(self, rows):
        slot = self.slot
        self.seen.update([_key(value) for row in rows if (value := row[slot]) is not None and value is not NULL])

    def result(self):
        return float(len(self.seen))


class ToList(Reducer):
    """The different values, in the order of their appearance; lists add their elements."""

    __slots__ = ("seen",)

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.seen: dict = {}

    def add(self, rows):
        slot, seen = self.slot, self.seen
        for row in rows:
            value = row[slot]
            if type(value) is list:
                for element in value:
                    seen.setdefault(_key(element), element)
            elif value is not None:
                seen.setdefault(value, value)

    def result(self):
        return list(self.seen.values())


class FirstValue(Reducer):
    """The first value there is; with BY, that of the row which comes first by another property."""

    __slots__ = ("by", "sign", "best", "best_by")

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.by = by
        self.sign = 1 if reduce.ascending else -1
        self.best = self.best_by = None

    def add(self, rows):
        slot, by = self.slot, self.by
        if by < 0:
            if self.best is None:
                self.best = next((row[slot] for row in rows if row[slot] is not None), None)
            return
        for row in rows:
            value, order = row[slot], row[by]
            if order is None:
                if self.best is None:
                    self.best = value
            elif self.best_by is None or compare(order, self.best_by) * self.sign < 0:
                self.best, self.best_by = value, order

    def result(self):
        return NULL if self.best is None else self.best


class RandomSample(Reducer):
    """Some values, each with the same chance."""

    __slots__ = ("size", "seen", "sample")

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.size = int(reduce.number)
        self.seen = 0
        self.sample: list = []

    def add(self, rows):
        slot, sample, size = self.slot, self.sample, self.size
        for row in rows:
            value = row[slot]
            if value is None:
                continue
            self.seen += 1
            if len(sample) < size:
                sample.append(value)
            elif (place := random.randrange(self.seen)) < size:
                sample[place] = value

    def result(self):
        return self.sample


class Collect(Reducer):
    """COLLECT: the rows themselves, or some of their fields. `slot` is a mapping of the fields' names to slots, `by` the slots
    that rows are sorted by, with whether ascending; rows without a value come last."""

    __slots__ = ("reduce", "by", "kept", "order")

    #: Rows that are kept beyond those wanted before they are sorted and cut.
    _ROOM = 1000

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.by = by
        self.reduce = reduce
        self.kept: list[tuple[list, Record]] = []
        self.order = cmp_to_key(self._compare)

    def _compare(self, one, other) -> int:
        for a, b, (_, ascending) in zip(one[0], other[0], self.by):
            if a is None or b is None:
                if a is not b:
                    return 1 if a is None else -1
            elif order := compare(a, b):
                return order if ascending else -order
        return 0

    def add(self, rows):
        reduce, kept = self.reduce, self.kept
        most = None if reduce.count is None or reduce.distinct else reduce.offset + reduce.count
        fields = list(self.slot.items())
        for row in rows:
            if most is not None and not self.by and len(kept) >= most:
                break
            n = len(row)
            record = Record([(name, row[slot]) for name, slot in fields if slot < n and row[slot] is not None])
            kept.append(([row[slot] for slot, _ in self.by], record))
        if most is not None and len(kept) > most + self._ROOM:
            kept.sort(key=self.order)
            del kept[most:]

    def result(self):
        reduce = self.reduce
        if self.by:
            self.kept.sort(key=self.order)
        records = [record for _, record in self.kept]
        if reduce.distinct:
            first: dict = {}
            for record in records:
                first.setdefault(_key(record), record)
            records = list(first.values())
        return records[reduce.offset:None if reduce.count is None else reduce.offset + reduce.count]


_BITS = 12
_REGISTERS = 1 << _BITS


def _estimate(ranks: list[int]) -> float:
    """How many different values a HyperLogLog has seen; `ranks`: its registers but for the empty ones."""
    empty = _REGISTERS - len(ranks)
    inverse = empty + sum([2.0 ** -rank for rank in ranks])
    raw = 0.7213 / (1 + 1.079 / _REGISTERS) * _REGISTERS * _REGISTERS / inverse
    if raw <= 2.5 * _REGISTERS and empty:
        raw = _REGISTERS * math.log(_REGISTERS / empty)
    return float(round(raw))


class Sketch(Reducer):
    """HLL: a HyperLogLog of the values, as text for HLL_SUM."""

    __slots__ = ("ranks",)

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.ranks: dict[int, int] = {}         # by register, where it is not empty

    def add(self, rows):
        slot, ranks = self.slot, self.ranks
        for value in {_key(row[slot]) for row in rows}:
            if value is None or value is NULL:
                continue
            bits = int.from_bytes(blake2b(text_of(list(value) if type(value) is tuple else value),
                                          digest_size=8).digest(), "little")
            place, rest = bits & (_REGISTERS - 1), bits >> _BITS
            rank = 65 - _BITS - rest.bit_length()
            if rank > ranks.get(place, 0):
                ranks[place] = rank

    def result(self):
        registers = bytearray(_REGISTERS)
        for place, rank in self.ranks.items():
            registers[place] = rank
        return bytes(registers)


class CountDistinctish(Sketch):
    """About how many different values there are: within some 2 %, in 4 kB."""

    __slots__ = ()

    def result(self):
        return _estimate(list(self.ranks.values()))


class SketchSum(Reducer):
    """HLL_SUM: the estimate of several sketches together."""

    __slots__ = ("registers",)

    def __init__(self, reduce, slot, by):
        self.slot = slot
        self.registers = bytearray(_REGISTERS)

    def add(self, rows):
        for row in rows:
            value = row[self.slot]
            if type(value) is bytes and len(value) == _REGISTERS:
                self.registers = bytearray(map(max, self.registers, value))

    def result(self):
        return _estimate([rank for rank in self.registers if rank])


REDUCERS: dict[str, type[Reducer]] = {
    "COUNT": Count, "SUM": Sum, "MIN": Minimum, "MAX": Maximum, "AVG": Average, "COUNT_DISTINCT": CountDistinct,
    "COUNT_DISTINCTISH": CountDistinctish, "QUANTILE": Quantile, "STDDEV": Deviation, "TOLIST": ToList,
    "FIRST_VALUE": FirstValue,
    "COLLECT": Collect, "RANDOM_SAMPLE": RandomSample, "HLL": Sketch, "HLL_SUM": SketchSum,
}
