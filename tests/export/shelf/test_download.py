"""Downloads from a server with TLS on the loopback: good, large, endless, cut off, elsewhere."""

import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from device.errors import ModelTooLarge
from export.shelf import download as downloads
from export.shelf.download import DownloadFailed, download

CONTENT = b"the bytes of a model"


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self):
        if self.path == "/slow":
            self.server.is_released.wait()
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl: apt install openssl")
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    command += ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def server(certificate, monkeypatch):
    """A server that this machine trusts; `answers` maps a path to status, headers and body."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "certificate.pem"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.is_released = threading.Event()
        server.answers = {"/m.onnx": (200, {}, CONTENT)}
        server.address = f"https://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.is_released.set()
        server.shutdown()
        thread.join()


def test_a_file_is_downloaded_whole(server):
    assert download(f"{server.address}/m.onnx") == CONTENT


def test_a_redirection_is_followed_within_https(server):
    server.answers["/old"] = (302, {"Location": "/m.onnx"}, b"")
    assert download(f"{server.address}/old") == CONTENT


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/m.onnx", "file:///etc/passwd", "ftp://x/m"])
def test_a_redirection_that_leaves_https_is_refused(server, target):
    server.answers["/old"] = (302, {"Location": target}, b"")
    with pytest.raises(DownloadFailed):
        download(f"{server.address}/old")


def test_what_is_missing_is_said_with_its_status(server):
    with pytest.raises(DownloadFailed, match="404"):
        download(f"{server.address}/none.onnx")


def test_a_file_that_is_cut_off_is_no_model(server):
    server.answers["/m.onnx"] = (200, {"Content-Length": "1000"}, CONTENT)
    with pytest.raises(
        DownloadFailed, match=f"found {len(CONTENT)} bytes, expected 1,000|Incomplete"
    ):
        download(f"{server.address}/m.onnx")


def test_a_large_file_is_cut_off_at_the_size_of_a_model(server, monkeypatch):
    monkeypatch.setattr(downloads, "MAX_MODEL_BYTES", 10)
    with pytest.raises(ModelTooLarge, match="more than 10 bytes"):
        download(f"{server.address}/m.onnx")


def test_a_server_that_takes_its_time_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(downloads, "_SECONDS", 0.3)
    with pytest.raises(DownloadFailed, match="found no end"):
        download(f"{server.address}/slow")


def test_a_server_without_a_trusted_certificate_is_refused(server, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(DownloadFailed, match="CERTIFICATE_VERIFY_FAILED"):
        download(f"{server.address}/m.onnx")


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1/m.onnx",
        "file:///etc/passwd",
        "https:///m.onnx",
        "https://user:secret@127.0.0.1/m.onnx",
        "https://[::1/m.onnx",
    ],
)
def test_another_kind_of_address_is_refused_before_anything_is_opened(address):
    with pytest.raises(DownloadFailed, match="expected https://"):
        download(address)


@pytest.mark.parametrize("address", ["https://127.0.0.1:1/m.onnx", "https://no such host/m.onnx"])
def test_a_server_that_does_not_answer(address, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(DownloadFailed, match=r"found .*, expected a model file"):
        download(address)
