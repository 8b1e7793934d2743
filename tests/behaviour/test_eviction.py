"""maxmemory with the policies that make room."""
import time

import pytest
from helpers import RawConnection, running_server, wait_until

MB = 1 << 20


@pytest.fixture
def limited(own_server, raw):
    raw.call("CONFIG", "RESETSTAT")
    yield raw
    raw.call("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction", "maxmemory-samples", "5",
             "lfu-log-factor", "10")


def used(raw) -> int:
    return int(raw.call("INFO", "memory").split(b"used_memory:")[1].split()[0])


def limit(raw, policy: str, more: int) -> None:
    """Allows so many bytes more than are in use."""
    assert raw.call("CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", 1 << 40) == "OK"  # from now on, keys are counted
    assert raw.call("CONFIG", "SET", "maxmemory", used(raw) + more) == "OK"


def evicted(raw) -> int:
    return int(raw.call("INFO", "stats").split(b"evicted_keys:")[1].split()[0])


def fill(raw, prefix: str, n: int, *options, size: int = 10_000) -> None:
    for i in range(n):
        assert raw.call("SET", f"{prefix}{i}", b"x" * size, *options) == "OK"


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu",
                                    "volatile-random",
                                    "volatile-ttl"])
def test_memory_stays_within_the_limit(limited, policy):
    limit(limited, policy, 2 * MB)
    fill(limited, "k", 800, *(("EX", "100000") if "volatile" in policy else ()))
    n = limited.call("DBSIZE")
    assert 120 < n < 220 and evicted(limited) == 800 - n
    assert used(limited) <= int(limited.call("CONFIG", "GET", "maxmemory")[1])
    limited.call("FLUSHALL")
    fill(limited, "h", 100, *(("EX", "100000") if "volatile" in policy else ()))
    assert limited.call("DBSIZE") == 100                # what was flushed does not count any more


def test_lru_keeps_what_is_used(limited):
    limited.call("CONFIG", "SET", "maxmemory-samples", "10")
    limit(limited, "allkeys-lru", 2 * MB)
    fill(limited, "k", 150)
    time.sleep(2.1)
    for i in range(30):
        assert limited.call("GET", f"k{i}")
    assert limited.call("OBJECT", "IDLETIME", "k1") < limited.call("OBJECT", "IDLETIME", "k100")
    fill(limited, "n", 100)
    assert sum(limited.call("EXISTS", f"k{i}") for i in range(30)) >= 22
    assert "LFU maxmemory policy is not selected" in limited.error("OBJECT", "FREQ", "n99")


def test_lfu_keeps_what_is_used_often(limited):
    limited.call("CONFIG", "SET", "maxmemory-samples", "10", "lfu-log-factor", "0")
    limit(limited, "allkeys-lfu", 2 * MB)
    fill(limited, "k", 150)
    for _ in range(20):
        for i in range(30):
            limited.call("GET", f"k{i}")
    assert limited.call("OBJECT", "FREQ", "k1") > limited.call("OBJECT", "FREQ", "k100")
    fill(limited, "n", 150)
    assert sum(limited.call("EXISTS", f"k{i}") for i in range(30)) >= 23
    assert "LFU maxmemory policy is selected" in limited.error("OBJECT", "IDLETIME", "n149")


def test_ttl_drops_what_expires_first(limited):
    limited.call("CONFIG", "SET", "maxmemory-samples", "30")
    limit(limited, "volatile-ttl", 2 * MB)
    for i in range(150):
        limited.call("SET", f"k{i}", b"x" * 10_000, "EX", 100_000 if i % 3 else 50_000)
    fill(limited, "n", 90, "EX", "100000")
    sooner = 50 - sum(limited.call("EXISTS", f"k{i}") for i in range(0, 150, 3))
    assert evicted(limited) >= 10 and sooner >= .8 * evicted(limited)


def test_keys_without_expiry_are_safe(limited):
    limit(limited, "volatile-lru", 2 * MB)
    refused = 0
    for i in range(300):
        refused += limited.call("SET", f"k{i}", b"x" * 10_000) == "OOM command not allowed when used memory > 'maxmemory'."
    assert refused > 50 and limited.call("DBSIZE") == 300 - refused and evicted(limited) == 0
    assert limited.call("DEL", "k0") == 1 and limited.call("GET", "k1")
    assert limited.call("CONFIG", "SET", "maxmemory", "0") == "OK"
    assert limited.call("SET", "k0", b"x" * 10_000) == "OK"


def test_collections_that_grow(limited):
    limit(limited, "allkeys-random", 2 * MB)
    for i in range(400):
        limited.call("RPUSH", f"l{i % 40}", *[b"y" * 500] * 20)
        limited.call("HSET", f"h{i}", "f", b"z" * 5000)
    assert evicted(limited) > 20 and used(limited) < int(limited.call("CONFIG", "GET", "maxmemory")[1]) + MB


def test_a_limit_set_over_keys_that_are_there(limited):
    for _ in range(5):                                  # the process may give memory back just then
        fill(limited, "k", 1000)
        before = evicted(limited)
        assert limited.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", used(limited) - 5 * MB) == "OK"
        # Each command makes room for a few milliseconds only, and none does before all keys have been looked at.
        wait_until(lambda: limited.call("SET", "new", "x") and evicted(limited) > before
                   and used(limited) <= int(limited.call("CONFIG", "GET", "maxmemory")[1]))
        n = limited.call("DBSIZE")
        if 400 < n < 600:
            break
        limited.call("FLUSHALL")
        limited.call("CONFIG", "SET", "maxmemory", "0")
    assert 400 < n < 600


def test_indexes_forget_evicted_documents(limited):
    limited.call("FT.CREATE", "i", "SCHEMA", "t", "TAG")
    limit(limited, "allkeys-random", 2 * MB)
    for i in range(600):
        limited.call("HSET", f"d{i}", "t", "x", "v", b"v" * 10_000)
    n = limited.call("DBSIZE")
    assert n < 400 and limited.call("FT.SEARCH", "i", "@t:{x}", "LIMIT", 0, 0) == [n]


def test_transactions_that_need_memory(limited):
    limit(limited, "volatile-lru", 1000)
    limited.call("SET", "k", b"x" * 100_000)
    limited.call("MULTI")
    assert limited.error("SET", "a", "b").startswith("OOM")
    assert limited.error("EXEC").startswith("EXECABORT")


def test_evicted_keys_do_not_come_back(tmp_path):
    options = ("--appendonly", "yes", "--dir", str(tmp_path))
    with running_server(*options) as server, RawConnection(port=server.port) as raw:
        limit(raw, "allkeys-lru", 2 * MB)
        fill(raw, "k", 300)
        keys = sorted(raw.call("KEYS", "*"))
        assert len(keys) < 250
    with running_server(*options) as server, RawConnection(port=server.port) as raw:
        assert sorted(raw.call("KEYS", "*")) == keys
