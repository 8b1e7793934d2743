"""One connection: bytes from the socket to commands, replies back in order, bounded buffers."""
import asyncio
import logging
import socket
import time
from collections import deque
from os import write
from time import perf_counter_ns

from .client import Client
from .deferred import Deferred
from .dispatch import MANY, Paused
from .protocol import errors
from .protocol.reply import NO_REPLY
from .protocol.request import Columns, RequestParser

log = logging.getLogger("vamana")

#: Replies of one read are joined into writes of about this many bytes.
JOIN = MANY
#: A client that leaves this many bytes unread gets nothing more executed until it reads.
HIGH_WATER = 1024 * 1024
#: After a read of at least this many bytes the other clients come first: uvloop would go on reading from the same one
#: while more comes.
LONG_READ = 128 * 1024
#: Bytes of further commands that are taken in while a client's earlier one waits for its reply.
BACKLOG = 1024 * 1024
#: A pipeline gives way to the other clients after this many nanoseconds.
TURN_NS = 3_000_000


class Connection(asyncio.Protocol):
    """Feeds one client's commands to the dispatcher and its replies to the transport.

    Commands run as they arrive. One that answers with a Deferred holds up those behind it, except that commands flagged
    `pooled` may start while earlier pooled ones are under way; replies always go out in the order of the commands."""

    def __init__(self, server, is_unix: bool = False, is_tls: bool = False):
        self.server = server
        self.is_unix = is_unix
        self.is_tls = is_tls
        self.client: Client | None = None
        self.transport = None
        self._fd = -1
        self._run = server.dispatcher.run
        self._run_many = server.dispatcher.run_many
        self._run_columns = server.dispatcher.run_columns
        self._finish = server.dispatcher.finish
        self._parser: RequestParser | None = None
        self._running = False
        self._is_free = True                    # no reply is awaited, no command waits, and the client reads what it gets
        self._unsent: list[bytes] = []          # leaves at the end of the loop's turn
        self._unsent_size = 0
        self._n_held = 0                        # parcels of replies that wait for the append-only file
        self._pushes: list[bytes] = []          # out-of-band messages from the client's own command: they follow its reply
        self._pending: deque = deque()          # replies that may not be sent yet: bytes, or a Deferred
        self._backlog: deque = deque()          # commands that wait for those
        self._backlog_size = 0
        self._is_full = False                   # the transport holds more than HIGH_WATER
        self._reading = True
        self._soft_since = 0.0                  # since when the output is over the soft limit
        self._failure: str | None = None        # a protocol error that comes after commands still to be executed
        self._is_at_end = False                 # the client has closed its side
        self._recall = None                     # while the socket is lent: takes it back

    # From the event loop

    def connection_made(self, transport) -> None:
        server = self.server
        self.transport = transport
        sock = transport.get_extra_info("socket")
        peer = transport.get_extra_info("peername")
        refusal = server.refusal(self, peer)
        if refusal:
            transport.write(b"-" + refusal.encode() + b"\r\n")
            transport.close()
            return
        client = self.client = server.new_client()
        self._parser = RequestParser(server.config["proto-max-bulk-len"], restricted=not client.authenticated)
        client.is_unix = self.is_unix
        client.fd = sock.fileno() if sock is not None else -1
        self._fd = -1 if self.is_tls else client.fd         # where replies can go without the transport
        if self.is_unix:
            client.address = client.local_address = f"{server.config['unixsocket']}:0"
        else:
            client.address = _address(peer)
            client.local_address = _address(transport.get_extra_info("sockname"))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(sock, server.config["tcp-keepalive"])
        client.write = self._write_push
        client.close = self.close
        client.lend, client.give_back = self.lend, self.give_back
        client.output_size = lambda: transport.get_write_buffer_size() + self._unsent_size
        client.input_size = self._input_size
        transport.set_write_buffer_limits(high=HIGH_WATER)
        server.connections[client.id] = self

    def data_received(self, data: bytes) -> None:
        client = self.client
        if client is None or client.closing:
            return
        client.net_in += len(data)
        if len(data) >= LONG_READ and self._reading:
            self._stop_reading()
            self.server.loop.call_soon(self._continue)
        client.last_active = self.server.clock
        parser = self._parser
        commands = parser.feed(data)
        n = len(commands)
        client.n_commands += n
        if n == 1 and self._is_free and parser.error is None and not parser.restricted:
            # One command, one reply, nothing special: what nearly every read is.
            self._running = True
            reply = self._run(client, commands[0])
            if not (client.special or self._pushes or client.closing):
                if isinstance(reply, bytes):
                    self._running = False
                    client.net_out += len(reply)
                    self._send(reply)
                    return
                if not reply.done and type(reply) is not Paused:
                    self._running = self._is_free = False
                    self._pending.append(reply)
                    client.waiting = reply
                    reply.on_done(self._resolved)
                    return
            self._execute((), reply)
            return
        if n:
            if self._is_free:
                exact = parser.exact
                journal = self.server.journal
                replies = self._run_columns(client, commands) if type(commands) is Columns else None
                if replies is not None:
                    client.net_out += len(replies)
                    self._send(replies)
                elif journal is not None and exact is not None:
                    start = len(journal.entries)
                    self._execute(commands)
                    journal.join(start, commands, exact)
                else:
                    self._execute(commands)
            else:
                self._backlog += commands
                self._backlog_size += len(data)
                if self._backlog_size > BACKLOG:
                    self._stop_reading()
                self._continue()
            while parser.restricted and not client.closing:
                if client.authenticated:
                    parser.release()
                commands = parser.more()
                if not commands:
                    break
                client.n_commands += len(commands)
                self._execute(commands)
        elif parser.buffered > self.server.config["client-query-buffer-limit"]:
            self.server.stats.query_limit_closed += 1
            log.warning("Closing client id=%d that reached max query buffer length", client.id)
            self.close()
        if parser.error is not None and not client.closing:
            self._failure = str(parser.error)
            self._end_if_done()

    def eof_received(self) -> bool:
        """The client will send no more.
        What it sent is executed; the connection closes when no command of it waits for its turn."""
        if self._unsent or self._n_held:
            self.server.outbox.settle()
            self.send_now()                     # the transport closes next, or soon
        self._is_at_end = bool(self._backlog) and not self._pending and not self.is_tls
        return self._is_at_end

    def connection_lost(self, error) -> None:
        self._end_loan()
        for reply in self._pending:
            if isinstance(reply, Deferred):
                reply.abandon()
        self._pending.clear()
        self._backlog.clear()
        if self.client is not None:
            self.server.connections.pop(self.client.id, None)
            self.server.forget_client(self.client)

    def pause_writing(self) -> None:
        self._is_full = True
        self._is_free = False
        self._stop_reading()

    def resume_writing(self) -> None:
        self._is_full = False
        self._soft_since = 0.0
        self._continue()

    # Commands

    def _execute(self, commands, reply=None) -> None:
        """Runs commands in order while nothing holds them up. `reply`: that of a command before them, which has just run."""
        run, run_many = self._run, self._run_many
        client = self.client
        pushes = self._pushes
        out = []
        size = n_sized = 0
        turn_ends = perf_counter_ns() + TURN_NS
        self._running = True
        commands = iter(commands)
        try:
            while True:
                if reply is None:
                    reply = run_many(client, commands, out, pushes, turn_ends)
                    if reply is None:
                        return
                    if type(reply) is list:
                        reply = run(client, reply)
                if isinstance(reply, Deferred):
                    if not reply.done:
                        self._flush(out)
                        out = []
                        self._backlog += commands
                        self._hold(reply)
                        return
                    reply = self._finish(reply)
                if client.special:
                    reply = self._by_reply_mode(client, reply)
                out.append(reply)
                if pushes:
                    out += pushes
                    pushes.clear()
                if client.closing:
                    return
                size += sum(map(len, out[n_sized:]))
                n_sized = len(out)
                reply = None
                if size > JOIN:
                    self._flush(out)
                    out = []
                    size = n_sized = 0
                    if self._is_full:
                        self._backlog += commands
                        return
                if perf_counter_ns() > turn_ends:
                    self._backlog += commands
                    if self._backlog:
                        self._stop_reading()            # or it would outgrow what is executed
                        self.server.loop.call_soon(self._continue)
                    return
        finally:
            self._running = False
            self._flush(out)
            self._is_free = not self._pending and not self._backlog and not self._is_full
            if client.closing:
                self._backlog.clear()
                self._close_gently()

    def _flush(self, out: list) -> None:
        if not out:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        if data:
            self.client.net_out += len(data)
            self._send(data)

    def _by_reply_mode(self, client: Client, reply: bytes) -> bytes:
        """CLIENT REPLY: what is left of a reply. SKIP covers itself and the command after it."""
        mode = client.reply_mode
        if mode == "on":
            return reply
        if mode == "skip":
            client.reply_mode = "skipping"
        elif mode == "skipping":
            client.reply_mode = "on"
            client.refresh()
        return NO_REPLY

    def _hold(self, deferred: Deferred) -> None:
        """Queues a reply that is not there yet."""
        self._pending.append(deferred)
        self.client.waiting = deferred
        if isinstance(deferred, Paused):
            until = self.server.dispatcher.paused_until
            if until:
                self.server.loop.call_later(max(0.0, until - time.monotonic()), self._unpause, deferred)
        else:
            deferred.on_done(self._resolved)
        self._start_pooled()

    def _start_pooled(self) -> None:
        """Starts waiting commands that may run beside the pooled ones that are under way."""
        backlog, pending, table = self._backlog, self._pending, self.server.dispatcher.table
        client = self.client
        while (backlog and pending and not client.special
               and all(reply.pooled for reply in pending if isinstance(reply, Deferred))):
            command = table.get(backlog[0][0])
            if command is None or "pooled" not in command.flags:
                break
            reply = self._run(client, backlog.popleft())
            pending.append(reply)
            if isinstance(reply, Deferred):
                reply.on_done(self._resolved)

    def _resolved(self, deferred: Deferred) -> None:
        """A deferred reply has come: sends what may be sent now and goes on."""
        client, pending = self.client, self._pending
        if client.closing or not pending:
            return
        if len(pending) == 1 and not (self._backlog or client.special or self._pushes or self._is_full or self._is_at_end
                                      or self._failure is not None) and self._reading:
            # Nothing waits behind it: what nearly every deferred reply is.
            reply = self._finish(deferred)
            pending.clear()
            client.waiting = None
            self._is_free = True
            n = len(reply)
            client.net_out += n
            transport = self.transport
            if self._unsent or self._n_held or self._fd < 0 or transport.is_closing() or transport.get_write_buffer_size():
                self._send(reply)
                return
            try:                                        # replies that wait are made many at a time: they leave together anyway
                sent = write(self._fd, reply)
            except OSError:
                sent = 0
            if sent < n:
                transport.write(reply[sent:])
            return
        out = []
        while pending:
            reply = pending[0]
            if isinstance(reply, Deferred):
                if not reply.done:
                    break
                reply = self._finish(reply)
                if self.client.special:
                    reply = self._by_reply_mode(self.client, reply)
            pending.popleft()
            out.append(reply)
        self.client.waiting = pending[0] if pending else None
        out += self._pushes
        self._pushes.clear()
        self._flush(out)
        self._continue()

    def _unpause(self, paused: Paused) -> None:
        """Runs a command again that was held back."""
        if paused.done or self.client.closing or not self._pending:
            return
        self._pending.popleft()
        self.client.waiting = None
        paused.done = True
        self._backlog.appendleft(paused.words)
        self._continue()

    def wake_paused(self) -> None:
        """Runs the command now that is held back, if one is."""
        if self._pending and isinstance(self._pending[0], Paused):
            self._unpause(self._pending[0])

    def _continue(self) -> None:
        """Goes on with the waiting commands if nothing holds them up."""
        if self._running or self.client.closing:
            return
        if self._pending:
            self._start_pooled()
            if self._backlog_size <= BACKLOG:
                self._resume_reading()          # or nobody would notice that the client has gone
            return
        self._is_free = not self._backlog and not self._is_full
        if self._backlog and not self._is_full:
            backlog, self._backlog = self._backlog, deque()
            size, self._backlog_size = self._backlog_size, 0
            self._execute(backlog)
            if self._backlog:
                self._backlog_size += size
        if self._failure is not None or self._is_at_end:
            self._end_if_done()
        if not self._backlog or (self._pending and self._backlog_size <= BACKLOG):
            self._resume_reading()

    def _resume_reading(self) -> None:
        if not (self._reading or self._is_full or self._recall or self.client.closing or self.transport.is_closing()):
            self._reading = True
            self.transport.resume_reading()

    def _end_if_done(self) -> None:
        """Closes after a protocol error or the end of the input, once everything that came before it has been executed."""
        if self.client.closing or (self._backlog and not self._pending):
            return
        if self._failure is not None:
            self._fail(self._failure)
        elif self._is_at_end:
            self._close_gently()

    def _stop_reading(self) -> None:
        if self._reading and not self.client.closing:
            self._reading = False
            self.transport.pause_reading()

    # Lending

    def lend(self, recall) -> int:
        """Lends the socket of a connection that is at rest to a module, which from now on reads from it and answers what it
        reads, all of that within one turn of the loop at a time. Returns its descriptor, -1 if the connection is not at rest.
        `recall` is called when the connection closes: nothing may touch the socket afterwards."""
        client, parser, transport = self.client, self._parser, self.transport
        if (not (self._is_free and self._reading) or self._unsent or self._n_held or self._pushes or self._running
                or self._fd < 0 or client.special or client.closing or self._failure is not None or parser.buffered
                or parser.error is not None or parser.restricted or transport.is_closing() or transport.get_write_buffer_size()):
            return -1
        self._recall = recall
        self._stop_reading()
        return self._fd

    def give_back(self, data: bytes = b"", unsent: bytes = b"") -> None:
        """Ends the loan. `data`: what was read and not answered; `unsent`: the rest of a reply."""
        self._recall = None
        if self.client.closing:
            return
        if unsent:
            self.transport.write(unsent)
        if data:
            self.data_received(data)
        self._continue()

    def _end_loan(self) -> None:
        recall, self._recall = self._recall, None
        if recall is not None:
            recall()

    # Output

    def _send(self, data: bytes) -> None:
        """Sends bytes with the end of this turn of the loop; at once when they have become many."""
        unsent = self._unsent
        if not unsent:
            self.server.outbox.add(self)
        unsent.append(data)
        self._unsent_size += len(data)
        if self._unsent_size > JOIN:
            self.server.outbox.settle()
            self.send_now()

    def take_unsent(self) -> bytes:
        """Takes away what is to be sent; it comes back by `send_held`, in the same order."""
        data = b"".join(self._unsent)
        self._unsent.clear()
        self._unsent_size = 0
        self._n_held += 1
        return data

    def send_held(self, data: bytes) -> None:
        """Sends what `take_unsent` had taken."""
        self._n_held -= 1
        if data and not self.transport.is_closing():
            self._write(data)

    def send_now(self) -> None:
        """Gives what is to be sent to the transport."""
        unsent = self._unsent
        if not unsent or self.transport.is_closing():
            return
        data = unsent[0] if len(unsent) == 1 else b"".join(unsent)
        unsent.clear()
        self._unsent_size = 0
        self._write(data)

    def _write(self, data: bytes) -> None:
        transport = self.transport
        if self._fd >= 0 and not transport.get_write_buffer_size():     # straight to the socket, which has room nearly always
            try:
                n = write(self._fd, data)
            except OSError:                             # no room at all, or the client has gone: which the transport finds out
                n = 0
            if n == len(data):
                return
            data = data[n:]
        transport.write(data)
        if self._is_full:
            self._check_output_limit()

    def _close_gently(self) -> None:
        """Closes when everything has been sent."""
        self._end_loan()
        self.server.outbox.settle()
        self.send_now()
        self.client.closing = True
        self.transport.close()

    def _write_push(self, data: bytes) -> None:
        if self._running:
            self._pushes.append(data)
            return
        if self.transport.is_closing():
            return
        self.client.net_out += len(data)
        self._send(data)

    def _check_output_limit(self) -> None:
        """Closes the connection if its client leaves too much unread, by client-output-buffer-limit."""
        hard, soft, seconds = self.server.config["client-output-buffer-limit"][self.client.kind]
        size = self.transport.get_write_buffer_size()
        now = time.monotonic()
        over = hard and size > hard
        if soft and size > soft:
            self._soft_since = self._soft_since or now
            over = over or now - self._soft_since > seconds
        else:
            self._soft_since = 0.0
        if over:
            self.server.stats.output_limit_closed += 1
            log.warning("Client id=%d addr=%s closed for overcoming of output buffer limits.", self.client.id,
                        self.client.address)
            self.close()

    def set_max_bulk(self, n: int) -> None:
        """proto-max-bulk-len has changed."""
        if self._parser is not None:
            self._parser.max_bulk = n

    def check(self, now: float, timeout: int) -> None:
        """Called once a second: idle time and soft output limit."""
        client = self.client
        if self._is_full:
            self._check_output_limit()
        if (timeout and not client.waiting and client.kind == "normal" and not client.is_monitor
                and now - client.last_active > timeout):
            self.close()

    def _input_size(self) -> int:
        return self._parser.buffered + self._backlog_size

    def _fail(self, text: str) -> None:
        """Answers a protocol error, behind the replies that are due, and closes."""
        client = self.client
        self.server.stats.count_error("ERR")
        log.debug("Protocol error (%r) from client id=%d addr=%s", text, client.id, client.address)
        line = errors.PROTOCOL_ERROR.format(text).replace("\r", " ").replace("\n", " ")
        line = b"-" + line.encode("latin-1", "replace") + b"\r\n"
        if not self._pending and not self._backlog:
            self._send(line)
        self._close_gently()

    def close(self) -> None:
        """Closes at once; unsent replies are dropped."""
        self._end_loan()
        if self.client is not None:
            self.client.closing = True
        self.transport.abort()


def _address(name) -> str:
    if not name:
        return "?:0"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def keep_alive(sock: socket.socket, seconds: int) -> None:
    """Turns TCP keep-alive probes on (0: off), the first after `seconds`."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1 if seconds else 0)
    if seconds and hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, seconds // 3))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
