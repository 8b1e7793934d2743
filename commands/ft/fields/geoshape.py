"""GEOSHAPE: points and polygons."""
import re
from array import array
from importlib import import_module

from pyroaring import BitMap

from .. import errors
from .base import Field, FieldError, fold_whole

_WORD = re.compile(r"[(),]|[^\s(),]+")
#: The library's reasons, as Redis words them.
_REASONS = {"Spike": "Geometry has spikes", "Self-intersection": "Geometry has invalid self-intersections",
            "Ring Self-intersection": "Geometry has invalid self-intersections",
            "Hole lies outside shell": "Geometry has interior rings defined outside the outer boundary",
            "Holes are nested": "Geometry has nested interior rings",
            "Interior is disconnected": "Geometry has disconnected interior",
            "Too few points in geometry component": "Geometry has too few points",
            "Invalid Coordinate": "Geometry has point(s) with invalid coordinate(s)"}
#: Shapes that changed since the tree was built are looked at one by one; more than this many, and a part of all, are built in.
_MAX_LOOSE = 256


class _Shapely:
    """The library, loaded when the first shape is met: a tenth of a second that other servers need not spend at their start."""

    def __getattr__(self, name: str):
        return getattr(import_module("shapely"), name)


shapely = _Shapely()


def shape_of(raw: bytes):
    """The shape of a text. Raises ValueError for one that is no point or polygon, or no valid one."""
    words = _WORD.findall(raw.decode("utf-8", "replace"))
    reader = _Reader(words)
    name = reader.next()
    known = {"POI": "POINT", "POL": "POLYGON"}.get(name[:3].upper())
    if known is None:
        raise ValueError("unknown geometry type")
    if name.upper() != known:
        raise ValueError(f"Should start with '{known}' in '{' '.join(words)}'")
    if known == "POINT":
        reader.expect("(")
        at = reader.point()
        if at is None:
            raise ValueError("invalid geometry: Geometry has too few points")
        shape = shapely.Point(at)
        reader.expect(")")
    else:
        shape = _polygon(reader.rings())
    if reader.words:
        raise ValueError(f"Too many tokens at '{reader.words[-1]}'")
    return shape


class _Reader:
    """Reads well-known text as generously as Redis does: a number too many is passed over, and so is the corner of a polygon
    that lacks one; rings need no comma between them."""

    def __init__(self, words: list[str]):
        self.words = words[::-1]

    def next(self) -> str:
        return self.words.pop() if self.words else ""

    def peek(self) -> str:
        return self.words[-1] if self.words else ""

    def expect(self, word: str) -> None:
        found = self.next()
        if found != word:
            raise ValueError(f"Expected '{word}' at '{found}'")

    def point(self) -> tuple[float, float] | None:
        """A pair of numbers; None if there are fewer."""
        numbers = []
        while self.peek() not in ("", ",", ")"):
            word = self.next()
            if len(numbers) < 2:
                try:
                    numbers.append(float(word))
                except ValueError:
                    raise ValueError("bad lexical cast: source type value could not be interpreted as target") from None
        return tuple(numbers) if len(numbers) == 2 else None

    def rings(self) -> list[list[tuple[float, float]]]:
        found = []
        self.expect("(")
        while self.words and self.peek() != ")":
            ring = []
            self.expect("(")
            while self.words and self.peek() != ")":
                if (corner := self.point()) is not None:
                    ring.append(corner)
                if self.peek() == ",":
                    self.next()
            self.expect(")")
            found.append(ring)
            if self.peek() == ",":
                self.next()
        self.expect(")")
        return found


def _polygon(rings: list):
    closed = [ring if ring and ring[0] == ring[-1] else [*ring, *ring[:1]] for ring in rings] or [[]]
    if any(len(ring) < 4 or len(set(ring)) < 3 for ring in closed):
        raise ValueError("invalid geometry: Geometry has too few points")
    shape = shapely.Polygon(closed[0], closed[1:])
    if not shapely.is_valid(shape):
        reason = shapely.is_valid_reason(shape).partition("[")[0]
        if any(map(_has_spikes, closed)):
            reason = "Spike"
        raise ValueError(f"invalid geometry: {_REASONS.get(reason, reason)}")
    return shape


def _has_spikes(ring: list) -> bool:
    """Whether a line of a closed ring goes back on the one before it."""
    for (ax, ay), (bx, by), (cx, cy) in zip(ring, ring[1:], [*ring[2:], ring[1]]):
        ux, uy, vx, vy = bx - ax, by - ay, cx - bx, cy - by
        if ux * vy == uy * vx and ux * vx + uy * vy < 0:
            return True
    return False


class GeoShapeField(Field):
    """A point or polygon as WKT. A bad one is counted, and the document is indexed without it, as in Redis. Relations are planar,
    coordinates being degrees for SPHERICAL."""

    type_name = "GEOSHAPE"
    keeps_document = True

    def __init__(self, spec):
        super().__init__(spec)
        self._shapes: dict[int, object] = {}    # row -> shape
        self._tree = None                       # over `_tree_rows`
        self._tree_rows: list[int] = []
        self._stale: set[int] = set()           # rows that changed since

    def parse(self, raw: bytes):
        try:
            return shape_of(raw), raw
        except ValueError as error:
            raise FieldError(errors.BAD_SHAPE.format(error)) from None

    def put(self, row: int, value) -> None:
        shape, raw = value
        if self.sort_keys is not None:
            self.sort_keys[row] = raw if self.spec.unf else fold_whole(raw)
        if not self.spec.no_index:
            shapely.prepare(shape)
            self._shapes[row] = shape
            self._stale.add(row)

    def clear(self, row: int) -> None:
        if self.sort_keys is not None:
            self.sort_keys.pop(row, None)
        if self._shapes.pop(row, None) is not None:
            self._stale.add(row)

    def rows_that(self, predicate: str, raw: bytes) -> BitMap:
        """The rows whose shape is WITHIN the given one, CONTAINS it, INTERSECTS it or is DISJOINT from it. Raises ValueError."""
        shape = shape_of(raw)
        if predicate == "DISJOINT":
            rows = BitMap(array("I", [row for row, one in self._shapes.items() if not one.is_empty]))
            return rows - self._relating("intersects", shape)
        return self._relating({"WITHIN": "contains", "CONTAINS": "within", "INTERSECTS": "intersects"}[predicate], shape)

    def _relating(self, relation: str, shape) -> BitMap:
        """The rows for whose shape `shape` <relation> it holds."""
        if len(self._stale) > max(_MAX_LOOSE, len(self._tree_rows) // 8):
            self._tree_rows = list(self._shapes)
            self._tree = shapely.STRtree([self._shapes[row] for row in self._tree_rows])
            self._stale.clear()
        found = []
        if self._tree is not None:
            found = [row for i in self._tree.query(shape, relation).tolist() if (row := self._tree_rows[i]) not in self._stale]
        test = getattr(shapely, relation)
        found += [row for row in self._stale if row in self._shapes and test(shape, self._shapes[row])]
        if relation != "intersects" and shape.geom_type == "Point":     # a point holds no other
            found = [row for row in found if self._shapes[row].geom_type != "Point"]
        return BitMap(array("I", found))

    @property
    def n_values(self) -> int:
        return len(self._shapes)

    @property
    def nbytes(self) -> int:
        return 500 * len(self._shapes)

    def containers(self) -> list:
        return [*super().containers(), self._shapes]
