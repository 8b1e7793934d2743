"""What is left in the log when the server dies of an error of its own: where every thread was, and how the server was doing."""
import faulthandler
import logging
import os
import sys
import traceback

log = logging.getLogger("vamana")

_START = "=== VAMANA BUG REPORT START: Cut & paste starting from here ==="
_END = "=== VAMANA BUG REPORT END. Make sure to include from START to END. ==="


def catch_signals(path: str) -> None:
    """Has deadly signals (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) write the Python stack of every thread to the log file, ""
    for the standard output, before they end the process. Nothing else is safe then."""
    file = open(path, "ab", buffering=0) if path else sys.stdout    # stays open as long as the process lives
    faulthandler.enable(file, all_threads=True)


def report(server, error: BaseException) -> None:
    """Logs an error that ends the server: the traceback, INFO, and the clients with their last commands."""
    trace = "".join(traceback.format_exception(error))
    try:
        info = server.info.text(server, ["everything"]).replace("\r\n", "\n")
        clients = "\n".join(client.describe() for client in server.clients.values())
    except Exception as second:
        info, clients = f"(not to be had: {second!r})", ""
    log.critical("%s\n%s\n------ INFO OUTPUT ------\n%s\n------ CLIENT LIST OUTPUT ------\n%s\n%s",
                 _START, trace, info, clients, _END)


def on_loop_error(loop, context: dict) -> None:
    """What the event loop calls for an exception that nobody has caught: it goes to the log, and the server goes on."""
    error = context.get("exception")
    log.error("Unhandled: %s", context.get("message", ""), exc_info=error if error is not None else None)


def end_by_segfault() -> None:
    """DEBUG SEGFAULT."""
    faulthandler._sigsegv()


def end_at_once() -> None:
    """DEBUG PANIC: after a report has been written nothing else may run."""
    logging.shutdown()
    os._exit(1)
