"""The steps of FT.AGGREGATE as stages: each takes batches of rows from the one before and yields batches.

A row is a list: how many rows the source had given when this one was made (what the reply's first number is about),
the row of the document table, then values (values.py) by slot. A batch may be empty: whoever drives the stages may
pause between two batches. An error in the midst of a batch comes after the rows before it."""
from collections.abc import Callable, Generator, Iterator
from heapq import merge
from itertools import chain, count, islice, repeat
from time import perf_counter_ns

import numpy as np

from respserver.protocol.errors import CommandError

from . import aggregate_options as steps
from . import errors, expr
from .aggregate_options import DEFAULT_SORTED
from .fields import NumericField, TagField, TextField
from .grouping import Grouping, column_of
from .reducers import REDUCERS
from .values import NULL, Several, is_true

Batch = list[list]
Stage = Callable[[Iterator[Batch]], Iterator[Batch]]
NamedStage = tuple[str, Stage]          # the name is FT.PROFILE's

#: Rows per batch; the first is smaller, for LIMIT.
_FIRST_BATCH = 32
_BATCH = 256
#: Rows at a time where they stay an array.
_MANY = 1 << 16
#: Rows that a sorter sorts at once.
_RUN = 2048
#: Slots before the first property.
ORDINAL, DOCUMENT, _FIRST_SLOT = 0, 1, 2


class Progress:
    """What the stages of one request share."""

    __slots__ = ("total", "n_rows", "limit_ns", "spent_ns", "resumed_ns", "timed_out", "most_groups", "most")

    def __init__(self, limit_us: int, most_groups: int):
        self.most_groups = most_groups          # of one GROUPBY
        self.total = 0                          # rows that the source, or the latest GROUPBY, has given
        self.n_rows = 0                         # all that it has
        self.limit_ns = 1000 * limit_us         # 0: none
        self.spent_ns = 0
        self.resumed_ns = perf_counter_ns()
        self.timed_out = False
        self.most: int | None = None            # documents after which the time is up, by _FT.DEBUG

    def begin(self, limit_us: int, most_groups: int) -> None:
        """Has it be another request's."""
        self.__init__(limit_us, most_groups)

    def check_groups(self, n: int) -> None:
        """Raises CommandError for more groups than there may be."""
        if n > self.most_groups:
            raise errors.fail(errors.GROUPS_MAXIMUM, self.most_groups)

    def resume(self) -> None:
        """Work goes on after a pause, which does not count."""
        self.resumed_ns = perf_counter_ns()

    def pause(self) -> None:
        """Work stops for a while."""
        self.spent_ns += perf_counter_ns() - self.resumed_ns

    def is_late(self) -> bool:
        """Whether the time is over; `timed_out` then says so."""
        if self.limit_ns and self.spent_ns + perf_counter_ns() - self.resumed_ns > self.limit_ns:
            self.timed_out = True
        return self.timed_out


class Layout:
    """Which property is in which slot, for the rows between two GROUPBY steps.
    `slots` is in the order in which rows are shown."""

    def __init__(self):
        self.slots: dict[bytes, int] = {}
        self.n_slots = _FIRST_SLOT
        self.is_open = False                    # LOAD *: documents may have properties that nobody has named
        self.keys: list[int] = []               # after GROUPBY: the slots of its properties
        self.terms_slot = -1                    # of the terms that matched, if they are asked for

    def find_terms(self) -> int:
        """The slot of the terms of the query that a document has; after GROUPBY they are not known."""
        if self.terms_slot < 0:
            self.terms_slot = self.n_slots
            self.n_slots += 1
        return self.terms_slot

    def add(self, name: bytes) -> int:
        """The slot of a property, new or not."""
        slot = self.slots.get(name)
        if slot is None:
            slot = self.slots[name] = self.n_slots
            self.n_slots += 1
        return slot

    def find(self, name: bytes) -> int | None:
        """The slot of a property that the rows have or that can be had without a LOAD, or None."""
        slot = self.slots.get(name)
        return self.add(name) if slot is None and self.is_open else slot

    def find_or_load(self, name: bytes, stages: list[NamedStage]) -> int | None:
        """Likewise, or with a stage that loads it added to `stages`."""
        return self.find(name)


    def find_key(self, name: bytes, stages: list[NamedStage]) -> int | None:
        """Likewise for SORTBY, to which LOAD * is not enough: its names must be those of a step or of the schema."""
        return self.find_or_load(name, stages)


