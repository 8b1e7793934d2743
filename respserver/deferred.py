"""A reply that comes later."""
from collections.abc import Callable

from .protocol.errors import CommandError


class Deferred:
    """What a command returns when its reply is computed elsewhere, or when its client has to wait for something.

    The connection keeps replies in order; see Connection. Everything here happens on the loop thread."""

    __slots__ = ("done", "value", "_callback", "on_abandon", "blocking", "call", "pooled")

    def __init__(self, on_abandon: Callable[[], None] | None = None, blocking: bool = False):
        self.done = False
        self.value = None               # any reply value, or a CommandError
        self._callback = None
        self.on_abandon = on_abandon    # called if nobody wants the result any more: the client is gone or was unblocked
        self.pooled = False             # its command may run beside other pooled ones of the same client; set by the dispatcher
        self.call = None                # what the dispatcher notes, which encodes the reply and counts the call when it is there
        self.blocking = blocking        # the client waits for others (BLPOP and the like): CLIENT UNBLOCK may end it

    def set_result(self, value) -> None:
        """Delivers the reply: any value that protocol.reply encodes, or a CommandError. Later calls are ignored."""
        if self.done:
            return
        self.done = True
        self.value = value
        if self._callback is not None:
            self._callback(self)

    def on_done(self, callback: Callable[["Deferred"], None]) -> None:
        """Has `callback` called with this object once the result is there; at once if it is."""
        if self.done:
            callback(self)
        else:
            self._callback = callback

    def abandon(self) -> None:
        """Tells the producer that the result is not wanted any more."""
        if not self.done:
            self.done = True
            self._callback = None
            if self.on_abandon is not None:
                self.on_abandon()

    def end(self, value) -> None:
        """Delivers `value` in place of what the producer would have, and tells the producer so."""
        if not self.done:
            self.set_result(value)
            if self.on_abandon is not None:
                self.on_abandon()

    def wait(self):
        """Blocks until the result is there and returns it; raises it if it is a CommandError. EXEC calls this. A producer that
        can be waited for overrides it; one that cannot must look at client.in_exec and not return a Deferred."""
        if not self.done:
            raise RuntimeError(f"{type(self).__name__} cannot be waited for")
        if isinstance(self.value, CommandError):
            raise self.value
        return self.value
