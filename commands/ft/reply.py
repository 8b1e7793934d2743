"""Search results to bytes, for RESP2 and RESP3."""
import native
from respserver.protocol.reply import encode

from ..json.documents import expanded
from .fields import NumericField
from .values import text_of

_NIL = {2: b"$-1\r\n", 3: b"_\r\n"}
#: What comes before the rows, with their number; after each row; and after the rows, with the total.
RESP3_HEAD = b"%%5\r\n+attributes\r\n*0\r\n+format\r\n+STRING\r\n+results\r\n*%d\r\n"
RESP3_ROW_END = b"+values\r\n*0\r\n"
RESP3_TAIL = b"+total_results\r\n:%d\r\n+warning\r\n*0\r\n"


#: The heads of bulk strings by their lengths, which are far quicker looked up than made.
HEADS = [b"$%d\r\n" % n for n in range(1024)]
N_HEADS = len(HEADS)
#: Field names whose bulk strings a RowWriter keeps.
_MAX_BULKS = 4096


def distance_text(distance: float) -> bytes:
    """A distance as rows show it: whole numbers as integers, others with 12 significant digits."""
    if distance == distance and -1e17 < distance < 1e17 and distance == int(distance):
        return b"%d" % distance
    return b"%.12g" % distance


def distance_texts(distances: list[float]) -> list[bytes]:
    """Many distances, of which each is below 1e11 for the quick way to be right."""
    if distances and -1e11 < distances[0] and distances[-1] < 1e11 and (distances[0] > 0 or 0.0 not in distances):
        return (b"%.12g " * len(distances) % tuple(distances)).split()
    return [distance_text(distance) for distance in distances]


