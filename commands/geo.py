"""The geo commands: sorted sets whose scores are cells of a grid on the globe (respserver/values/geo.py)."""
from operator import itemgetter

from respserver.protocol.errors import (
    GEO_ANY_NEEDS_COUNT, GEO_BOX_NEGATIVE, GEO_COUNT, GEO_HEIGHT, GEO_MEMBER, GEO_NOT_A_PLACE, GEO_ONE_CENTRE, GEO_ONE_SHAPE,
    GEO_RADIUS, GEO_RADIUS_NEGATIVE, GEO_STORE_WITH, GEO_UNIT, GEO_WIDTH, CommandError,
)
from respserver.protocol.reply import NULL_ARRAY, Raw
from respserver.registry import command
from respserver.values.geo import UNITS, Box, Circle, decode, distance, encode, is_place, number_of, text
from respserver.values.sorted_set import SortedSet

from .arguments import syntax_error, to_float, to_int
from .sorted_sets import add, store

_KEY = (1, 1, 1)
_EMPTY = SortedSet()
_AREA = "O(N+log(M)) for N members in the squares of the grid around the area and M members in it"


def _place(lon: bytes, lat: bytes) -> tuple[float, float]:
    x, y = to_float(lon), to_float(lat)
    if not is_place(x, y):
        raise CommandError(GEO_NOT_A_PLACE.format(x, y))
    return x, y


def _unit(word: bytes) -> float:
    metres = UNITS.get(word.lower())
    if metres is None:
        raise CommandError(GEO_UNIT)
    return metres


def _place_of(value: SortedSet, member: bytes) -> tuple[float, float]:
    score = value.score(member)
    if score is None:
        raise CommandError(GEO_MEMBER)
    return decode(number_of(score))


def _degrees(client, place) -> list:
    """Longitude and latitude with as many digits as they have, up to 17 behind the point."""
    found = []
    for angle in place:
        digits = f"{angle:.17f}".rstrip("0").rstrip(".").encode()
        found.append(Raw(b",%b\r\n" % digits) if client.proto == 3 else digits)
    return found


def _metres(length: float, unit: float) -> bytes:
    return b"%.4f" % (length / unit)


@command("GEOADD", arity=-5, flags="write denyoom", keys=_KEY, group="geo", since="3.2.0", access="RW",
         complexity="O(log(N)) for each member",
         summary="Gives members of a sorted set places; makes those that are new.")
def geoadd(client, key, *words):
    options, i = set(), 0
    while i < len(words) and (word := words[i].upper()) in (b"NX", b"XX", b"CH"):
        options.add(word)
        i += 1
    triples = words[i:]
    if len(triples) % 3 or options >= {b"NX", b"XX"}:
        raise syntax_error()
    pairs = []
    for lon, lat, member in zip(triples[::3], triples[1::3], triples[2::3]):
        pairs += b"%d" % encode(*_place(lon, lat)), member
    return add(client, key, options, pairs)


@command("GEOPOS", arity=-2, flags="readonly", keys=_KEY, group="geo", since="3.2.0", complexity="O(1) for each member",
         summary="Returns longitude and latitude of members.")
def geopos(client, key, *members):
    value = client.db.get_as(key, SortedSet) or _EMPTY
    scores = map(value.score, members)
    return [NULL_ARRAY if score is None else _degrees(client, decode(number_of(score))) for score in scores]


@command("GEOHASH", arity=-2, flags="readonly", keys=_KEY, group="geo", since="3.2.0", complexity="O(1) for each member",
         summary="Returns the standard geohashes of members.")
def geohash(client, key, *members):
    value = client.db.get_as(key, SortedSet) or _EMPTY
    scores = map(value.score, members)
    return [None if score is None else text(number_of(score)) for score in scores]


@command("GEODIST", arity=-4, flags="readonly", keys=_KEY, group="geo", since="3.2.0", complexity="O(1)",
         summary="Returns the distance between two members.")
def geodist(client, key, one, other, *words):
    unit = _unit(words[0]) if words else 1.0
    if len(words) > 1:
        raise syntax_error()
    value = client.db.get_as(key, SortedSet) or _EMPTY
    if one not in value or other not in value:
        return None
    return _metres(distance(*_place_of(value, one), *_place_of(value, other)), unit)


