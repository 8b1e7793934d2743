"""Replies that leave together: what a turn of the loop produced is written at its end, connection after connection.

Writing to a socket wakes the process behind it, which can cost more than the command did. A client that is woken once finds the
replies of a whole turn; woken by the first of them it would sleep and be woken again for each."""
import asyncio


class Outbox:
    """The connections that have something to send at the end of this turn."""

    __slots__ = ("_connections", "_call_soon", "journal")

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._connections: list = []
        self._call_soon = loop.call_soon
        self.journal = None             # has to write what commands did before their replies leave

    def add(self, connection) -> None:
        """Has connection.send_now() called at the end of the turn."""
        self._connections.append(connection)
        if len(self._connections) == 1:
            self._call_soon(self.flush)

    def flush(self) -> None:
        """Sends what there is to send now."""
        connections, self._connections = self._connections, []
        journal = self.journal
        if journal is not None and not journal.commit():
            journal.hold([(connection, connection.take_unsent()) for connection in connections])
            return
        for connection in connections:
            connection.send_now()

    def settle(self) -> None:
        """To be called before something leaves in the middle of a turn: what commands did is written by then, and synchronised
        where replies wait for that."""
        if self.journal is not None:
            self.journal.settle()
