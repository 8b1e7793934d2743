"""GEO: points on the globe."""
import math

import numpy as np

from respserver.values.geo import EARTH, MAX_LATITUDE, UNITS

from .. import errors
from .base import Field, FieldError
from .labels import Labels



class GeoField(Field):
    """A point as "lon,lat" in degrees, in two columns; NaN where there is none. Of several points that a JSON document has, those
    behind the first are in a field of their own, by label."""

    type_name = "GEO"
    records_per_document = 1

    def __init__(self, spec):
        super().__init__(spec)
        self._points = np.full((64, 2), math.nan)       # by row: longitude, latitude, in radians
        self._n_values = 0
        self._more: GeoField | None = None
        self._labels: Labels | None = None

    def parse_texts(self, texts: list[bytes]) -> list[tuple[float, float, bytes]]:
        return list(map(self.parse, texts))

    def parse(self, raw: bytes) -> tuple[float, float, bytes]:
        parts = raw.split(b",") if b"," in raw else raw.split()
        if len(parts) < 2:
            raise FieldError(errors.GEO_NO_SEPARATOR)
        try:
            lon, lat = (float(part) for part in parts)
        except ValueError:
            raise FieldError(errors.INVALID_GEO_STRING) from None
        is_number = not errors.has_codes or lon == lon and lat == lat       # nan was taken before Redis 8.8, and never found
        if abs(lon) > 180 or abs(lat) > MAX_LATITUDE or not is_number:
            raise FieldError(errors.INVALID_GEO_COORDINATES.format(f"{lon:f}", f"{lat:f}"))
        return lon, lat, raw

    def put(self, row: int, value) -> None:
        if type(value) is list:
            self._put_more(row, value[1:])
            value = value[0]
        lon, lat, raw = value
        if self.sort_keys is not None:
            self.sort_keys[row] = raw
        if self.spec.no_index:
            return
        self.clear_point(row)
        if row >= len(self._points):
            more = np.full((max(len(self._points) // 4, row + 1 - len(self._points), 1024), 2), math.nan)
            self._points = np.concatenate([self._points, more])
        self._points[row] = math.radians(lon), math.radians(lat)
        self._n_values += 1

    def _put_more(self, row: int, points: list) -> None:
        if self._more is None:
            if not points or self.spec.no_index:
                return
            self._more, self._labels = GeoField(self.spec), Labels()
        for label in self._labels.give_back(row):
            self._more.clear(label)
        for label, point in zip(self._labels.take(row, len(points)), points):
            self._more.put(label, point)

    def clear(self, row: int) -> None:
        if self._more is not None:
            self._put_more(row, [])
        if self.sort_keys is not None:
            self.sort_keys.pop(row, None)
        self.clear_point(row)

    def clear_point(self, row: int) -> None:
        """Forgets where a row is."""
        if row < len(self._points) and self._points[row, 0] == self._points[row, 0]:
            self._points[row] = math.nan
            self._n_values -= 1

    def rows_near(self, lon: float, lat: float, radius: float, unit: bytes) -> np.ndarray:
        """The rows within a radius of a point in degrees, ascending, as uint32."""
        rows = self._near(lon, lat, radius, unit)
        if self._more is not None:
            return np.union1d(rows, self._labels.rows[self._more._near(lon, lat, radius, unit)].astype(np.uint32))
        return rows

    def _near(self, lon: float, lat: float, radius: float, unit: bytes) -> np.ndarray:
        """By the haversine formula (R. Sinnott, Virtues of the Haversine, 1984)."""
        x, y, angle = math.radians(lon), math.radians(lat), radius * UNITS[unit] / EARTH
        if angle >= math.pi:
            return np.flatnonzero(self._points[:, 0] == self._points[:, 0]).astype(np.uint32)
        rows = np.flatnonzero(np.abs(self._points[:, 1] - y) <= angle)
        lons, lats = self._points[rows].T
        half = np.sin((lats - y) / 2) ** 2 + math.cos(y) * np.cos(lats) * np.sin((lons - x) / 2) ** 2
        return rows[half <= math.sin(angle / 2) ** 2].astype(np.uint32)

    def span(self, rows: np.ndarray) -> list[tuple[float, float]]:
        """Of the rows' points, the first and the last along the curve of Redis's geohashes (Z order, 26 bits of each
        coordinate), as longitude and latitude in degrees. Empty if none has a point; of several points of a document the first
        counts."""
        points = np.degrees(self._points[rows[rows < len(self._points)]])
        points = points[points[:, 0] == points[:, 0]]
        if not len(points):
            return []
        cells = ((points + (180, MAX_LATITUDE)) / (360, 2 * MAX_LATITUDE) * (1 << 26)).astype(np.uint64)
        curve = np.zeros(len(points), dtype=np.uint64)
        for bit in range(26):
            for axis in (0, 1):
                curve |= (cells[:, axis] >> np.uint64(bit) & np.uint64(1)) << np.uint64(2 * bit + 1 - axis)
        return [tuple(points[at].tolist()) for at in (curve.argmin(), curve.argmax())]

    def stored_rows(self) -> list[int]:
        """The rows that have a point."""
        return np.flatnonzero(self._points[:, 0] == self._points[:, 0]).tolist()

    @property
    def n_values(self) -> int:
        return self._n_values + (self._more._n_values if self._more is not None else 0)

    def n_records_of(self, row: int) -> int:
        return 1 + (len(self._labels.of_row.get(row, ())) if self._labels is not None else 0)

    @property
    def nbytes(self) -> int:
        return self._points.nbytes + (self._more.nbytes + self._labels.nbytes if self._more is not None else 0)
