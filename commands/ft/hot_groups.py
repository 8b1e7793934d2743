"""The short way for FT.AGGREGATE requests that group what a query matches by fields of the schema, and maybe sort the groups.

What such a request says besides its query is settled when its words come for the first time; a run is the query, the grouping by whole
columns (grouping.py), the order of the groups and the bytes of those that are shown. It finds what the stages of pipeline.py find; what it
does not know of, and what takes long, is theirs."""
from heapq import nsmallest
from time import perf_counter_ns

from respserver.protocol.reply import Raw

from . import errors, tree
from .aggregate_options import DEFAULT_SORTED, Arrange, Group
from .binding import bind
from .grouping import Grouping
from .matches import row_array
from .pipeline import ascending_key, descending_key
from .plan import Evaluation
from .reply import HEADS, N_HEADS, RESP3_HEAD, RESP3_ROW_END, RESP3_TAIL, bulk, hidden_fields
from .search import find_names, match, time_limit_us
from .values import NULL, number_text

#: Of more documents than these the stages take a part at a time.
_MOST_ROWS = 1 << 16
_NIL = {2: b"$-1\r\n", 3: b"_\r\n"}


class HotGroups:
    """One request's steps, for whatever query; see the module."""

    __slots__ = ("server", "index", "options", "step", "n_keys", "names", "shown", "sort_keys", "offset", "end", "db")

    def __init__(self, server, index, options, step: Group, arrange: Arrange | None):
        self.server = server
        self.db = server.keyspace.databases[0]
        self.index = index
        self.options = options
        self.step = step
        self.n_keys = len(step.properties)
        self.names = [*step.properties, *(reduce.alias for reduce in step.reducers)]
        hidden = hidden_fields(index)
        #: (column, encoded name) of what rows show.
        self.shown = [(i, bulk(name)) for i, name in enumerate(self.names) if name not in hidden]
        self.sort_keys: list[tuple] = []        # (column, what makes its sort key), the most important first
        self.offset, self.end = 0, None
        if arrange is not None:
            self.offset = arrange.offset
            count = arrange.count
            if arrange.keys:
                self.sort_keys = [(self.names.index(name), ascending_key if ascending else descending_key) for name, ascending in arrange.keys]
                self.sort_keys += [(i, ascending_key) for i in range(self.n_keys)]
                count = DEFAULT_SORTED if count is None else count
            self.end = None if count is None else self.offset + count

    @classmethod
    def of(cls, server, index, options) -> "HotGroups | None":
        """The short way for a request's options, None if there is none."""
        steps = options.steps
        if (options.cursor is not None or options.add_scores or options.with_scores or options.with_sort_keys or options.no_rows or options.no_content
                or options.format == "EXPAND" or options.filters or options.geo_filters or options.in_keys is not None
                or options.has_empty_filter or options.sort_by is not None or options.params or index.unordered or index.source.is_json):
            return None
        if not 1 <= len(steps) <= 2 or type(steps[0]) is not Group or type(steps[-1]) not in (Group, Arrange):
            return None
        step, arrange = steps[0], steps[1] if len(steps) == 2 else None
        names = [*step.properties, *(reduce.alias for reduce in step.reducers)]
        if len(set(names)) != len(names) or type(arrange) is Group:
            return None
        if arrange is not None and (arrange.count == 0 or any(name not in names for name, _ in arrange.keys)):
            return None
        if Grouping.of(index, step, lambda name: False) is None:
            return None
        return cls(server, index, options, step, arrange)

    def run(self, client, query) -> Raw | None:
        """The reply for a query without parameters that yields nothing; None if the request has to go the general way. Raises CommandError."""
        index, db, options = self.index, self.db, self.options
        if db.expires or db.field_expires or query.params:
            return None
        root = bind(query, {})
        if type(root) is tree.Knn or find_names(index, options, root):
            return None
        started = perf_counter_ns()
        limit_us = time_limit_us(self.server.config, options)
        index.dialect_uses[options.dialect - 1] += 1
        found = match(client, index, root, Evaluation(index, self.server.config, limit_us, options))
        grouping = Grouping.of(index, self.step, lambda name: False)
        is_late = limit_us and perf_counter_ns() - started > 1000 * limit_us
        if found.warnings or is_late or len(found.rows) > _MOST_ROWS or grouping is None or not grouping.is_ready():
            index.dialect_uses[options.dialect - 1] -= 1
            return None
        rows = index.docs.in_order(row_array(found.rows))
        keys, results = [], [[] for _ in self.step.reducers]
        for made in grouping.groups(iter((rows,)) if len(rows) else ()):
            if made is not None:
                keys, results = made
        if len(keys) > self.server.config["search-max-aggregate-groups"]:
            raise errors.fail(errors.GROUPS_MAXIMUM, self.server.config["search-max-aggregate-groups"])
        columns = [*(zip(*keys) if keys else [()] * self.n_keys), *results]
        return Raw(self._encode(client.proto, len(keys), self._order(columns, len(keys)), columns))

    def _order(self, columns: list, n: int) -> list[int] | range:
        """The groups that are shown, in their order."""
        sort_keys = self.sort_keys
        if not sort_keys:
            return range(n)[self.offset:self.end]
        parts = [map(make, columns[at]) for at, make in sort_keys]
        entries = zip(*parts, range(n))
        return [entry[-1] for entry in (nsmallest(self.end, entries) if self.end < n // 4 else sorted(entries))[self.offset:self.end]]

    def _encode(self, proto: int, total: int, order, columns: list) -> bytes:
        n_shown = len(self.shown)
        if proto == 2:
            out = [b"*%d\r\n:%d\r\n" % (1 + len(order), total)]
            head, tail = b"*%d\r\n" % (2 * n_shown), b""
        else:
            out = [RESP3_HEAD % len(order)]
            head, tail = b"%%2\r\n+extra_attributes\r\n%%%d\r\n" % n_shown, RESP3_ROW_END
        shown = [(name, columns[at]) for at, name in self.shown]
        nil = _NIL[proto]
        for i in order:
            out.append(head)
            for name, column in shown:
                value = column[i]
                if value is NULL:
                    out += (name, nil)
                    continue
                text = value if type(value) is bytes else number_text(value)
                n = len(text)
                out += (name, HEADS[n] if n < N_HEADS else b"$%d\r\n" % n, text, b"\r\n")
            out.append(tail)
        if proto == 3:
            out.append(RESP3_TAIL % total)
        return b"".join(out)
