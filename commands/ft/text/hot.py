"""The short way for searches without vectors that are scored by BM25STD or sorted by a number: the engine finds the best of the
documents at once, and writes the page. What steps.py does not take goes the general way, which finds the same."""
from math import inf
from time import perf_counter_ns

from respserver.protocol.reply import Raw

from ..fields import NumericField
from ..reply import Hit, RowWriter, encode_page, forms
from ..score import DEFAULT_SCORER, number_of
from .steps import QuerySteps, Unfit

#: Searches for more results go the general way.
_MAX_RESULTS = 10_000


class HotText(QuerySteps):
    """One search, ready to run as often as it is asked for."""

    __slots__ = ("writer", "forms", "texts")

    def __init__(self, server, index, root, options):
        """Raises Unfit."""
        sort_field = None if options.sort_by is None else index.by_name[options.sort_by]
        super().__init__(server, index, root, options, options.offset + options.count, sort_field)
        lead = None if sort_field is None else (sort_field.path, options.sort_by)
        is_expanded = options.format == "EXPAND"
        self.writer = RowWriter(index, options.returns, options.no_content, [], lead,
                                index.source.is_json and (options.dialect >= 3 or is_expanded), is_expanded)
        #: Of replies that the engine writes, by protocol; None: it does not.
        self.forms = self.texts = None
        writer = self.writer
        if options.with_scores or options.format == "EXPAND":
            pass
        elif writer.is_empty:
            self.forms = forms(writer)
        elif writer.named and not writer.columns and writer.key_at < 0 and not index.source.is_json:
            self.texts = index.docs.row_texts(tuple(writer.named))
            if self.texts is not None:
                self.forms = forms(writer, self.texts.names)

    @classmethod
    def of(cls, server, index, root, options) -> "HotText | None":
        """The short way for a bound tree, None if there is none."""
        if options.sort_by is not None and (type(index.by_name.get(options.sort_by)) is not NumericField or options.with_scores):
            return None
        if (options.scorer not in (None, DEFAULT_SCORER) or options.summarize or options.highlight
                or options.explain_score or options.with_payloads or options.with_raw_ids or options.with_sort_keys
                or options.offset + options.count > _MAX_RESULTS):
            return None
        return super().of(server, index, root, options)

    def run(self, client, limit_us: int) -> Raw | None:
        """The reply; None if the search has to go the general way this time.
        `limit_us`: what the search may take; 0: no limit."""
        index, server = self.index, self.server
        db = server.keyspace.databases[0]
        docs = index.docs
        if db.expires or db.field_expires or docs.scores or server.config["search-default-scorer"] != DEFAULT_SCORER:
            return None
        if self.sort_field is not None and self.sort_field.has_arrays:
            return None
        try:
            steps = self._ready(perf_counter_ns() + 1000 * limit_us if limit_us else inf)
        except Unfit:                          # that way knows what to do when time is up
            return None
        warnings = steps.warnings
        if warnings:
            server.search.complaints.note_warnings(warnings)
        search, options = steps.search, self.options
        total, rows, scores = 0, (), ()
        if search is not None:
            total = search.run()
            if self.forms is not None and not warnings:
                page = search.page(options.shown_total(total), docs.names, self.forms[client.proto], options.offset)
                if page:
                    return Raw(page)
            rows, scores = search.found()
        hits = []
        writer, texts = self.writer, self.texts
        values, names = docs.values, docs.names
        for i in range(options.offset, len(rows)):
            row = rows[i]
            hit = Hit(names[row])
            if options.with_scores:
                hit.score = number_of(2, scores[i])
            if not writer.is_empty:
                hit.n_pairs, hit.pairs = writer.fields(row, values[row], ())
                if texts is not None and hit.n_pairs == len(writer.named):
                    texts.put(row, hit.pairs, docs.n_rows)
            hits.append(hit)
        return Raw(encode_page(client.proto, total, hits, options, warnings))

    def top(self) -> tuple[list[int], list[float], int, list[bytes]]:
        """The best rows, their scores, how many match in all, and warnings."""
        steps = self._ready(inf)
        if steps.search is None:
            return [], [], 0, steps.warnings
        total = steps.search.run()
        return *steps.search.found(), total, steps.warnings
