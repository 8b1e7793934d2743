"""Areas on the globe: the ranges of cells that are looked at hold all that an area holds."""
import random

import pytest

from respserver.values.geo import MAX_LATITUDE, Box, Circle, decode, encode


@pytest.mark.parametrize("shape", [lambda lon, lat, size: Circle(lon, lat, size),
                                   lambda lon, lat, size: Box(lon, lat, size, size / 3)], ids=["circle", "box"])
def test_ranges_hold_the_area(shape):
    rand = random.Random(3)
    n = 0
    for _ in range(150):
        lon = rand.choice([180, -180, rand.uniform(-180, 180), rand.uniform(175, 180)])
        lat = rand.choice([MAX_LATITUDE, -MAX_LATITUDE, rand.uniform(-80, 80), rand.uniform(75, 85)])
        area = shape(lon, lat, 10 ** rand.uniform(1, 7))
        ranges = area.ranges()
        for _ in range(20):
            spread = 10 ** rand.uniform(-4, 1.5)
            x = (lon + rand.gauss(0, spread) + 180) % 360 - 180 if rand.random() < 0.9 else 180
            cell = encode(x, max(-MAX_LATITUDE, min(MAX_LATITUDE, lat + rand.gauss(0, spread))))
            if area.distance(*decode(cell)) is not None:
                n += 1
                assert any(first <= cell < behind for first, behind in ranges), (lon, lat, decode(cell))
    assert n > 500
