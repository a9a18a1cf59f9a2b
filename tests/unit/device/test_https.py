"""Over TLS: the same bounds, a certificate that must be right, and no way back to http."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.device_repository import Handler, Server

from edgeship.device.config import Limits
from edgeship.device.download import download
from edgeship.device.network import Http
from edgeship.errors import RepositoryUnavailable

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(made.public_bytes(encoding))
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server whose certificate is believed."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www/file").write_bytes(CONTENT)
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    found = Server(tmp_path / "www")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    found.socket = context.wrap_socket(found.socket, server_side=True)
    thread = threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def url(server: Server) -> str:
    return f"https://127.0.0.1:{server.server_port}/file"


def fetch(server: Server, folder: Path, limits: Limits) -> bytes:
    with Http(limits) as http:
        return download(http, url(server), SHA256, len(CONTENT), folder).read_bytes()


def test_a_file_comes_over_tls(server: Server, tmp_path: Path) -> None:
    (tmp_path / f"{SHA256}.part").write_bytes(CONTENT[:1000])
    assert fetch(server, tmp_path, Limits(seconds=10.0)) == CONTENT
    assert server.requests == [("/file", "bytes=1000-")]


def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate(tmp_path / "other")[0]))
    with pytest.raises(RepositoryUnavailable, match="certificate"):
        fetch(server, tmp_path, Limits(seconds=10.0))
    assert server.requests == []


def test_https_never_leads_to_http(server: Server, tmp_path: Path) -> None:
    server.trick = lambda request: request.answer(302, b"", {"Location": "http://127.0.0.1/file"}) is None
    with pytest.raises(RepositoryUnavailable, match="leads to"):
        fetch(server, tmp_path, Limits(seconds=10.0))


def test_a_server_that_drips_over_tls_is_left(server: Server, tmp_path: Path) -> None:
    ended = threading.Event()

    def drip(request: Handler) -> bool:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 256000\r\n\r\n")
        try:
            while not ended.wait(0.05):
                request.wfile.write(b"x")
        except OSError:
            ended.set()
        request.close_connection = True
        return True

    server.trick = drip
    with pytest.raises(RepositoryUnavailable, match="too slowly"):
        fetch(server, tmp_path, Limits(seconds=0.5, bytes_per_second=1_000_000))
    assert ended.wait(30)


def test_a_server_that_never_ends_the_handshake_is_left(tmp_path: Path) -> None:
    """A byte of a record now and then: each read is in time."""
    left = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"\x16\x03\x03\x40\x00\x02")  # a handshake record of 16 KiB begins
                try:
                    while not left.wait(0.05):
                        connection.sendall(b"\x00")
                except OSError:
                    left.set()

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        address = f"https://127.0.0.1:{listening.getsockname()[1]}/file"
        with Http(Limits(seconds=0.5)) as http, pytest.raises(RepositoryUnavailable), http.get(address):
            pass
        assert left.wait(30)
        thread.join()
