"""Telling systemd how the server is doing: sd_notify's datagrams, without its library."""
import os
import socket


class Supervisor:
    """What started the server, by the directive `supervised`: systemd, or nobody."""

    def __init__(self, asked: str):
        """`asked`: no, systemd, or auto (systemd if it has left its address)."""
        address = os.environ.get("NOTIFY_SOCKET", "") if asked in ("systemd", "auto") else ""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.name = "systemd" if address else "no"

    def tell(self, *lines: str) -> None:
        """Sends lines such as READY=1 or STATUS=text. A supervisor that does not listen is no reason to stop."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            pass
