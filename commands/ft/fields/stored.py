"""GEO and GEOSHAPE: values are checked and counted, sort keys are kept; queries on these fields are not yet available."""
import re

from pyroaring import BitMap

from .. import errors
from .base import Field, FieldError
from .text import TextField

_POINT = re.compile(rb"POINT\s*\(\s*\S+\s+\S+\s*\)\s*")
_POLYGON = re.compile(rb"POLYGON\s*\(.*\)\s*", re.DOTALL)


class GeoField(Field):
    """A point as "lon,lat" in degrees."""

    type_name = "GEO"
    records_per_document = 1
    is_available = False

    def __init__(self, spec):
        super().__init__(spec)
        self._rows = BitMap()

    def parse(self, raw: bytes) -> bytes:
        parts = raw.split(b",") if b"," in raw else raw.split()
        try:
            lon, lat = (float(part) for part in parts)
        except ValueError:
            raise FieldError(errors.INVALID_GEO_STRING) from None
        if not (-180 <= lon <= 180 and -85.05112878 <= lat <= 85.05112878):
            raise FieldError(errors.INVALID_GEO_STRING)
        return raw

    def put(self, row: int, value: bytes) -> None:
        self._rows.add(row)
        if self.sort_keys is not None:
            self.sort_keys[row] = value

    def clear(self, row: int) -> None:
        self._rows.discard(row)
        if self.sort_keys is not None:
            self.sort_keys.pop(row, None)

    @property
    def n_values(self) -> int:
        return len(self._rows)


class GeoShapeField(Field):
    """A point or polygon as WKT. A bad one is counted, and the document is indexed without it, as in Redis."""

    type_name = "GEOSHAPE"
    is_available = False
    keeps_document = True

    def parse(self, raw: bytes) -> bytes:
        if not _POINT.fullmatch(raw) and not _POLYGON.fullmatch(raw):
            raise FieldError(errors.UNKNOWN_GEOMETRY_TYPE)
        return raw

    put = TextField.put
    clear = TextField.clear
