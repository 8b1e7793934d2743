"""GEOSHAPE: points and polygons."""
import re
from array import array
from importlib import import_module

from pyroaring import BitMap

from .. import errors
from .base import Field, FieldError, fold

_POINT = re.compile(rb"POINT\s*\(\s*\S+\s+\S+\s*\)\s*")
_POLYGON = re.compile(rb"POLYGON\s*\(.*\)\s*", re.DOTALL)
_KEYWORD = re.compile(rb"(?:POINT|POLYGON)\s*")
#: Shapes that changed since the tree was built are looked at one by one; more than this many, and a part of all, are built in.
_MAX_LOOSE = 256


class _Shapely:
    """The library, loaded when the first shape is met: a tenth of a second that other servers need not spend at their start."""

    def __getattr__(self, name: str):
        return getattr(import_module("shapely"), name)


shapely = _Shapely()


def shape_of(raw: bytes):
    """The shape of a text. Raises ValueError for one that is no point or polygon."""
    if not _POINT.fullmatch(raw) and not _POLYGON.fullmatch(raw):
        match = _KEYWORD.match(raw)
        if match is None:
            raise ValueError("unknown geometry type")
        rest = raw[match.end():].split(None, 1)
        raise ValueError(f"Expected '(' at '{rest[0].decode('utf-8', 'replace') if rest else ''}'")
    try:
        return shapely.from_wkt(raw.decode("latin-1"))
    except shapely.errors.ShapelyError:
        pass
    numbers = [[float(word) for word in pair.split()] for pair in raw[raw.index(b"(") + 1:].strip(b"() \n").split(b",")]
    if any(len(pair) != 2 for pair in numbers):
        raise ValueError("unknown geometry type")
    if len(numbers) < 3:
        raise ValueError("invalid geometry: Geometry has too few points")
    return shapely.Polygon(numbers)             # a ring that was not closed


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
            self.sort_keys[row] = raw if self.spec.unf else fold(raw)
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
