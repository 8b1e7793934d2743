"""Points on the globe as numbers that can be sorted: a grid of 2^26 by 2^26 cells in the square of the Mercator projection,
each with a number in which bits of longitude and latitude alternate (a Z-order curve; G. Morton, 1966), so that cells of a
larger square are a range.

Longitudes and latitudes are degrees, distances metres."""
import math

#: Redis's radius of the earth.
EARTH = 6372797.560856
#: Metres of each unit.
UNITS = {b"m": 1.0, b"km": 1000.0, b"mi": 1609.34, b"ft": 0.3048}
#: Where the square of the Mercator projection ends.
MAX_LATITUDE = 85.05112878
MAX_LONGITUDE = 180.0
#: Times that the square is halved in each direction.
STEPS = 26
#: Metres of half the equator in the Mercator projection.
_MERCATOR_MAX = 20037726.37


def is_place(lon: float, lat: float) -> bool:
    """Whether a point lies in the grid."""
    return abs(lon) <= MAX_LONGITUDE and abs(lat) <= MAX_LATITUDE


def distance(lon: float, lat: float, other_lon: float, other_lat: float) -> float:
    """The length of the great circle between two points,
    by the haversine formula (R. Sinnott, Virtues of the Haversine, 1984)."""
    y, other_y = math.radians(lat), math.radians(other_lat)
    v = math.sin((math.radians(other_lon) - math.radians(lon)) / 2)
    if v == 0:
        return EARTH * abs(other_y - y)
    u = math.sin((other_y - y) / 2)
    return 2 * EARTH * math.asin(min(1.0, math.sqrt(u * u + math.cos(y) * math.cos(other_y) * v * v)))


# Numbers of cells

def _spread(n: int) -> int:
    """The bits of a 32-bit number at the even places of a 64-bit one."""
    n = (n | n << 16) & 0x0000FFFF0000FFFF
    n = (n | n << 8) & 0x00FF00FF00FF00FF
    n = (n | n << 4) & 0x0F0F0F0F0F0F0F0F
    n = (n | n << 2) & 0x3333333333333333
    return (n | n << 1) & 0x5555555555555555


def _gather(n: int) -> int:
    """The bits at the even places of a 64-bit number."""
    n &= 0x5555555555555555
    n = (n | n >> 1) & 0x3333333333333333
    n = (n | n >> 2) & 0x0F0F0F0F0F0F0F0F
    n = (n | n >> 4) & 0x00FF00FF00FF00FF
    n = (n | n >> 8) & 0x0000FFFF0000FFFF
    return (n | n >> 16) & 0x00000000FFFFFFFF


def _cell(lon: float, lat: float, steps: int, max_latitude: float = MAX_LATITUDE) -> tuple[int, int]:
    """Column and row of a point's cell in the grid of 2^steps by 2^steps."""
    n = 1 << steps
    return int((lon + MAX_LONGITUDE) / (2 * MAX_LONGITUDE) * n), int((lat + max_latitude) / (2 * max_latitude) * n)


def encode(lon: float, lat: float, max_latitude: float = MAX_LATITUDE) -> int:
    """The number of a point's cell, 52 bits; `max_latitude`: where the grid ends."""
    x, y = _cell(lon, lat, STEPS, max_latitude)
    return _spread(y) | _spread(x) << 1


def number_of(score: float) -> int:
    """The cell that a member's score stands for; the first or the last one if ZADD gave it a score that is none."""
    last = 3 << 2 * STEPS                                # both ends of the grid are cells of their own
    return int(max(0, min(score, last)))


def decode(number: int) -> tuple[float, float]:
    """Longitude and latitude of the middle of a cell."""
    x, y = _gather(number >> 1), _gather(number)
    size = 1 << STEPS
    west, east = (-MAX_LONGITUDE + i / size * (2 * MAX_LONGITUDE) for i in (x, x + 1))
    south, north = (-MAX_LATITUDE + i / size * (2 * MAX_LATITUDE) for i in (y, y + 1))
    return (max(-MAX_LONGITUDE, min(MAX_LONGITUDE, (west + east) / 2)),
            max(-MAX_LATITUDE, min(MAX_LATITUDE, (south + north) / 2)))


_DIGITS = "0123456789bcdefghjkmnpqrstuvwxyz"


def text(number: int) -> str:
    """The standard geohash (G. Niemeyer, 2008) of the middle of a cell: eleven characters, of which 52 bits fill ten."""
    standard = encode(*decode(number), max_latitude=90.0)
    return "".join(_DIGITS[standard >> (52 - 5 * i) & 31] for i in range(1, 11)) + "0"


