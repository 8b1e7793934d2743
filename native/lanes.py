"""Lanes: connections that the engine serves by itself, from the socket to the reply; see vec.h."""
import math

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
    """Connections whose requests are known but for a vector, served from the socket to the reply; see vec.h.
    To be used by one thread."""

    def __init__(self):
        out = ffi.new("vec_lanes **")
        _check(lib.vec_lanes_create(out))
        self._ptr = ffi.gc(out[0], lib.vec_lanes_free)
        self._tallies = ffi.new("vec_lane_tally[]", 64)

    def fileno(self):
        """Readable while turn() has something to do."""
        return lib.vec_lanes_fd(self._ptr)

    def turn(self, crew, budget_us, watch_ns):
        """Serves what has arrived, and what arrives meanwhile for about budget_us; 0: only what was left by the turn before.
        Returns events: (what, ...), see Lane.join and Road. The crew must be closed before the lanes are."""
        n = lib.vec_lanes_turn(self._ptr, crew._ptr, budget_us * 1000, min(watch_ns, (1 << 63) - 1))
        return _events(lib.vec_lanes_events(self._ptr), n) if n else ()

    def tallies(self):
        """(tag, requests, bytes in, bytes out) of connections since the last time."""
        found = []
        while n := lib.vec_lanes_tallies(self._ptr, self._tallies, 64):
            found += [(t.tag, t.n, getattr(t, "in"), t.out) for t in self._tallies[0:n]]
        return found

    def leave(self, number):
        """Takes a connection off its lane: the event "given"; None if it is on none."""
        e = lib.vec_lanes_leave(self._ptr, number)
        return _events(e, 1)[0] if e != ffi.NULL else None

    def close(self):
        """Frees everything; lanes and crews are closed."""
        ffi.release(self._ptr)


def _events(first, n):
    events = []
    for i in range(n):
        e = first[i]
        if e.what == lib.VEC_LANE_DOUBTED:
            events.append(("doubted", e.tag))
        elif e.what == lib.VEC_LANE_MISSING:
            events.append(("missing", e.tag, ffi.unpack(ffi.cast("uint64_t *", e.bytes), e.n_bytes // 8)))
        elif e.what == lib.VEC_LANE_FOUND:
            n_found = e.n_bytes // 16
            labels, distances = ffi.cast("uint64_t *", e.bytes), ffi.cast("double *", e.bytes) + n_found
            events.append(("found", e.tag, e.road, ffi.unpack(labels, n_found), ffi.unpack(distances, n_found)))
        elif e.what == lib.VEC_LANE_SLOW:
            events.append(("slow", e.tag, ffi.unpack(e.bytes, e.n_bytes), e.took_ns))
        else:
            events.append(("given" if e.what == lib.VEC_LANE_GIVEN else "unsent", e.tag, ffi.unpack(e.bytes, e.n_bytes),
                           (e.n, getattr(e, "in"), e.out)))
    return events


class Lane:
    """One shape of request: it begins with `prefix`, then come n_before words, a vector of vector_bytes bytes, n_behind words."""

    def __init__(self, lanes, prefix, n_before, n_behind, vector_bytes):
        out = ffi.new("vec_lane **")
        _check(lib.vec_lane_create(lanes._ptr, prefix, len(prefix), n_before, n_behind, vector_bytes, out))
        self._ptr = ffi.gc(out[0], lib.vec_lane_free)
        self._lanes = lanes                         # which must not be freed before
        self._vector_bytes = vector_bytes
        self._stats = ffi.new("vec_lane_stats *")
        self._costs = ffi.new("vec_road_cost[]", 64)

    def join(self, fd, tag):
        """Serves a connected socket that nobody else reads; returns its number. Events about it, by its tag: ("given", tag,
        bytes, tally): it is off the lane, these bytes were read and not answered; ("unsent", tag, bytes, tally): it is off, this
        is the rest of a reply; ("slow", tag, bytes, ns): this request took so long; ("found", tag, the road's tag, labels,
        distances): the caller is to send the reply before the next turn. tally: (requests, bytes in, bytes out) that were not
        told before."""
        return _check(lib.vec_lanes_join(self._ptr, fd, tag))

    def doubt(self):
        """What its roads were set to may no longer be right."""
        lib.vec_lane_doubt(self._ptr)

    def take_stats(self):
        """Since the last time: (requests, their ns, requests by the bit length of their ns, the latest vectors)."""
        s, n = self._stats, self._vector_bytes
        lib.vec_lane_take_stats(self._ptr, s)
        return s.n, s.ns, ffi.unpack(s.histogram, 64) if s.n else (), [ffi.unpack(s.recent + i * n, n) for i in range(s.n_recent)]

    def costs(self):
        """(tag, searches on the caller's thread, their ns, running mean of what one takes in ns) of the roads that were searched
        on since the last time."""
        found = []
        while n := lib.vec_lane_costs(self._ptr, self._costs, 64):
            found += [(c.tag, c.n_own, c.own_ns, c.search_ns) for c in self._costs[0:n]]
        return found

    def close(self):
        """Frees it; its connections have left, its roads are closed."""
        ffi.release(self._ptr)


class Road:
    """One request of a lane: `head`, a vector, `tail`, and what is done for it. Events about it, by its tag: ("missing", tag,
    labels): Places has to be told of these before the next turn; ("doubted", tag): it is wanted, but its lane is in doubt; who
    waits there is "given" with the next turn unless set() or confirm() comes before. Raises NativeError if the lane has such a
    road."""

    def __init__(self, lane, tag, head, tail):
        out = ffi.new("vec_road **")
        _check(lib.vec_road_create(lane._ptr, tag, head, len(head), tail, len(tail), out))
        self._ptr = ffi.gc(out[0], lib.vec_road_free)
        self._lane = lane                           # which must not be freed before
        self._lanes = lane._lanes._ptr
        self._held = None

    def set(self, index, query, names, form, order, ruler, places, n_rescored, k, slack=math.inf, usual=None):
        """What is done for a request from now on: a search (Query) and its reply (Names, Form, order as in Crew.replies). ruler:
        None, or of the candidates found the first n_rescored are measured again (Ruler, Places) and the k nearest answered;
        slack: fewer, as in Ruler.rescore, usual: about so many (None: n_rescored). form: None for events "found" instead of
        replies."""
        rescoring = ffi.new("vec_rescore *", (n_rescored, n_rescored if usual is None else usual, slack))
        order_pointer = ffi.from_buffer("int64_t[]", order)
        form_pointer = form._pointer if form is not None else ffi.NULL
        ruler_pointer, places_pointer = (ruler._ptr, places._ptr) if ruler is not None else (ffi.NULL, ffi.NULL)
        _check(lib.vec_road_set(self._ptr, index._ptr, query._pointer, names._ptr, form_pointer, order_pointer, ruler_pointer,
                                places_pointer, rescoring, k))
        self._held = index, query, names, form, order_pointer, ruler, places

    def confirm(self):
        """What it was set to is right."""
        lib.vec_road_confirm(self._ptr)

    def close(self):
        """Frees it. Returns events "given" of the connections that waited for an answer on it."""
        n = lib.vec_road_leave(self._ptr)
        events = _events(lib.vec_lanes_events(self._lanes), n)
        ffi.release(self._ptr)
        self._held = None
        return events
