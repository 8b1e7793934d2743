"""Lanes: connections that the engine serves by itself, from the socket to the reply; see vec.h."""
from native import _check
from native._vec import ffi, lib


class Places:
    """Where the vectors of labels lie, so that lanes can measure them: in memory, where it keeps them, or in slots of a file."""

    def __init__(self):
        out = ffi.new("vec_places **")
        _check(lib.vec_places_create(out))
        self._ptr = ffi.gc(out[0], lib.vec_places_free)
        self._kept = []
        self._reader = None                         # of the slots, kept open

    def put(self, label, vector):
        """A label's vector, bytes of the right size; None: it has none."""
        kept = self._kept
        if label >= len(kept):
            kept.extend([None] * (label + 1 - len(kept)))
        _check(lib.vec_places_set(self._ptr, label, ffi.NULL if vector is None else vector))
        kept[label] = vector

    def put_slot(self, label, reader, slot):
        """A label's vector is in a slot of the file that a SlotReader reads, the same for all labels until clear()."""
        _check(lib.vec_places_set_slot(self._ptr, label, reader._ptr, slot))
        self._reader = reader

    def clear(self):
        """Forgets all of them."""
        lib.vec_places_clear(self._ptr)
        self._kept.clear()
        self._reader = None

    def forget(self, label):
        """A label's vector is another, or has moved."""
        lib.vec_places_forget(self._ptr, label)
        if label < len(self._kept):
            self._kept[label] = None


class Lanes:
    """Connections whose requests differ in nothing but a vector, served from the socket to the reply; see vec.h. To be used by one thread."""

    def __init__(self):
        out = ffi.new("vec_lanes **")
        _check(lib.vec_lanes_create(out))
        self._ptr = ffi.gc(out[0], lib.vec_lanes_free)
        self._tallies = ffi.new("vec_lane_tally[]", 64)
        self.by_address = {}

    def fileno(self):
        """Readable while turn() has something to do."""
        return lib.vec_lanes_fd(self._ptr)

    def turn(self, crew, budget_us, watch_ns):
        """Serves what has arrived, and what arrives meanwhile for about budget_us. Returns events: (what, ...), see Lane.join. The crew must
        be closed before the lanes are."""
        n = lib.vec_lanes_turn(self._ptr, crew._ptr, budget_us * 1000, min(watch_ns, (1 << 63) - 1))
        return self._events(lib.vec_lanes_events(self._ptr), n) if n else ()

    def _events(self, first, n):
        events = []
        for i in range(n):
            e = first[i]
            if e.what == lib.VEC_LANE_MISSING:
                labels = ffi.unpack(ffi.cast("uint64_t *", e.bytes), e.n_bytes // 8)
                events.append(("missing", self.by_address[e.tag], labels))
            elif e.what == lib.VEC_LANE_FOUND:
                n = e.n_bytes // 16
                labels, distances = ffi.cast("uint64_t *", e.bytes), ffi.cast("double *", e.bytes) + n
                events.append(("found", e.tag, ffi.unpack(labels, n), ffi.unpack(distances, n)))
            elif e.what == lib.VEC_LANE_SLOW:
                events.append(("slow", e.tag, ffi.unpack(e.bytes, e.n_bytes), e.took_ns))
            else:
                events.append(("given" if e.what == lib.VEC_LANE_GIVEN else "unsent", e.tag, ffi.unpack(e.bytes, e.n_bytes),
                               (e.n, getattr(e, "in"), e.out)))
        return events

    def tallies(self):
        """(tag, requests, bytes in, bytes out) of connections since the last time."""
        found = []
        while n := lib.vec_lanes_tallies(self._ptr, self._tallies, 64):
            found += [(t.tag, t.n, getattr(t, "in"), t.out) for t in self._tallies[0:n]]
        return found

    def leave(self, number):
        """Takes a connection off its lane: the event "given"."""
        e = lib.vec_lanes_leave(self._ptr, number)
        return self._events(e, 1)[0] if e != ffi.NULL else None

    def close(self):
        """Frees everything; lanes and crews are closed."""
        ffi.release(self._ptr)


class Lane:
    """One kind of request: `head`, a vector of vector_bytes bytes, `tail`."""

    def __init__(self, lanes, head, tail, vector_bytes):
        out = ffi.new("vec_lane **")
        _check(lib.vec_lane_create(lanes._ptr, head, len(head), tail, len(tail), vector_bytes, out))
        self._ptr = ffi.gc(out[0], lib.vec_lane_free)
        self._lanes = lanes
        self._address = int(ffi.cast("uintptr_t", self._ptr))
        self._vector_bytes = vector_bytes
        self._stats = ffi.new("vec_lane_stats *")
        lanes.by_address[self._address] = self
        self._held = None

    def set(self, index, query, names, form, order, ruler, places, n_rescored, k):
        """What is done for a request from now on: a search (Query) and its reply (Names, Form, order as in Crew.replies). ruler: None, or
        of the candidates found the first n_rescored are measured again (Ruler, Places) and the k nearest answered. form: None for events
        "found" instead of replies."""
        order_pointer = ffi.from_buffer("int64_t[]", order)
        form_pointer = form._pointer if form is not None else ffi.NULL
        ruler_pointer, places_pointer = (ruler._ptr, places._ptr) if ruler is not None else (ffi.NULL, ffi.NULL)
        _check(lib.vec_lane_set(self._ptr, index._ptr, query._pointer, names._ptr, form_pointer, order_pointer, ruler_pointer, places_pointer,
                                n_rescored, k))
        self._held = index, query, names, form, order_pointer, ruler, places

    def join(self, fd, tag):
        """Serves a connected socket that nobody else reads; returns its number. Events about it, by its tag: ("given", tag, bytes, tally):
        it is off the lane, these bytes were read and not answered; ("unsent", tag, bytes, tally): it is off, this is the rest of a reply;
        ("slow", tag, bytes, ns): this request took so long. About the lane: ("missing", lane, labels): Places has to be told of these
        before the next turn. ("found", tag, labels, distances): the caller is to send the reply before the next turn. tally: (requests,
        bytes in, bytes out) that were not told before."""
        return _check(lib.vec_lanes_join(self._ptr, fd, tag))

    def take_stats(self):
        """Since the last time: (requests, their ns, searches on the caller's thread, their ns, requests by the bit length of their ns,
        the latest vectors)."""
        s, n = self._stats, self._vector_bytes
        lib.vec_lane_take_stats(self._ptr, s)
        return (s.n, s.ns, s.n_own, s.own_ns, ffi.unpack(s.histogram, 64) if s.n else (),
                [ffi.unpack(s.recent + i * n, n) for i in range(s.n_recent)])

    def close(self):
        """Frees it; its connections have left."""
        del self._lanes.by_address[self._address]
        ffi.release(self._ptr)
        self._held = None
