"""Fixtures. Behaviour tests talk to a server in a process of its own, one per test module, or to any other with --server
host:port.

A module that needs its server started with options has SERVER_OPTIONS = ["--name", "value", ...]; such modules and tests that
look into our own process are skipped with --server."""
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from helpers import RawConnection, ServerHandle, client, running_server  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--server", default="", metavar="HOST:PORT",
                     help="run the behaviour tests against this server; it is flushed")


@pytest.fixture(scope="module")
def module_server(request):
    """The module's server, not flushed between tests."""
    given, options = request.config.getoption("--server"), getattr(request.module, "SERVER_OPTIONS", [])
    if given:
        if options:
            pytest.skip("needs a server with options of its own")
        host, _, port = given.rpartition(":")
        yield ServerHandle(host or "127.0.0.1", int(port))
    else:
        with running_server(*options) as handle:
            yield handle


@pytest.fixture
def server(module_server):
    """The module's server with nothing in it."""
    with RawConnection(module_server.host, module_server.port) as connection:
        connection.call("FLUSHALL")
    return module_server


@pytest.fixture
def own_server(server):
    """The module's server, if it is one of our own."""
    if not server.is_own:
        pytest.skip("needs a server started from this tree")
    return server


@pytest.fixture
def r2(server):
    """redis-py on RESP2."""
    with client(server, 2) as r:
        yield r


@pytest.fixture
def r3(server):
    """redis-py on RESP3."""
    with client(server, 3) as r:
        yield r


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def both(request, server):
    """redis-py, once on each protocol."""
    with client(server, request.param) as r:
        r.protocol = request.param
        yield r


@pytest.fixture
def raw(server):
    """A RawConnection on RESP2."""
    with RawConnection(server.host, server.port) as connection:
        yield connection


@pytest.fixture
def raw3(server):
    """A RawConnection on RESP3."""
    with RawConnection(server.host, server.port) as connection:
        connection.call("HELLO", 3)
        yield connection


@pytest.fixture
def connect(server):
    """A function that opens further RawConnections; they are closed at the end."""
    opened = []

    def connect_() -> RawConnection:
        opened.append(RawConnection(server.host, server.port))
        return opened[-1]
    yield connect_
    for connection in opened:
        connection.close()
