"""A server inside the test's own process: replies that come later, background work, clients that leave."""
import asyncio
import time

import pytest
from helpers import PATIENCE, pack

import commands  # noqa: F401
from respserver.config import Config
from respserver.connection import Connection
from respserver.deferred import Deferred
from respserver.protocol.errors import CommandError
from respserver.protocol.reply import Simple
from respserver.registry import COMMANDS, command
from respserver.state import Server


class Waitable(Deferred):
    """A deferred reply that EXEC can wait for."""

    def wait(self):
        if isinstance(self.value, CommandError):
            raise self.value
        return self.value if self.done else b"waited"


@pytest.fixture
def later():
    """Commands whose replies the test gives: LATER name, POOLED name, BLOCK name. Returns name -> Deferred."""
    made: dict[bytes, Deferred] = {}
    abandoned = made.setdefault("abandoned", [])

    def declare(name, flags, **options):
        @command(name, arity=2, group="generic", flags=flags, summary="For tests.")
        def run(client, key):
            made[key] = Waitable(lambda: abandoned.append(key), **options)
            return made[key]
    declare("LATER", "")
    declare("POOLED", "readonly pooled")
    declare("BLOCK", "", blocking=True)
    yield made
    for name in (b"later", b"pooled", b"block"):
        del COMMANDS[name]


async def turns(n: int = 15) -> None:
    """So many turns of the loop, in which all that is under way gets done: their number counts, not the time that they take."""
    for _ in range(n):
        await asyncio.sleep(0.001)


async def until(condition) -> None:
    """Turns until the condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


class Peer(asyncio.Protocol):
    """The client's end of a connection to a server in this process."""

    def __init__(self):
        self.data = b""

    def connection_made(self, transport):
        self.writer = transport

    def data_received(self, data):
        self.data += data

    async def send(self, *calls):
        self.writer.write(b"".join(pack(*call) for call in calls))
        await turns(5)

    async def got(self, n: int = 0) -> bytes:
        """What has come so far, and at least so many bytes."""
        await until(lambda: len(self.data) >= n)
        await turns()
        data, self.data = self.data, b""
        return data

    async def gets(self, data: bytes) -> None:
        """Checks that this comes, and nothing else."""
        assert await self.got(len(data)) == data


def run(test):
    """Runs test(server, connect) against a fresh server."""
    async def main():
        server = Server(Config())
        server.ready()
        loop = asyncio.get_running_loop()
        server.attach(loop)
        listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        peers = []

        async def connect():
            peers.append((await loop.create_connection(Peer, "127.0.0.1", port))[1])
            return peers[-1]
        try:
            await test(server, connect)
        finally:
            for peer in peers:
                peer.writer.close()
            listener.close()
            server.background.cancel_all()
            for connection in list(server.connections.values()):
                connection.close()
            await asyncio.sleep(0)
    asyncio.run(main())


def test_what_follows_waits_and_order_is_kept(later):
    async def test(server, connect):
        peer = await connect()
        await peer.send(["PING"], ["LATER", "a"], ["SET", "k", "1"], ["GET", "k"], ["LATER", "b"], ["ECHO", "x"])
        await peer.gets(b"+PONG\r\n")
        assert b"b" not in later and not server.keyspace.databases[0].data
        later[b"a"].set_result([1, None])
        await peer.gets(b"*2\r\n:1\r\n$-1\r\n+OK\r\n$1\r\n1\r\n")
        later[b"b"].set_result(CommandError("ERR late"))
        await peer.gets(b"-ERR late\r\n$1\r\nx\r\n")
        await peer.send(["PING"])
        await peer.gets(b"+PONG\r\n")
        assert COMMANDS[b"later"].stats.calls == 2 and COMMANDS[b"later"].stats.failed == 1 and server.stats.errors["ERR"] == 1
    run(test)


def test_a_result_that_is_there_at_once(later):
    async def test(server, connect):
        @command("ATONCE", arity=1, group="generic", summary="For tests.")
        def at_once(client):
            deferred = Deferred()
            deferred.set_result(Simple("now"))
            return deferred
        server.dispatcher.load_commands()
        del COMMANDS[b"atonce"]
        peer = await connect()
        await peer.send(["ATONCE"], ["PING"])
        await peer.gets(b"+now\r\n+PONG\r\n")
    run(test)


def test_pooled_reads_run_together_and_others_wait(later):
    async def test(server, connect):
        peer = await connect()
        await peer.send(["POOLED", "a"], ["POOLED", "b"], ["SET", "k", "1"], ["POOLED", "c"])
        await until(lambda: b"a" in later and b"b" in later)
        assert b"c" not in later and not server.keyspace.databases[0].data
        later[b"b"].set_result(b"second")
        await peer.gets(b"")
        later[b"a"].set_result(b"first")
        await peer.gets(b"$5\r\nfirst\r\n$6\r\nsecond\r\n+OK\r\n")
        later[b"c"].set_result(None)
        await peer.gets(b"$-1\r\n")
    run(test)