class DocumentLayout(Layout):
    """The layout before the first GROUPBY: properties come from the index's columns and from documents."""

    def __init__(self, db, index):
        super().__init__()
        self.db = db
        self.index = index
        self.newest = index.docs.max_doc_id     # documents with a higher id are not meant
        self.n_removals = index.n_removals      # then
        self.is_whole = False                   # a JSONPath stands for all that it finds, but for what is sortable ...
        self.is_expanded = False                # ... unless this is set, too
        self.is_columnar = False                # batches are arrays of rows, for a Grouping ...
        self.may_be_columnar = True             # ... if whoever reads them may get these
        self.plain: set[bytes] = set()          # what was loaded and is as a Grouping reads it ...
        self.n_plain = 0                        # ... by so many stages
        self._with_all: list | None = None      # after LOAD * of JSON: (slot, path) of the fields that were asked for since
        self.columns: dict[int, Callable] = {}  # slot -> (rows, the same as a list) -> values
        self.given: dict[bytes, Callable] = {}  # likewise, of properties that can be loaded and are in no document

    def find(self, name: bytes) -> int | None:
        slot = self.slots.get(name)
        field = self.index.by_name.get(name)
        if slot is None and field is not None and not self.is_expanded and not field.has_arrays and (field.spec.sortable
                                                   or (self.is_open and type(field) is NumericField)):
            slot = self.add(name)
            self.columns[slot] = column_of(field)
        elif slot is None and field is not None and self._with_all is not None:
            slot = self.add(name)
            self._with_all.append((slot, field.path))
        return super().find(name) if slot is None else slot

    def find_or_load(self, name: bytes, stages: list[NamedStage]) -> int | None:
        slot = self.find(name)
        if slot is None and name in self.index.by_name:
            self.load([(name, name)], stages)
            slot = self.slots[name]
        return slot

    def find_key(self, name: bytes, stages: list[NamedStage]) -> int | None:
        return self.find_or_load(name, stages) if name in self.slots or name in self.index.by_name else None

    def load(self, fields: list[tuple[bytes, bytes]], stages: list[NamedStage]) -> None:
        """LOAD: (property or hash field, name in the rows)."""
        from_hash: list[tuple[int, bytes]] = []
        is_plain = True
        for path, name in fields:
            field = self.index.by_name.get(path)
            if name == path and self._is_plain(field):
                self.plain.add(name)
            else:
                self.plain.discard(name)
                is_plain = False
            if field is None and path in self.slots:
                if name != path:
                    stages.append(("Loader", _copy(self.slots[path], self.add(name))))
                continue
            slot = self.add(name)
            if field is None and path == b"__key":
                self.columns[slot] = self._keys
            elif field is None and path in self.given:
                self.columns[slot] = self.given[path]
            elif field is None:
                from_hash.append((slot, path))
            elif (not self.is_whole and not field.has_arrays
                  and (type(field) is NumericField or field.sort_keys is not None and field.spec.unf)):
                self.columns[slot] = column_of(field)
            else:
                from_hash.append((slot, field.path))
        if from_hash:
            stages.append(("Loader", self._load_stage(from_hash)))
            self.n_plain += is_plain

    def _is_plain(self, field) -> bool:
        """Whether LOAD of a field gives what a Grouping reads of it."""
        kind = type(field)
        if self.is_whole or field is None or field.has_arrays:
            return False
        return kind is NumericField or kind in (TagField, TextField) and field.sort_keys is None

    def _keys(self, rows: np.ndarray, numbers: list[int]) -> list:
        keys = self.index.docs.keys
        return [keys[row] for row in numbers]

    def _document(self, row: int):
        """The hash of a row, or None if it has gone."""
        docs = self.index.docs
        if docs.max_doc_id != self.newest and docs.born[row] > self.newest:
            return None
        value = self.db.data.get(docs.keys[row])
        source = self.index.source
        if type(value) is not source.kind:
            return None
        return source.view(value).whole if self.is_whole else source.view(value)

    def _load_stage(self, fields: list[tuple[int, bytes]]) -> Stage:
        is_json = self.index.source.is_json

        def stage(batches):
            document, index, docs = self._document, self.index, self.index.docs
            for batch in batches:
                # While nothing has changed, the table has the documents.
                is_same = docs.max_doc_id == self.newest and index.n_removals == self.n_removals
                known = docs.values if is_same and not is_json else None
                for row in batch:
                    value = document(row[DOCUMENT]) if known is None else known[row[DOCUMENT]]
                    if value is not None:
                        get = value.load if is_json else value.get
                        for slot, path in fields:
                            row[slot] = get(path)
                yield batch
        return stage

    def load_all(self, stages: list[NamedStage]) -> None:
        """LOAD *: every field of the hash. A number that is used comes from its column, so that it is one and not its text."""
        is_json = self.index.source.is_json
        self.is_open = not is_json              # a JSON document comes as a whole
        more = self._with_all = [] if is_json else None

        def stage(batches):
            slots = self.slots
            by_name, hidden = self.index.by_name, self.index.hidden
            numeric = {by_name[name].path for name, slot in slots.items() if slot in self.columns
                       and type(by_name.get(name)) is NumericField}
            for batch in batches:
                for row in batch:
                    value = self._document(row[DOCUMENT])
                    if value is None:
                        continue
                    for slot, path in more or ():
                        row[slot] = value.load(path)
                    for name, text in value.load_items() if is_json else value.items():
                        if name in numeric or name in hidden:
                            continue
                        slot = slots.get(name)
                        if slot is None:
                            slot = self.add(name)
                        if slot >= len(row):
                            row.extend(repeat(None, self.n_slots - len(row)))
                        row[slot] = text
                yield batch
        stages.append(("Loader", stage))

    def source(self, rows: np.ndarray, progress: Progress) -> Iterator[Batch]:
        """Batches of the documents in these rows of the table."""
        docs = self.index.docs
        is_cut = progress.most is not None and len(rows) >= progress.most
        rows = rows[:progress.most]
        progress.n_rows = len(rows)
        at, size, largest = (0, _MANY, _MANY) if self.is_columnar else (0, _FIRST_BATCH, _BATCH)
        width = self.n_slots
        columns = [self.columns.get(slot) for slot in range(_FIRST_SLOT, width)]
        while at < len(rows) and not progress.is_late():
            if self.index.is_dropped:
                raise CommandError(errors.DROPPED_MEANWHILE)
            part = rows[at:at + size]
            ordinals = range(at + 1, at + 1 + len(part))
            at += len(part)
            if self.index.n_removals != self.n_removals or self.db.expires or self.db.field_expires:
                # Documents have gone, and their rows may have been given to new ones; or the time of some has come.
                kept = [i for i, row in enumerate(part.tolist()) if docs.born[row] <= self.newest
                        and self.db.get(docs.keys[row]) is not None]
                part, ordinals = part[kept], [ordinals[i] for i in kept]
            if self.is_columnar:
                progress.total = at
                yield part
                continue
            numbers = part.tolist()
            progress.total = at
            yield list(map(list, zip(ordinals, numbers,
                                     *[repeat(None) if column is None else column(part, numbers)
                                       for column in columns])))
            size = min(2 * size, largest)
        progress.total = at
        progress.timed_out |= is_cut


