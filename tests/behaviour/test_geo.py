"""The geo commands. What is expected was seen of Redis 7.0."""
import pytest

SICILY = (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")


@pytest.fixture
def places(raw):
    assert raw.call("GEOADD", "g", *SICILY) == 2
    raw.call("GEOADD", "g", 12.496365, 41.902782, "Rome", 2.349014, 48.864716, "Paris")
    return raw


def test_geoadd(raw):
    assert raw.call("GEOADD", "g", *SICILY) == 2 and raw.call("GEOADD", "g", *SICILY) == 0
    assert raw.call("GEOADD", "g", "NX", 1, 1, "Palermo", 1, 1, "x") == 1
    assert raw.call("GEOADD", "g", "XX", "CH", 2, 2, "x", 2, 2, "y") == 1
    assert raw.call("ZRANGE", "g", 0, -1) == [b"x", b"Palermo", b"Catania"]
    assert raw.call("ZSCORE", "g", "Palermo") == b"3479099956230698"
    assert raw.call("ZSCORE", "g", "Catania") == b"3479447370796909" and raw.call("GEOADD", "g", 180, 85.05112878, "edge") == 1


@pytest.mark.parametrize("words, error", [
    (("NX", "XX", 1, 1, "a"), "ERR syntax error"), ((1, 1, "a", 2), "ERR syntax error"),
    (("x", 1, "a"), "ERR value is not a valid float"),
    ((200, 1, "a"), "ERR invalid longitude,latitude pair 200.000000,1.000000"),
    ((1, 1, "a", 1, 86, "b"), "ERR invalid longitude,latitude pair 1.000000,86.000000"),
])
def test_geoadd_refused(raw, words, error):
    assert raw.call("GEOADD", "g", *words) == error and raw.call("EXISTS", "g") == 0


def test_members(places, raw3):
    call = places.call
    assert call("GEOPOS", "g", "Palermo", "x") == [[b"13.36138933897018433", b"38.11555639549629859"], None]
    assert raw3.call("GEOPOS", "g", "Palermo") == [[13.361389338970184, 38.1155563954963]]
    assert call("GEOPOS", "none", "a") == [None]
    assert call("GEOHASH", "g", "Palermo", "Catania", "x") == [b"sqc8b49rny0", b"sqdtr74hyu0", None]
    assert call("GEODIST", "g", "Palermo", "Catania") == b"166274.1516"
    assert call("GEODIST", "g", "Palermo", "Catania", "KM") == b"166.2742"
    assert call("GEODIST", "g", "Palermo", "x") is None and call("GEODIST", "none", "a", "b") is None
    assert call("GEODIST", "g", "a", "b", "yd") == "ERR unsupported unit provided. please use M, KM, FT, MI"


def test_geosearch(places, raw3):
    call = places.call
    assert call("GEOSEARCH", "g", "FROMLONLAT", 15, 37, "BYRADIUS", 200, "km", "ASC") == [b"Catania", b"Palermo"]
    assert call("GEOSEARCH", "g", "BYBOX", 400, 400, "km", "FROMMEMBER", "Catania", "DESC", "WITHDIST") == \
        [[b"Palermo", b"166.2742"], [b"Catania", b"0.0000"]]
    row = [b"Catania", b"56.4413", 3479447370796909]
    assert (call("GEOSEARCH", "g", "FROMLONLAT", 15, 37, "BYRADIUS", 200, "km", "COUNT", 1, "WITHCOORD", "WITHHASH", "WITHDIST")
            == [[*row, [b"15.08726745843887329", b"37.50266842333162032"]]])
    assert raw3.call("GEOSEARCH", "g", "FROMLONLAT", 15, 37, "BYRADIUS", 200, "km", "COUNT", 1, "WITHCOORD", "WITHHASH",
                     "WITHDIST") == [[*row, [15.087267458438873, 37.50266842333162]]]
    assert len(call("GEOSEARCH", "g", "FROMLONLAT", 15, 37, "BYRADIUS", 2000, "km", "COUNT", 3, "ANY")) == 3
    assert call("GEOSEARCH", "none", "FROMMEMBER", "a", "BYRADIUS", 1, "m") == []


def test_edges_are_found(raw):
    raw.call("GEOADD", "g", 180, 10, "east", -180, 10, "west", 5, 85.05112878, "north")
    for lon in (-179.999, 179.999, 180, -180):
        assert sorted(raw.call("GEOSEARCH", "g", "FROMLONLAT", lon, 10, "BYRADIUS", 1, "km")) == [b"east", b"west"]
    assert raw.call("GEOSEARCH", "g", "FROMMEMBER", "north", "BYRADIUS", 1, "km") == [b"north"]


def test_geosearchstore(places):
    call = places.call
    assert call("GEOSEARCHSTORE", "to", "g", "FROMLONLAT", 15, 37, "BYRADIUS", 200, "km") == 2
    assert call("ZSCORE", "to", "Palermo") == b"3479099956230698"
    assert call("GEOSEARCHSTORE", "to", "g", "FROMLONLAT", 15, 37, "BYRADIUS", 200, "km", "STOREDIST") == 2
    assert float(call("ZSCORE", "to", "Palermo")) == 190.44242984775784
    assert call("GEOSEARCHSTORE", "to", "g", "FROMLONLAT", 0, 0, "BYRADIUS", 1, "km") == 0 and call("EXISTS", "to") == 0


def test_georadius(places):
    call = places.call
    assert (call("GEORADIUS", "g", 15, 37, 200, "km", "ASC") == call("GEORADIUS_RO", "g", 15, 37, 200, "km", "ASC")
            == [b"Catania", b"Palermo"])
    assert (call("GEORADIUSBYMEMBER", "g", "Rome", 500, "km", "WITHDIST", "ASC")
            == [[b"Rome", b"0.0000"], [b"Palermo", b"427.6295"]])
    assert call("GEORADIUSBYMEMBER_RO", "g", "Rome", 1, "m") == [b"Rome"]
    assert call("GEORADIUS", "g", 15, 37, 200, "km", "STOREDIST", "to", "COUNT", 1) == 1
    assert call("ZRANGE", "to", 0, -1) == [b"Catania"]
    assert call("GEORADIUSBYMEMBER", "none", "a", "x", "y", "STORE", "to") == 0 and call("EXISTS", "to") == 0
    assert call("COMMAND", "GETKEYS", "GEORADIUS", "g", 1, 1, 1, "m", "STORE", "a", "STOREDIST", "b") == [b"g", b"a", b"b"]
    assert call("COMMAND", "GETKEYS", "GEORADIUSBYMEMBER", "g", "store", 1, "m") == [b"g"]


@pytest.mark.parametrize("words, error", [
    ("GEORADIUS_RO g 1 1 1 m STORE to", "ERR syntax error"), ("GEORADIUS g 1 1 x m", "ERR need numeric radius"),
    ("GEORADIUS g 1 1 -1 m", "ERR radius cannot be negative"), ("GEORADIUS g 1 1 1 m COUNT 0", "ERR COUNT must be > 0"),
    ("GEORADIUS g 1 1 1 m ANY", "ERR the ANY argument requires COUNT argument"),
    ("GEORADIUS g 1 1 1 m WITHDIST STORE to",
     "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options"),
    ("GEORADIUSBYMEMBER g x 1 m", "ERR could not decode requested zset member"),
    ("GEOSEARCH g FROMLONLAT 1 1 WITHDIST WITHHASH", "ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH"),
    ("GEOSEARCH g BYRADIUS 1 m WITHDIST WITHHASH", "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH"),
    ("GEOSEARCH g FROMLONLAT 1 1 FROMMEMBER Rome BYRADIUS 1 m", "ERR syntax error"),
    ("GEOSEARCH g FROMLONLAT 1 1 BYBOX 1 -1 m", "ERR height or width cannot be negative"),
    ("GEOSEARCH g FROMLONLAT 1 1 BYBOX x 1 m", "ERR need numeric width"),
    ("GEOSEARCHSTORE to g FROMLONLAT 1 1 BYRADIUS 1 m WITHDIST",
     "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"),
])
def test_searches_refused(places, words, error):
    assert places.call(*words.split()) == error


@pytest.mark.parametrize("score", ["inf", "-inf", "-5", "1e300", "0.5"])
def test_scores_that_are_no_places(raw, score):
    raw.call("ZADD", "k", score, "m", "0", "n")
    for words in (["GEOPOS", "k", "m"], ["GEOHASH", "k", "m"]):
        assert len(raw.call(*words)) == 1
    assert float(raw.call("GEODIST", "k", "m", "n")) >= 0
    assert raw.call("GEOSEARCH", "k", "FROMMEMBER", "m", "BYRADIUS", "1", "m", "WITHCOORD", "WITHHASH") is not None
