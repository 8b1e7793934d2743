"""RESP without sockets: bytes in, commands out; values in, bytes out."""
