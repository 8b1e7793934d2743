"""TLS: certificates of either side, protocols, certificates that change, all commands over it."""
import shutil
import socket
import ssl
import subprocess

import helpers
import pytest
import redis
from helpers import PATIENCE, RawConnection, free_port, running_server

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make certificates")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with ca.crt, and key and certificate of server, other (server) and client."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-subj",
            "/CN=ca", "-days", "2")
    for name in ("server", "other", "client"):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                f"{name}.crt",
                "-days", "2")
    return folder


def options(files, port, *more):
    return ("--tls-port", str(port), "--tls-cert-file", str(files / "server.crt"), "--tls-key-file", str(files / "server.key"),
            "--tls-ca-cert-file", str(files / "ca.crt"), *more)


def client(files, port, own=True, **more):
    own = {"ssl_certfile": str(files / "client.crt"), "ssl_keyfile": str(files / "client.key")} if own else {}
    return helpers.client(port, ssl=True, ssl_ca_certs=str(files / "ca.crt"), ssl_check_hostname=False, **own,
                       **more)


def name_of(files, port) -> str:
    """Whose certificate the server shows."""
    context = ssl.create_default_context(cafile=str(files / "ca.crt"))
    context.check_hostname = False
    context.load_cert_chain(str(files / "client.crt"), str(files / "client.key"))
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as sock:
        return dict(pair for row in sock.getpeercert()["subject"] for pair in row)["commonName"]


@pytest.fixture(scope="module")
def secured(files):
    port = free_port()
    with running_server(*options(files, port)) as server:
        server.tls_port = port
        yield server


def test_commands(secured, files):
    with client(files, secured.tls_port) as r:
        assert r.set("a", b"x" * 300_000) and r.get("a") == b"x" * 300_000
        pipe = r.pipeline(transaction=False)
        for i in range(2000):
            pipe.hset(f"d{i}", mapping={"t": "x", "v": bytes(8)})
        assert sum(pipe.execute()) == 4000
        r.execute_command("FT.CREATE", "i", "PREFIX", 1, "d", "SCHEMA", "v", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", 2,
                          "DISTANCE_METRIC", "L2")
        for _ in range(40):             # often enough for the ways that plain sockets have
            found = r.execute_command("FT.SEARCH", "i", "*=>[KNN 3 @v $q]", "PARAMS", 2, "q", bytes(8), "NOCONTENT", "DIALECT", 2)
            assert found[0] == 3
        subscriber = r.pubsub()
        subscriber.subscribe("c")
        assert subscriber.get_message(timeout=PATIENCE) and r.publish("c", "hello") == 1
        assert subscriber.get_message(timeout=PATIENCE)["data"] == b"hello"
        assert r.info("server")["listener0"]["name"] == "tls"


def test_clients_have_to_show_a_certificate(secured, files):
    with client(files, secured.tls_port, own=False) as r, pytest.raises(redis.ConnectionError):
        r.ping()
    with RawConnection(port=secured.tls_port) as raw:
        assert raw.send(b"PING\r\n").is_closed()
    with RawConnection(port=secured.port) as raw:
        assert raw.call("PING") == "PONG"


def test_certificates_change(secured, files):
    assert name_of(files, secured.tls_port) == "server"
    with client(files, secured.tls_port) as r, RawConnection(port=secured.port) as raw:
        assert r.ping()
        wrong = raw.error("CONFIG", "SET", "tls-cert-file", str(files / "other.crt"))
        assert "Unable to update TLS configuration" in wrong and name_of(files, secured.tls_port) == "server"
        assert raw.call("CONFIG", "SET", "tls-cert-file", str(files / "other.crt"), "tls-key-file",
                        str(files / "other.key")) == "OK"
        assert name_of(files, secured.tls_port) == "other" and r.ping()
        assert raw.call("CONFIG", "SET", "tls-auth-clients", "no") == "OK"
        with client(files, secured.tls_port, own=False) as anonymous:
            assert anonymous.ping()


def test_protocols_and_tls_only(files):
    port = free_port()
    with running_server(*options(files, port, "--tls-protocols", "TLSv1.3", "--tls-auth-clients", "optional")) as server:
        context = ssl.create_default_context(cafile=str(files / "ca.crt"))
        context.check_hostname = False
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", port)) as plain:
            context.wrap_socket(plain)
        with client(files, port, own=False) as r:
            assert r.ping() and server.process.poll() is None


@pytest.mark.parametrize("more, text", [
    (("--tls-cert-file", ""), "No tls-cert-file"), (("--tls-ca-cert-file", ""), "must be specified when tls-auth-clients"),
    (("--tls-key-file", "none.key"), "Failed to configure TLS"), (("--tls-protocols", "SSLv3"), "Invalid tls-protocols")])
def test_refusals(files, more, text):
    with pytest.raises(AssertionError, match=text), running_server(*options(files, free_port()), *more):
        pass