class _Options:
    """What the words behind the key, or behind centre and radius, ask for."""

    def __init__(self, name: str, words, value: SortedSet | None, *, by_words: bool, may_store: bool, stores: bool = False):
        """`by_words`: the centre and the shape are among them (GEOSEARCH); `may_store`: STORE and STOREDIST key are (GEORADIUS);
        `stores`: the result is stored (GEOSEARCHSTORE)."""
        self.centre: tuple[float, float] | None = None
        self.area: tuple[float, ...] = ()               # radius, or width and height, metres
        self.unit = 1.0
        self.with_distance = self.with_hash = self.with_place = False
        self.count, self.any, self.order = 0, False, b""
        self.target: bytes | None = None
        self.stores_distances = False
        from_member = from_place = by_radius = by_box = False
        i = 0
        while i < len(words):
            word, left = words[i].upper(), len(words) - i - 1
            i += 1
            if word == b"WITHDIST":
                self.with_distance = True
            elif word == b"WITHHASH":
                self.with_hash = True
            elif word == b"WITHCOORD":
                self.with_place = True
            elif word == b"ANY":
                self.any = True
            elif word in (b"ASC", b"DESC"):
                self.order = word
            elif word == b"COUNT" and left:
                self.count = to_int(words[i])
                if self.count <= 0:
                    raise CommandError(GEO_COUNT)
                i += 1
            elif word in (b"STORE", b"STOREDIST") and may_store and left:
                self.target, self.stores_distances = words[i], word == b"STOREDIST"
                i += 1
            elif word == b"STOREDIST" and stores:
                self.stores_distances = True
            elif word == b"FROMMEMBER" and by_words and left and not from_place:
                from_member = True
                if value is not None:
                    self.centre = _place_of(value, words[i])
                i += 1
            elif word == b"FROMLONLAT" and by_words and left >= 2 and not from_member:
                from_place = True
                self.centre = _place(words[i], words[i + 1])
                i += 2
            elif word == b"BYRADIUS" and by_words and left >= 2 and not by_box:
                by_radius = True
                self.area, self.unit = _circle(words[i], words[i + 1])
                i += 2
            elif word == b"BYBOX" and by_words and left >= 3 and not by_radius:
                by_box = True
                self.area, self.unit = _box(words[i:i + 3])
                i += 3
            else:
                raise syntax_error()
        if (stores or self.target is not None) and (self.with_distance or self.with_hash or self.with_place):
            raise CommandError(GEO_STORE_WITH.format("GEOSEARCHSTORE" if stores else "STORE option in GEORADIUS"))
        if by_words and not (from_member or from_place):
            raise CommandError(GEO_ONE_CENTRE.format(name))
        if by_words and not (by_radius or by_box):
            raise CommandError(GEO_ONE_SHAPE.format(name))
        if self.any and not self.count:
            raise CommandError(GEO_ANY_NEEDS_COUNT)
        if self.count and not self.order and not self.any:
            self.order = b"ASC"

    def find(self, value: SortedSet) -> list[tuple[float, bytes, float]]:
        """(distance, member, score) of the members in the area, in the order asked for."""
        shape = (Circle if len(self.area) == 1 else Box)(*self.centre, *self.area)
        enough = self.count if self.any else 0
        found: list[tuple[float, bytes, float]] = []
        for first, behind in shape.ranges():
            for score, member in value.slice(value.below(first, False), value.below(behind, False)):
                length = shape.distance(*decode(number_of(score)))
                if length is not None:
                    found.append((length, member, score))
                    if len(found) == enough:
                        return self._ordered(found)
        return self._ordered(found)

    def _ordered(self, found: list) -> list:
        if self.order:
            found.sort(key=itemgetter(0), reverse=self.order == b"DESC")
        return found[:self.count] if self.count else found

    def reply(self, client, found: list) -> list:
        """Members, or lists of member, distance, score and place as far as they are asked for."""
        if not (self.with_distance or self.with_hash or self.with_place):
            return [member for _, member, _ in found]
        rows = []
        for length, member, score in found:
            row: list = [member]
            if self.with_distance:
                row.append(_metres(length, self.unit))
            if self.with_hash:
                row.append(number_of(score))
            if self.with_place:
                row.append(_degrees(client, decode(number_of(score))))
            rows.append(row)
        return rows

    def store(self, client, target: bytes, found: list, event: str) -> int:
        """Puts what was found into a sorted set, with the places or the distances. Returns how many members that has."""
        pairs = [(member, length / self.unit if self.stores_distances else score) for length, member, score in found]
        return store(client.db, target, pairs, event)


