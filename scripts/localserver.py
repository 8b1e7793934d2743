"""What the demo and the benchmarks share: a server of our own on a free port, a progress bar, and small measuring tools."""
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import redis

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], port: int):
    """Runs a server until the block ends; yields its process. `command` must make it listen on `port` of 127.0.0.1."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                redis.Redis(port=port).ping()
                break
            except redis.ConnectionError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} did not start") from None
                time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def our_server(*arguments: str):
    """A vamana-server on a free port with an empty directory of its own; yields (port, process)."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="vamana-") as directory:
        command = [sys.executable, "-m", "respserver", "--port", str(port), "--dir", directory, "--loglevel",
                   "warning", "--save", "", *arguments]
        with running(command, port) as process:
            yield port, process


class Progress:
    """A bar on standard error: title, percent, rate and remaining time. Quiet when that is not a terminal."""

    def __init__(self, title: str, total: int):
        self.title, self.total, self.start, self.shown = title, total, time.monotonic(), 0.0
        self.is_visible = sys.stderr.isatty()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if not self.is_visible or (now - self.shown < 0.1 and done < self.total):
            return
        self.shown = now
        share = min(done / self.total, 1) if self.total else 1
        rate = done / max(now - self.start, 1e-9)
        left = (self.total - done) / rate if rate else 0
        bar = "#" * round(24 * share)
        sys.stderr.write(f"\r{self.title:<28} [{bar:<24}] {100 * share:3.0f} %  {rate:,.0f}/s  {left:4.0f} s left ")
        sys.stderr.write("\n" if done >= self.total else "")
        sys.stderr.flush()


def as_dict(reply) -> dict:
    """FT.INFO's flat array of names and values, or map, as a dict with text keys."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {k.decode() if isinstance(k, bytes) else k: v for k, v in pairs}


def table(header: list[str], rows: list[list]) -> str:
    """Rows as a Markdown table with aligned columns; the first column is text, the others are right-aligned."""
    cells = [header] + [[str(c) for c in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    def line(row):
        return "| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w)
                                 for i, (c, w) in enumerate(zip(row, widths, strict=True))) + " |"
    rule = "|" + "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths)) + "|"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])
