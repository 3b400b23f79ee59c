"""TLS for HTTP and DICOM on the real Orthanc, with certificates of our own."""

import shutil
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from pynetdicom import AE

from pipeline.archive.client import HttpArchive
from pipeline.errors import GlioLoopError
from pipeline.node import LOOPBACK, OrthancProcess, free_port, write_pair, write_workstation_configuration
from pipeline.settings import load_settings
from tests.orthanc.conftest import SCANNER, cursor_of
from tests.patience import wait_for

VERIFICATION = "1.2.840.10008.1.1"


def _certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for a host's name, with its key in the same file, as Orthanc wants it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder.mkdir(exist_ok=True)
    key, certificate, both = (folder / f"{name}.{kind}" for kind in ("key", "crt", "pem"))
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    both.write_text(certificate.read_text() + key.read_text())
    both.chmod(0o600)
    return both


def _serves_https(folder: Path, pem: Path) -> bool:
    """Whether this Orthanc can do HTTPS at all: Debian 12's 1.10.1 dies at the first request, with no plugin loaded."""
    bare = write_workstation_configuration(
        folder,
        http_port=free_port(),
        dicom_port=free_port(),
        overrides={"SslEnabled": True, "SslCertificate": str(pem), "Plugins": []},
    )
    process = OrthancProcess(bare)
    process.client = lambda timeout_seconds=30: httpx.Client(  # type: ignore[method-assign]
        base_url=bare.url.replace("http:", "https:"),
        auth=(bare.user, bare.password),
        timeout=timeout_seconds,
        verify=False,
        trust_env=False,
    )
    try:
        with process:
            return True
    except GlioLoopError:
        return False


class _Quiet(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"DicomAet": "X"}')

    def log_message(self, *_: object) -> None:
        pass


def test_worker_trusts_one_certificate(tmp_path: Path) -> None:
    """The worker's connection takes the pinned certificate and no other, whatever the system trusts."""
    pem = _certificate(tmp_path / "tls", "orthanc.hospital.example")
    other = _certificate(tmp_path / "tls", "impostor.example")
    server = HTTPServer((LOOPBACK, 0), _Quiet)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    section = {"OrthancUrl": f"https://{LOOPBACK}:{server.server_port}", "OrthancUser": "u", "OrthancPassword": "p"}
    try:
        trusting = HttpArchive(load_settings({**section, "OrthancCertificate": str(pem)}))
        assert trusting.get("/system") == {"DicomAet": "X"}
        for wrong in ({"OrthancCertificate": str(other)}, {}):
            with pytest.raises(GlioLoopError, match="ORTHANC_UNREACHABLE"):
                HttpArchive(load_settings({**section, **wrong})).get("/system")
    finally:
        server.shutdown()


def test_https(tmp_path: Path) -> None:
    """The worker reaches Orthanc by HTTPS, trusts its own certificate only, and plain HTTP is not answered."""
    pem = _certificate(tmp_path / "tls", "orthanc.hospital.example")
    other = _certificate(tmp_path / "tls", "impostor.example")
    if not _serves_https(tmp_path / "bare", pem):
        pytest.skip("this Orthanc dies at its first HTTPS request, without any plugin, too")
    configuration = write_pair(tmp_path, settings={}, overrides={"SslEnabled": True, "SslCertificate": str(pem)}).node
    url = configuration.url.replace("http:", "https:")
    context = ssl.create_default_context(cafile=pem.with_suffix(".crt"))
    context.check_hostname = False
    process = OrthancProcess(configuration)
    process.client = lambda timeout_seconds=30: httpx.Client(  # type: ignore[method-assign]
        base_url=url,
        auth=(configuration.user, configuration.password),
        timeout=timeout_seconds,
        verify=context,
        trust_env=False,
    )
    with process, process.client() as client:
        wait_for(lambda: client.get("/glioloop/health").status_code == httpx.codes.OK, 90, "the worker")
        # The first thing a worker does is to ask Orthanc for its changes; that it noted them shows that it got in.
        wait_for(lambda: cursor_of(configuration) is not None, 30, "the worker's first look")
        with pytest.raises(httpx.TransportError):
            httpx.get(configuration.url + "/system", trust_env=False)
        section = {"OrthancUrl": url, "OrthancUser": configuration.user, "OrthancPassword": configuration.password}
        trusting = HttpArchive(load_settings({**section, "OrthancCertificate": str(pem)}))
        assert trusting.get("/system")["DicomAet"] == configuration.aet
        for wrong in ({"OrthancCertificate": str(other)}, {}):
            with pytest.raises(GlioLoopError, match="ORTHANC_UNREACHABLE"):
                HttpArchive(load_settings({**section, **wrong})).get("/system")


def test_dicom_tls(tmp_path: Path) -> None:
    """C-ECHO by TLS with a certificate that the node trusts; without TLS, or with a stranger's, nobody gets in."""
    node_pem, scanner_pem, stranger = (
        _certificate(tmp_path / "tls", name) for name in ("node.example", "scanner.example", "stranger.example")
    )
    configuration = write_pair(
        tmp_path,
        settings={"Workers": 0, "Automatic": False},
        overrides={
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(node_pem.with_suffix(".crt")),
            "DicomTlsPrivateKey": str(node_pem.with_suffix(".key")),
            "DicomTlsTrustedCertificates": str(scanner_pem.with_suffix(".crt")),
            "DicomAlwaysAllowEcho": True,
        },
    ).node

    def echoes(identity: Path | None) -> bool:
        ae = AE(SCANNER)
        ae.add_requested_context(VERIFICATION)
        tls = None
        if identity is not None:
            context = ssl.create_default_context(cafile=node_pem.with_suffix(".crt"))
            context.check_hostname = False
            context.load_cert_chain(identity.with_suffix(".crt"), identity.with_suffix(".key"))
            tls = (context, "node.example")
        association = ae.associate(LOOPBACK, configuration.dicom_port, ae_title=configuration.aet, tls_args=tls)
        if not association.is_established:
            return False
        status = association.send_c_echo()
        association.release()
        return bool(status) and status.Status == 0

    with OrthancProcess(configuration):
        assert echoes(scanner_pem)
        assert not echoes(stranger)
        assert not echoes(None)