def _circle(radius: bytes, unit: bytes) -> tuple[tuple[float], float]:
    length = to_float(radius, GEO_RADIUS)
    if length < 0:
        raise CommandError(GEO_RADIUS_NEGATIVE)
    metres = _unit(unit)
    return (length * metres,), metres


def _box(words) -> tuple[tuple[float, float], float]:
    width, height = to_float(words[0], GEO_WIDTH), to_float(words[1], GEO_HEIGHT)
    if width < 0 or height < 0:
        raise CommandError(GEO_BOX_NEGATIVE)
    metres = _unit(words[2])
    return (width * metres, height * metres), metres


@command("GEOSEARCH", arity=-7, flags="readonly", keys=_KEY, group="geo", since="6.2.0", complexity=_AREA,
         summary="Returns the members within a distance, or in a box, around a place or a member.")
def geosearch(client, key, *words):
    value = client.db.get_as(key, SortedSet)
    asked = _Options("GEOSEARCH", words, value, by_words=True, may_store=False)
    return [] if value is None else asked.reply(client, asked.find(value))


@command("GEOSEARCHSTORE", arity=-8, flags="write denyoom", keys=(1, 2, 1), group="geo", since="6.2.0", access="W R",
         complexity=_AREA,
         summary="Stores the members within a distance, or in a box, around a place or a member.")
def geosearchstore(client, target, key, *words):
    value = client.db.get_as(key, SortedSet)
    asked = _Options("GEOSEARCHSTORE", words, value, by_words=True, may_store=False, stores=True)
    return asked.store(client, target, [] if value is None else asked.find(value), "geosearchstore")


def _around(client, key, centre, radius, unit, words, may_store: bool):
    """GEORADIUS and its like. `centre(value)` gives longitude and latitude; None: there is no such key, so that the radius
    does not matter."""
    value = client.db.get_as(key, SortedSet)
    place = centre(value)
    area, metres = _circle(radius, unit) if place is not None else ((), 1.0)
    asked = _Options("GEORADIUS", words, value, by_words=False, may_store=may_store)
    asked.centre, asked.area, asked.unit = place, area, metres
    found = [] if value is None else asked.find(value)
    if asked.target is not None:
        return asked.store(client, asked.target, found, "georadiusstore")
    return asked.reply(client, found)


def _member_place(member):
    def centre(value):
        if value is None:
            return None
        return _place_of(value, member)
    return centre


def _with_target(first: int):
    """The get_keys of a command that may have STORE or STOREDIST key from word `first` on."""
    def keys(words):
        options = [word.upper() for word in words[first:-1]]
        return [words[1], *(words[first + options.index(word) + 1] for word in (b"STORE", b"STOREDIST") if word in options)]
    return keys


@command("GEORADIUS", arity=-6, flags="write denyoom movablekeys", keys=_KEY, group="geo", since="3.2.0", access="R W",
         complexity=_AREA,
         get_keys=_with_target(5), summary="Returns or stores the members within a distance around a place.")
def georadius(client, key, lon, lat, radius, unit, *words):
    return _around(client, key, lambda value: _place(lon, lat), radius, unit, words, True)


@command("GEORADIUS_RO", arity=-6, flags="readonly", keys=_KEY, group="geo", since="3.2.10", complexity=_AREA,
         summary="Returns the members within a distance around a place.")
def georadius_ro(client, key, lon, lat, radius, unit, *words):
    return _around(client, key, lambda value: _place(lon, lat), radius, unit, words, False)


@command("GEORADIUSBYMEMBER", arity=-5, flags="write denyoom movablekeys", keys=_KEY, group="geo", since="3.2.0", access="R W",
         complexity=_AREA,
         get_keys=_with_target(4), summary="Returns or stores the members within a distance around a member.")
def georadiusbymember(client, key, member, radius, unit, *words):
    return _around(client, key, _member_place(member), radius, unit, words, True)


@command("GEORADIUSBYMEMBER_RO", arity=-5, flags="readonly", keys=_KEY, group="geo", since="3.2.10", complexity=_AREA,
         summary="Returns the members within a distance around a member.")
def georadiusbymember_ro(client, key, member, radius, unit, *words):
    return _around(client, key, _member_place(member), radius, unit, words, False)