class Timing:
    """What FT.PROFILE shows of a stage; its time includes that of the stages before it."""

    __slots__ = ("name", "ns", "n_rows")

    def __init__(self, name: str):
        self.name = name
        self.ns = self.n_rows = 0

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, timed."""
        while True:
            started = perf_counter_ns()
            batch = next(batches, None)
            self.ns += perf_counter_ns() - started
            if batch is None:
                return
            self.n_rows += len(batch)
            yield batch


def _copy(source: int, target: int) -> Stage:
    def stage(batches):
        for batch in batches:
            for row in batch:
                row[target] = row[source]
            yield batch
    return stage


def build(options, layout: Layout, progress: Progress) -> tuple[list[NamedStage], Layout]:
    """The stages of a request, and the layout of the rows that come out. Raises CommandError."""
    stages: list[NamedStage] = []
    last_filter = next((step for step in reversed(options.steps) if type(step) in (steps.Filter, steps.Group)), None)
    for step in options.steps:
        kind = type(step)
        if kind is steps.Load:
            if not isinstance(layout, DocumentLayout):
                raise CommandError(errors.LOAD_LATE)
            if step.fields is None:
                layout.load_all(stages)
            else:
                layout.load(step.fields, stages)
        elif kind is steps.Apply:
            tree = expr.parse(step.expression)
            evaluate = _compile(tree, layout)
            stages.append(("Projector - " + expr.what(tree), _apply(evaluate, layout.add(step.alias))))
        elif kind is steps.Filter:
            tree = expr.parse(step.expression)
            stages.append(("Filter - " + expr.what(tree), _filter(_compile(tree, layout))))
            if options.with_count and step is last_filter:
                stages.append(("Depleter", _count(progress)))
        elif kind is steps.Group:
            layout = _group(step, layout, stages, progress)
        else:
            _arrange(step, layout, stages, progress)
    return stages, layout


def _compile(tree, layout: Layout):
    def slot_of(name: bytes) -> int:
        if name is expr.MATCHED_TERMS:
            return layout.find_terms()
        slot = layout.find(name)
        if slot is None:
            raise errors.fail(errors.EXPR_PROPERTY, name)
        return slot
    return expr.compile_expression(tree, slot_of)


def _apply(evaluate, target: int) -> Stage:
    def stage(batches):
        for batch in batches:
            n = 0
            try:
                for row in batch:
                    row[target] = evaluate(row)
                    n += 1
            except CommandError:
                yield batch[:n]
                raise
            yield batch
    return stage


def _filter(evaluate) -> Stage:
    def stage(batches):
        for batch in batches:
            kept: Batch = []
            try:
                for row in batch:
                    if is_true(evaluate(row)):
                        kept.append(row)
            except CommandError:
                yield kept
                raise
            yield kept
    return stage


def _count(progress: Progress) -> Stage:
    """Has all rows made before it gives the first, so that their number is known: WITHCOUNT is about what filters let through."""
    def stage(batches):
        made = []
        for batch in batches:
            made.append(batch)
            yield []
        progress.n_rows = sum(map(len, made))
        yield from made
    return stage


# --------------------------------------------------------------------------------------------- GROUPBY

def _group(step, before: Layout, stages: list[NamedStage], progress: Progress) -> Layout:
    after = Layout()
    grouping = None
    if (isinstance(before, DocumentLayout) and before.may_be_columnar and len(stages) == before.n_plain and not before.is_whole
            and not before.db.field_expires):
        grouping = Grouping.of(before.index, step, lambda name: name in before.slots and name not in before.plain)
    if grouping is not None:
        name_slots = after.keys = [after.add(name) for name in step.properties]
        result_slots = [after.add(reduce.alias) for reduce in step.reducers]
        before.is_columnar = True
        # The grouping reads them by itself: FT.PROFILE says that they are loaded.
        stages[:] = [("Loader", _pass)] * len(stages)
        by_name = before.index.by_name
        if any(not by_name[name].spec.sortable for name in _sources(step) - before.plain if name in by_name):
            stages.append(("Loader", _pass))
        stages.append(("Grouper", _group_columns(grouping, after, name_slots, result_slots, progress)))
        return after
    key_slots = []
    for name in step.properties:
        slot = before.find_or_load(name, stages)
        if slot is None:
            raise errors.fail(errors.NO_PROPERTY, name)
        key_slots.append(slot)
    makers = []
    for reduce in step.reducers:
        if reduce.function == "COLLECT":
            makers.append((REDUCERS["COLLECT"], reduce, before.slots if reduce.fields is None else
                           {name: _reduced(before, name, stages) for name in reduce.fields},
                           [(_reduced(before, name, stages), ascending) for name, ascending in reduce.keys]))
            continue
        makers.append((REDUCERS[reduce.function], reduce,
                       -1 if reduce.function == "COUNT" else _reduced(before, reduce.source, stages),
                       -1 if reduce.by is None else _reduced(before, reduce.by, stages)))
    name_slots = after.keys = [after.add(name) for name in step.properties]
    result_slots = [after.add(reduce.alias) for reduce in step.reducers]

    def stage(batches):
        groups: dict = {}
        for batch in batches:
            for key, rows in _by_key(batch, key_slots).items():
                group = groups.get(key)
                if group is None:
                    group = groups[key] = [make(reduce, slot, by) for make, reduce, slot, by in makers]
                for reducer in group:
                    reducer.add(rows)
            progress.check_groups(len(groups))
            yield []
        progress.total = progress.n_rows = total = len(groups)
        made: Batch = []
        for key, group in groups.items():
            row = [None] * after.n_slots
            row[ORDINAL] = total
            for slot, value in zip(name_slots, key):
                row[slot] = value
            for slot, reducer in zip(result_slots, group):
                row[slot] = reducer.result()
            made.append(row)
            if len(made) >= _BATCH:
                yield made
                made = []
        yield made
    stages.append(("Grouper", stage))
    return after


def _sources(step) -> set[bytes]:
    """The properties that a GROUPBY reads, which are known."""
    used = {*step.properties}
    for reduce in step.reducers:
        if reduce.function == "COLLECT":
            used.update([*reduce.fields, *(name for name, _ in reduce.keys)])
        elif reduce.function != "COUNT":
            used.update(name for name in (reduce.source, reduce.by) if name is not None)
    return used


def _pass(batches):
    return batches


def _group_columns(grouping: Grouping, after: Layout, name_slots: list[int], result_slots: list[int],
                   progress: Progress) -> Stage:
    def stage(batches):
        for found in grouping.groups(batches):
            if found is None:
                yield []
        keys, results = found
        progress.check_groups(len(keys))
        progress.total = progress.n_rows = total = len(keys)
        made: Batch = []
        for i, key in enumerate(keys):
            row = [None] * after.n_slots
            row[ORDINAL] = total
            for slot, value in zip(name_slots, key):
                row[slot] = value
            for slot, values in zip(result_slots, results):
                row[slot] = values[i]
            made.append(row)
            if len(made) >= _BATCH:
                yield made
                made = []
        yield made
    return stage


def _reduced(layout: Layout, name: bytes, stages: list[NamedStage]) -> int:
    slot = layout.find_or_load(name, stages)
    if slot is None:
        raise errors.fail(errors.REDUCER_PROPERTY, name)
    return slot


def _by_key(batch: Batch, slots: list[int]) -> dict[tuple, Batch]:
    """The rows of a batch by group. A row with a list for a key is in the group of each of its elements."""
    found: dict[tuple, Batch] = {}
    if len(slots) == 1:
        slot, = slots
        simple = [(row[slot],) for row in batch]
    else:
        simple = [tuple([row[slot] for slot in slots]) for row in batch]
    for key, row in zip(simple, batch):
        try:
            rows = found.get(key)
        except TypeError:
            for one in _combinations(key):
                found.setdefault(one, []).append(row)
            continue
        if rows is None:
            found[key] = [row]
        else:
            rows.append(row)
    if any(None in key for key in found):
        replaced: dict[tuple, Batch] = {}
        for key, rows in found.items():
            replaced.setdefault(tuple([NULL if value is None else value for value in key]), []).extend(rows)
        found = replaced
    return found


def _combinations(key: tuple) -> list[tuple]:
    found: list[tuple] = [()]
    for value in key:
        elements = _flat(value) or [NULL] if type(value) is list else [value]
        found = [(*head, element) for head in found for element in elements]
    return found


def _flat(values: list) -> list:
    """The elements of a list and of the lists in it, each once."""
    found: dict = {}
    for value in values:
        for element in _flat(value) if type(value) is list else (value,):
            found[element] = None
    return list(found)


# -------------------------------------------------------------------------------------- SORTBY and LIMIT

def _arrange(step, layout: Layout, stages: list[NamedStage], progress: Progress) -> None:
    most = step.count
    if step.keys:
        keys = []
        for name, ascending in step.keys:
            slot = layout.find_key(name, stages)
            if slot is None:
                raise errors.fail(errors.PROPERTY_NOT_FOUND, name)
            keys.append((slot, ascending))
        if most is None:
            most = DEFAULT_SORTED
        stages.append(("Sorter", _sorter(keys, step.offset + most, layout, progress)))
    if step.offset or (most and not step.keys):
        stages.append(("Pager/Limiter", _pager(step.offset, most, progress)))


class _Descending:
    """A text that sorts the other way round."""

    __slots__ = ("text",)

    def __init__(self, text: bytes):
        self.text = text

    def __lt__(self, other) -> bool:
        return other.text < self.text

    def __eq__(self, other) -> bool:
        return self.text == other.text


def ascending_key(value) -> tuple:
    """(rank, value) of the kind that ranks compare; see descending_key."""
    if type(value) is float:
        return (1, value) if value == value else (3, 0)
    if type(value) is bytes:
        return 2, value
    if value is None:
        return 9, 0
    if type(value) is Several:
        return ascending_key(value.first)
    return ascending_key(value[0]) if type(value) is list and value else (0, 0)


def descending_key(value) -> tuple:
    """Likewise the other way round, but for what has no value (None): that comes last either way."""
    if type(value) is float:
        return (2, -value) if value == value else (3, 0)
    if type(value) is bytes:
        return 1, _Descending(value)
    if value is None:
        return 9, 0
    if type(value) is Several:
        return descending_key(value.first)
    return descending_key(value[0]) if type(value) is list and value else (4, 0)


def _sorter(keys: list[tuple[int, bool]], most: int, layout: Layout, progress: Progress) -> Stage:
    """The first `most` rows by the keys. Rows without a value come last. Equal documents come in their order, in the
    direction of the last key; equal groups in the order of what they were grouped by."""
    parts = [(slot, ascending_key if ascending else descending_key) for slot, ascending in keys]
    if isinstance(layout, DocumentLayout):
        docs = layout.index.docs
        sign = 1 if keys[-1][1] else -1

        def ties(batch):
            return (sign * docs.doc_ids[[row[DOCUMENT] for row in batch]]).tolist()
    else:
        parts += [(slot, ascending_key) for slot in layout.keys]
        numbers = count()

        def ties(batch):
            return [next(numbers) for _ in batch]
    (slot, make), *others = parts

    def entries(batch):
        """What is sorted: for each row (rank, value, rank, value, .., a number of its own, the row)."""
        if not others:
            return [(*make(row[slot]), tie, row) for row, tie in zip(batch, ties(batch))]
        return [(*make(row[slot]), *chain.from_iterable([other(row[at]) for at, other in others]), tie, row)
                for row, tie in zip(batch, ties(batch))]

    def stage(batches):
        runs: list[list] = []
        loose: list = []
        # Few rows are wanted: what is beyond them is dropped at each sorting.
        is_top = most <= _RUN // 2
        for batch in batches:
            if batch:
                loose += entries(batch)
            if len(loose) >= _RUN:
                loose.sort()
                if is_top:
                    del loose[most:]
                else:
                    runs.append(loose)
                    loose = []
            yield []
        loose.sort()
        runs.append(loose)
        total = progress.total
        ordered = merge(*runs) if len(runs) > 1 else iter(loose)
        made: Batch = []
        for entry in islice(ordered, most):
            row = entry[-1]
            row[ORDINAL] = total
            made.append(row)
            if len(made) >= _BATCH:
                yield made
                made = []
        yield made
    return stage


def _pager(offset: int, most: int | None, progress: Progress) -> Stage:
    """The rows from `offset` on, `most` of them (None: all); what comes after is not asked for."""
    def stage(batches):
        skip, left = offset, most
        for batch in batches:
            if skip:
                dropped = batch[:skip]
                batch = batch[len(dropped):]
                skip -= len(dropped)
            if left is not None:
                batch = batch[:left]
                left -= len(batch)
            if left == 0 and batch:
                progress.total = batch[-1][ORDINAL]
            yield batch
            if left == 0:
                if isinstance(batches, Generator):
                    batches.close()
                return
    return stage