# Areas

class Circle:
    """All points up to a distance from a centre."""

    def __init__(self, lon: float, lat: float, radius: float):
        self.lon, self.lat = lon, lat
        self.reach = radius                             # no point of the area is farther from the centre
        self._half_width = self._half_height = radius

    def distance(self, lon: float, lat: float) -> float | None:
        """The distance of a point from the centre if it lies in the area, else None."""
        found = distance(self.lon, self.lat, lon, lat)
        return found if found <= self.reach else None

    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north, about: a box in degrees around the area."""
        up = math.degrees(self._half_height / EARTH)
        # the circles of latitude are shorter towards the poles: the end that is nearer to one needs more degrees
        end = self.lat - up if self.lat < 0 else self.lat + up
        across = math.degrees(self._half_width / EARTH / math.cos(math.radians(end))) if abs(end) < 90 else 360.0
        return self.lon - across, self.lat - up, self.lon + across, self.lat + up

    def ranges(self) -> list[tuple[int, int]]:
        """Ranges of numbers (from, below) that hold the cells of the area and more: those of a square of the grid around the
        centre and of its neighbours, as far as the area reaches there."""
        west, south, east, north = self.bounds()
        steps = _steps(self.reach, self.lat)
        x, y = _cell(self.lon, self.lat, steps)
        if steps > 1:
            # the neighbours may be too small at the ends of the area, which is not as wide there
            side_x, side_y = 2 * MAX_LONGITUDE / (1 << steps), 2 * MAX_LATITUDE / (1 << steps)
            n = 1 << steps
            above, below, right, left = (y + 1) % n, (y - 1) % n, (x + 1) % n, (x - 1) % n
            if -MAX_LATITUDE + (above + 1) * side_y < north or -MAX_LATITUDE + below * side_y > south \
                    or -MAX_LONGITUDE + (right + 1) * side_x < east or -MAX_LONGITUDE + left * side_x > west:
                steps -= 1
                x, y = _cell(self.lon, self.lat, steps)
        n = 1 << steps
        side_x, side_y = 2 * MAX_LONGITUDE / n, 2 * MAX_LATITUDE / n
        reaches = {0: True}
        if steps >= 2:
            reaches_y = {0: True, 1: -MAX_LATITUDE + (y + 1) * side_y <= north, -1: -MAX_LATITUDE + y * side_y >= south}
            reaches_x = {0: True, 1: -MAX_LONGITUDE + (x + 1) * side_x <= east, -1: -MAX_LONGITUDE + x * side_x >= west}
        else:
            reaches_x = reaches_y = {**reaches, 1: True, -1: True}
        found: list[tuple[int, int]] = []
        shift = 2 * (STEPS - steps)
        for right, up in _NEIGHBOURS:
            if reaches_x[right] and reaches_y[up]:
                # what lies just on the edge of the grid is in a row or column of its own behind the last; that column is the
                # first, too
                for row in ((y + up) % n, n)[:1 + (y + up >= n)]:
                    for column in ((x + right) % n, n)[:1 + (not (x + right) % n)]:
                        number = _spread(row) | _spread(column) << 1
                        cells = number << shift, (number + 1) << shift
                        if cells not in found:
                            found.append(cells)
        return found


class Box(Circle):
    """All points whose distance from a centre is, to the north or south and to the east or west, at most half of two lengths."""

    def __init__(self, lon: float, lat: float, width: float, height: float):
        super().__init__(lon, lat, math.hypot(width / 2, height / 2))
        self._half_width, self._half_height = width / 2, height / 2

    def distance(self, lon: float, lat: float) -> float | None:
        """The distance of a point from the centre if it lies in the area, else None."""
        if EARTH * abs(math.radians(lat) - math.radians(self.lat)) > self._half_height:
            return None
        if distance(lon, lat, self.lon, lat) > self._half_width:
            return None
        return distance(self.lon, self.lat, lon, lat)


#: Columns to the right and rows up of a square and its neighbours, in the order in which they are looked at.
_NEIGHBOURS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))


def _steps(reach: float, lat: float) -> int:
    """How often the grid is halved until a square and its neighbours just hold what is `reach` around a point in it, wherever
    that is."""
    if not reach:
        return STEPS
    steps = 1
    while reach < _MERCATOR_MAX:
        reach *= 2
        steps += 1
    steps -= 2                              # a square of which the point may be at the end, and its neighbours
    if abs(lat) > 66:                       # degrees of longitude are shorter there
        steps -= 2 if abs(lat) > 80 else 1
    return max(1, min(STEPS, steps))