def test_pooled_reads_that_arrive_apart_run_together(later):
    async def test(server, connect):
        peer = await connect()
        await peer.send(["POOLED", "a"])
        await peer.send(["POOLED", "b"])
        await until(lambda: b"b" in later)
        await peer.send(["LATER", "c"])
        assert b"c" not in later
        later[b"a"].set_result(1)
        later[b"b"].set_result(2)
        await until(lambda: b"c" in later)
        later[b"c"].set_result(3)
        await peer.gets(b":1\r\n:2\r\n:3\r\n")
    run(test)


def test_other_clients_do_not_wait(later):
    async def test(server, connect):
        first, second = await connect(), await connect()
        await first.send(["LATER", "a"])
        await second.send(["PING"])
        await second.gets(b"+PONG\r\n")
    run(test)


def test_inside_exec_it_is_waited_for(later):
    async def test(server, connect):
        peer = await connect()
        await peer.send(["MULTI"], ["LATER", "a"], ["PING"], ["EXEC"], ["PING"])
        await peer.gets(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$6\r\nwaited\r\n+PONG\r\n+PONG\r\n")
    run(test)


def test_a_client_that_leaves_abandons_its_wait(later):
    async def test(server, connect):
        peer = await connect()
        await peer.send(["LATER", "a"], ["LATER", "b"])
        peer.writer.close()
        await until(lambda: later["abandoned"] and not server.clients)
        assert later["abandoned"] == [b"a"] and not server.clients and b"b" not in later
        later[b"a"].set_result(1)
    run(test)


def test_client_unblock(later):
    async def test(server, connect):
        waiting, other = await connect(), await connect()
        await waiting.send(["CLIENT", "ID"], ["BLOCK", "a"], ["PING"])
        number = int((await waiting.got(1))[1:])
        await other.send(["CLIENT", "UNBLOCK", number])
        await other.gets(b":1\r\n")
        await waiting.gets(b"$-1\r\n+PONG\r\n")
        assert later["abandoned"] == [b"a"]
        await waiting.send(["BLOCK", "b"])
        await other.send(["CLIENT", "UNBLOCK", number, "ERROR"], ["CLIENT", "UNBLOCK", number])
        await waiting.gets(b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")
        await other.gets(b":1\r\n:0\r\n")
        await waiting.send(["LATER", "c"])
        await other.send(["CLIENT", "UNBLOCK", number])
        await other.gets(b":0\r\n")
    run(test)


def test_messages_reach_a_client_that_waits(later):
    async def test(server, connect):
        peer, other = await connect(), await connect()
        await peer.send(["HELLO", "3"], ["SUBSCRIBE", "c"])
        await until(lambda: b"subscribe" in peer.data)
        await peer.got()
        await peer.send(["LATER", "a"])
        await other.send(["PUBLISH", "c", "x"])
        await peer.gets(b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n")
        later[b"a"].set_result(1)
        await peer.gets(b":1\r\n")
    run(test)


def test_a_reply_without_a_wire_form_is_an_internal_error(later):
    async def test(server, connect):
        peer = await connect()
        await peer.send(["LATER", "a"], ["PING"])
        later[b"a"].set_result(object())
        assert (await peer.got(1)).startswith(b"-ERR internal error: TypeError") and server.stats.internal_errors == 1
    run(test)


class TestBackground:
    def test_jobs_take_turns_and_end(self):
        async def test(server, connect):
            seen = []

            def job(name, n):
                for _ in range(n):
                    seen.append(name)
                    yield
                return n
            first, second = server.run_sliced(job("a", 3), "a"), server.run_sliced(job("b", 2), "b")
            ended = []
            first.on_done(ended.append)
            assert seen == []
            await until(lambda: first.done and second.done)
            assert seen == ["a", "b", "a", "b", "a"] and first.done and second.done and first.result == 3 and ended == [first]
        run(test)

    def test_a_long_job_leaves_room_for_others(self):
        async def test(server, connect):
            steps = []

            def job():
                while True:
                    steps.append(1)
                    end = server.loop.time() + 0.0003
                    while server.loop.time() < end:
                        pass
                    yield
            task = server.run_sliced(job(), "long")
            for _ in range(30):
                before = len(steps)
                await asyncio.sleep(0)
                assert len(steps) - before < 30     # of 0.3 ms each: some milliseconds at the most, then it is others' turn
            assert steps
            task.cancel()
            assert task.done and task.cancelled
        run(test)

    def test_failure_and_cancellation(self, caplog):
        async def test(server, connect):
            closed = []

            def failing():
                yield
                raise ValueError("no")

            def endless():
                try:
                    while True:
                        yield
                finally:
                    closed.append(True)
            failed, cancelled = server.run_sliced(failing(), "failing"), server.run_sliced(endless(), "endless")
            await until(lambda: failed.done)
            assert failed.done and isinstance(failed.error, ValueError)
            cancelled.cancel()
            assert closed == [True]
        run(test)

    def test_periodic(self):
        async def test(server, connect):
            seen = []

            def job():
                seen.append(1)
                raise ValueError("goes on all the same")
            server.add_periodic(0.005, job)
            await until(lambda: len(seen) > 2)
        run(test)
