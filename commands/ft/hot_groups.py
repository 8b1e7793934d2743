"""What FT.AGGREGATE keeps of a request for those that say the same besides their query: its stages (pipeline.py), ready to be run
again, and how its queries find their documents. Where it groups by fields of the schema and reduces numbers, and maybe sorts the
groups, the engine does all of it, to the bytes of the rows (Written)."""
from itertools import dropwhile

import native
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import Raw

from . import errors, tree
from .aggregate_options import DEFAULT_SORTED, Arrange, Group, Load
from .binding import bind
from .grouping import Grouping
from .pipeline import DocumentLayout, Progress, build
from .plans import MAX_PREPARED
from .reply import RESP3_HEAD, RESP3_ROW_END, RESP3_TAIL, bulk, hidden_fields
from .search import MAX_PREPARED_BYTES, find_names
from .text.steps import QuerySteps

#: Of more documents than these the stages take a part at a time.
_MOST_ROWS = 1 << 16
_NO_END = 1 << 62
#: Queries whose documents an index has as a set.
_SETS = (tree.Wildcard, tree.Tag, tree.Not)


class HotQuery:
    """A query of such a request: its tree, and what finds its documents."""

    __slots__ = ("root", "steps")

    def __init__(self, root, steps: QuerySteps | None):
        self.root = root
        self.steps = steps                      # None: it takes the general way


class HotAggregate:
    """One request's stages, for whatever query; see the module. One run at a time: where one goes on beside the traffic, the next
    one needs stages of its own (`renew`)."""

    __slots__ = ("server", "index", "options", "layout", "stages", "final", "progress", "written", "_queries")

    def __init__(self, server, index, options):
        """Raises CommandError, as `build` does."""
        self.server = server
        self.index = index
        self.options = options
        self.renew()
        self.written = Written.of(index, options, self.layout)
        self._queries: dict[bytes, HotQuery | None] = {}

    @classmethod
    def of(cls, server, index, options) -> "HotAggregate | None":
        """The stages of a request's options, None if they are made anew each time."""
        if (options.cursor is not None or options.add_scores or options.with_scores or options.format == "EXPAND"
                or options.filters or options.geo_filters or options.in_keys is not None or options.has_empty_filter
                or options.params or index.unordered or index.source.is_json or server.keyspace.databases[0].field_expires):
            return None
        if any(type(step) is Load and step.fields is None for step in options.steps):
            return None
        try:
            made = cls(server, index, options)
        except CommandError:                    # it is refused where it is run, after what comes before that
            return None
        return made if made.layout.terms_slot < 0 else None

    def renew(self) -> None:
        """Makes the stages, leaving those there were to whoever has them."""
        self.layout = DocumentLayout(self.server.keyspace.databases[0], self.index)
        self.progress = Progress(0, 0)
        self.stages, self.final = build(self.options, self.layout, self.progress)

    def query(self, text: bytes, parse) -> HotQuery | None:
        """How a query is run; None: in the general way altogether.
        parse: function(index, text, options) that reads it. Raises CommandError."""
        queries = self._queries
        try:
            return queries[text]
        except KeyError:
            pass
        index, options = self.index, self.options
        query, made = parse(index, text, options), None
        if not query.params:
            root = bind(query, {})
            if type(root) is not tree.Knn and not find_names(index, options, root):
                made = HotQuery(root, None if type(root) in _SETS else QuerySteps.of(self.server, index, root, options))
        if len(text) <= MAX_PREPARED_BYTES:
            if len(queries) >= MAX_PREPARED:
                queries.clear()
            queries[text] = made
        return made

    def begin(self, limit_us: int) -> None:
        """To be called before the stages are given what a query has found."""
        layout, index = self.layout, self.index
        layout.newest, layout.n_removals = index.docs.max_doc_id, index.n_removals
        self.progress.begin(limit_us, self.server.config["search-max-aggregate-groups"])


class Written:
    """A request's GROUPBY and the order of its groups, as the engine does them."""

    __slots__ = ("_grouping", "_plan", "_forms", "_order", "_first", "_last")
    _groups: native.Groups | None = None

    def __init__(self, grouping: Grouping, step: Group, arrange: Arrange | None, hidden):
        self._grouping = grouping
        self._plan = grouping.plan()
        names = [*step.properties, *(reduce.alias for reduce in step.reducers)]
        shown = [(i, bulk(name)) for i, name in enumerate(names) if name not in hidden]
        self._forms = {2: native.GroupForm(b"*%d\r\n" % (2 * len(shown)), b"", b"$-1\r\n", shown),
                       3: native.GroupForm(b"%%2\r\n+extra_attributes\r\n%%%d\r\n" % len(shown), RESP3_ROW_END, b"_\r\n", shown)}
        self._order: native.GroupOrder | None = None
        self._first, self._last = 0, _NO_END
        if arrange is not None:
            count = arrange.count
            if arrange.keys:
                self._order = native.GroupOrder([(names.index(name), not ascending) for name, ascending in arrange.keys])
                count = DEFAULT_SORTED if count is None else count
            self._first = arrange.offset
            self._last = _NO_END if count is None else arrange.offset + count

    @classmethod
    def of(cls, index, options, layout: DocumentLayout) -> "Written | None":
        """It for a request's options, None if the engine does not do all of it. `layout`: of its stages."""
        steps = list(dropwhile(lambda step: type(step) is Load, options.steps))
        if not layout.is_columnar or options.with_sort_keys or options.no_rows or options.no_content:
            return None
        if not 1 <= len(steps) <= 2 or type(steps[0]) is not Group or type(steps[-1]) not in (Group, Arrange):
            return None
        step, arrange = steps[0], steps[1] if len(steps) == 2 else None
        names = [*step.properties, *(reduce.alias for reduce in step.reducers)]
        if len(set(names)) != len(names) or type(arrange) is Group:
            return None
        if arrange is not None and (arrange.count == 0 or any(name not in names for name, _ in arrange.keys)):
            return None
        grouping = Grouping.of(index, step, lambda name: False)
        return None if grouping is None or grouping.others else cls(grouping, step, arrange, hidden_fields(index))

    def reply(self, rows, n: int, proto: int, most_groups: int) -> Raw | None:
        """The reply for these n rows (what native.Groups.add takes); None if the stages are to make it. Raises CommandError for
        more groups than there may be."""
        if n > _MOST_ROWS or not self._grouping.is_ready(self._plan):
            return None
        groups = Written._groups
        if groups is None:
            groups = Written._groups = native.Groups()
        groups.begin(self._plan)
        total = groups.add(rows)
        if total > most_groups:
            raise errors.fail(errors.GROUPS_MAXIMUM, most_groups)
        shown, text = groups.write(self._forms[proto], self._first, self._last, self._order)
        if proto == 2:
            return Raw(b"*%d\r\n:%d\r\n%b" % (1 + shown, total, text))
        return Raw(b"".join((RESP3_HEAD % shown, text, RESP3_TAIL % total)))