def sort_key_text(value) -> bytes | None:
    """A sort key as WITHSORTKEYS shows it."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return b"$" + value
    if not isinstance(value, (float, int)):
        return b"$" + text_of(value)
    return b"#%.17g" % value


def hidden_fields(index) -> frozenset[bytes]:
    """The fields that say something about a document and are not shown as parts of it: its language, score and payload."""
    options = index.options
    return frozenset(filter(None, (options.language_field, options.score_field, options.payload_field)))


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


class RowWriter:
    """Which fields of a document a search returns, and in which order: distances, the sort field if it is one of them,
    then the rest.

    `returns` as in SearchOptions.returns; `yields`: names of the distances that the query gives; `lead`: path and name
    of the field that SORTBY had to load, or None."""

    __slots__ = ("is_empty", "distances", "named", "columns", "lead", "lead_keys", "is_all", "only_distance", "is_whole",
                 "is_expanded", "edit", "docs", "key_at", "hidden", "_bulks")

    def __init__(self, index, returns, no_content: bool, yields: list[bytes], lead: tuple[bytes, bytes] | None,
                 is_whole: bool = False, is_expanded: bool = False):
        self.is_whole = is_whole                            # JSONPaths stand for all that they find ...
        self.is_expanded = is_expanded                      # ... as RESP values instead of JSON texts
        self.is_empty = no_content or returns == []
        self.is_all = returns is None
        self.distances: list[tuple[int, bytes]] = []        # (position among yields, its name's reply)
        self.named: list[tuple[bytes, bytes]] = []          # (path in the hash, name's reply)
        self.columns: list[tuple] = []                      # (position in `named`, numeric field whose sort key is shown)
        self._bulks: dict[bytes, bytes] = {}                # names of fields as bulk strings
        self.lead = lead
        self.lead_keys = None                               # of the rows, where they are shown instead of that field's value
        if (lead is not None and lead[0] != lead[1] and not index.source.is_json
                and (field := index.by_name[lead[1]]).sort_keys is not None and not field.spec.unf):
            self.lead_keys = field.sort_keys
        self.docs = index.docs
        self.key_at = -1                                    # where in `named` the document's key is asked for
        self.hidden = index.hidden
        self.edit = None            # function(row, path, value) that gives the value to return; None: as it is
        if self.is_empty:
            pass
        elif self.is_all:
            self.distances = [(i, bulk(name)) for i, name in enumerate(yields)]
        else:
            asked = hidden_fields(index)
            wanted = list({name: path for path, name in reversed(returns) if name not in asked}.items())[::-1]
            for i, given in enumerate(yields):
                self.distances += [(i, bulk(name)) for name, path in wanted if path == given]
            rest = [(name, path) for name, path in wanted if path not in yields]
            if lead is not None:
                rest.sort(key=lambda entry: entry[1] != lead[1])
            for name, path in rest:
                field = index.by_name.get(path)
                if type(field) is NumericField and (field.spec.sortable or not index.source.is_json) and not is_whole:
                    self.columns.append((len(self.named), field))
                elif field is None and path == b"__key":
                    self.key_at = len(self.named)
                self.named.append((path if field is None else field.path, bulk(name)))
        self.only_distance = len(self.distances) == 1 and not self.named and not self.is_all

    def fields(self, row: int, value, distances) -> tuple[int, bytes]:
        """The pairs of one document: how many, and their bytes. `value`: its hash; `distances`: texts (for FORMAT EXPAND:
        numbers) in the order of `yields`."""
        out = []
        for i, name in self.distances:
            text = distances[i]
            if self.is_expanded:
                out.append(name + encode(text, 3))
            elif text is not None:
                out.append(b"%b$%d\r\n%b\r\n" % (name, len(text), text))
        if self.is_whole:
            value = value.whole
        if self.is_expanded:
            out += self._expanded(value)
        elif self.is_all:
            lead = self.lead
            if lead is not None and (text := value.get(lead[0])) is not None:
                if self.lead_keys is not None:
                    text = self.lead_keys.get(row, text)
                if self.edit is not None:
                    text = self.edit(row, lead[0], text)
                out.append(b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(lead[1]), lead[1], len(text), text))
            skip = self.hidden if lead is None or lead[0] != lead[1] else self.hidden | {lead[0]}
            edit, bulks, n_before = self.edit, self._bulks, len(out)
            pieces = []
            for name, text in value.items():
                if name not in skip:
                    if edit is not None:
                        text = edit(row, name, text)
                    n = len(text)
                    pieces += (bulks.get(name) or self._bulk_of(name), HEADS[n] if n < N_HEADS else b"$%d\r\n" % n, text, b"\r\n")
            return n_before + len(pieces) // 4, b"".join(out + pieces)
        else:
            get = value.get
            texts = [get(path) for path, _ in self.named]
            if self.edit is not None:
                texts = [None if text is None else self.edit(row, path, text) for text, (path, _) in zip(texts, self.named)]
            for i, field in self.columns:
                if field.has_arrays:
                    continue
                number = field.sort_key(row)
                texts[i] = None if number is None else distance_text(number)
            if self.key_at >= 0 and texts[self.key_at] is None:
                texts[self.key_at] = self.docs.keys[row]
            for text, (_, name) in zip(texts, self.named):
                if text is not None:
                    out.append(b"%b$%d\r\n%b\r\n" % (name, len(text), text))
        return len(out), b"".join(out)

    def _bulk_of(self, name: bytes) -> bytes:
        if len(self._bulks) >= _MAX_BULKS:
            self._bulks.clear()
        self._bulks[name] = made = bulk(name)
        return made

    def _expanded(self, view) -> list[bytes]:
        """The pairs of a JSON document whose values are RESP3 arrays and maps."""
        if self.is_all:
            whole = b"$1\r\n$\r\n" + encode([expanded(view.document.root, True)], 3)
            values = view.found(self.lead[0]) if self.lead is not None else ()
            return [bulk(self.lead[1]) + encode([expanded(one, True) for one in values], 3), whole] if values else [whole]
        found = [(name, view.found(path)) for path, name in self.named]
        return [name + encode([expanded(one, True) for one in values], 3) for name, values in found if values]


def forms(writer: RowWriter, rest: native.Names | None = None) -> dict[int, native.Form]:
    """The replies of searches that return keys, or keys with their one distance, in the engine's terms, by protocol. `rest`:
    with that, if there is one, and all of the fields that the writer names, which it says of each row."""
    has_distance, has_pairs = bool(writer.distances), not writer.is_empty
    n_pairs = has_distance + (len(writer.named) if rest is not None else 0)
    name = writer.distances[0][1] if has_distance else b""
    resp3_start, resp3_rest = RESP3_HEAD.replace(b"%%", b"%").split(b"%d")
    total_name, total_end = RESP3_TAIL.split(b"%d")
    return {2: native.Form(b"*", b"\r\n:", b"", b"*%d\r\n" % (2 * n_pairs) + name if has_pairs else b"", b"", b"", b"\r\n",
                           per_row=1 + has_pairs, is_total_first=True, has_distance=has_distance, rest=rest),
            3: native.Form(resp3_start, resp3_rest, b"%3\r\n+id\r\n" if has_pairs else b"%2\r\n+id\r\n",
                           b"+extra_attributes\r\n%%%d\r\n" % n_pairs + name if has_pairs else b"", RESP3_ROW_END,
                           total_name, total_end, per_row=1, is_total_first=False, has_distance=has_distance, rest=rest)}


class Hit:
    """One document of a page."""

    __slots__ = ("key_reply", "score", "explained", "raw_id", "payload", "sort_key", "n_pairs", "pairs")

    def __init__(self, key_reply: bytes, score=None, payload=None, sort_key=None, n_pairs: int = 0,
                 pairs: bytes | None = None):
        self.key_reply = key_reply
        self.score = score                  # bytes: as text
        self.explained = None               # how it came about, for EXPLAINSCORE
        self.raw_id = 0
        self.payload = payload
        self.sort_key = sort_key
        self.n_pairs = n_pairs
        self.pairs = pairs                  # None: no field array


def encode_page(proto: int, total: int, hits: list[Hit], options, warnings=()) -> bytes:
    """The reply of FT.SEARCH. `options`: what decides which parts are there (SearchOptions)."""
    nil = _NIL[proto]
    total = options.shown_total(total)
    scores, payloads, keys = options.with_scores, options.with_payloads, options.with_sort_keys
    raw_ids = options.with_raw_ids
    if proto == 2:
        per_hit = 1 + scores + raw_ids + payloads + keys + (hits[0].pairs is not None if hits else 0)
        out = [b"*%d\r\n:%d\r\n" % (1 + per_hit * len(hits), total)]
        for hit in hits:
            out.append(hit.key_reply)
            if scores:
                score = bulk(hit.score)
                out.append(score if hit.explained is None else b"*2\r\n" + score + encode(hit.explained, 2))
            if raw_ids:
                out.append(b":%d\r\n" % hit.raw_id)
            if payloads:
                out.append(nil if hit.payload is None else bulk(hit.payload))
            if keys:
                out.append(nil if hit.sort_key is None else bulk(hit.sort_key))
            if hit.pairs is not None:
                out.append(b"*%d\r\n" % (2 * hit.n_pairs))
                out.append(hit.pairs)
        return b"".join(out)
    head = RESP3_HEAD if options.format != "EXPAND" else RESP3_HEAD.replace(b"STRING", b"EXPAND")
    out = [head % len(hits)]
    for hit in hits:
        out.append(b"%%%d\r\n+id\r\n%b" % (2 + scores + raw_ids + payloads + keys + (hit.pairs is not None), hit.key_reply))
        if scores and hit.explained is not None:
            out.append(b"+score\r\n*2\r\n,%b\r\n%b" % (hit.score, encode(hit.explained, 3)))
        elif scores:
            out.append(b"+score\r\n,%b\r\n" % hit.score)
        if raw_ids:
            out.append(b"+docId\r\n:%d\r\n" % hit.raw_id)
        if payloads:
            out.append(b"+payload\r\n" + (nil if hit.payload is None else bulk(hit.payload)))
        if keys:
            out.append(b"+sortkey\r\n" + (nil if hit.sort_key is None else bulk(hit.sort_key)))
        if hit.pairs is not None:
            out.append(b"+extra_attributes\r\n%%%d\r\n" % hit.n_pairs)
            out.append(hit.pairs)
        out.append(RESP3_ROW_END)
    if warnings:
        out.append(b"+total_results\r\n:%d\r\n+warning\r\n%b" % (total, encode(list(warnings), 3)))
    else:
        out.append(RESP3_TAIL % total)
    return b"".join(out)
