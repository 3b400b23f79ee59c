"""Who gets in: users, DICOM peers, pages of other servers; and what they may send."""

import os
import stat
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, build_context

from pipeline.audit import AuditTrail
from pipeline.database.engine import database_in
from pipeline.node import LOOPBACK
from tests.orthanc.conftest import SCANNER, Pair

ROUTES = [
    ("GET", "/glioloop/app"),
    ("GET", "/glioloop/health"),
    ("GET", "/glioloop/jobs"),
    ("GET", "/glioloop/models"),
    ("GET", "/glioloop/metrics"),
    ("GET", "/glioloop/feedback"),
    ("POST", "/glioloop/studies/1.2.3/process"),
    ("POST", "/glioloop/models/a/b/promote"),
    ("POST", "/glioloop/models/rollback"),
    ("POST", "/glioloop/finetune"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("auth", [None, ("glioloop", "wrong"), ("orthanc", "orthanc")])
def test_no_route_without_a_user(shared_pair: Pair, method: str, path: str, auth: tuple[str, str] | None) -> None:
    answer = httpx.request(method, shared_pair.node.url + path, auth=auth, trust_env=False)
    assert answer.status_code == httpx.codes.UNAUTHORIZED


def _associates(pair: Pair, calling: str, called: str) -> bool:
    ae = AE(calling)
    ae.requested_contexts = [build_context(MRImageStorage, [ExplicitVRLittleEndian])]
    association = ae.associate(LOOPBACK, pair.node.configuration.dicom_port, ae_title=called)
    established = bool(association.is_established)
    if established:
        association.release()
    return established


def test_dicom_peers(shared_pair: Pair) -> None:
    """Only a listed modality that calls this node by its name may associate."""
    aet = shared_pair.node.configuration.aet
    assert _associates(shared_pair, SCANNER, aet)
    assert not _associates(shared_pair, SCANNER, "ORTHANC")
    assert not _associates(shared_pair, SCANNER, "ANY-SCP")


def test_unknown_peer_stores_nothing(shared_pair: Pair, sample_study: Path) -> None:
    """Who is not on the list gets no image in, by whichever name it calls."""
    image = pydicom.dcmread(next(sample_study.glob("t1/*.dcm")))
    image.decompress()
    before = shared_pair.get("/statistics")["CountInstances"]
    for calling in ("STRANGER", "scanner "[:7].upper()[:4], ""):
        ae = AE(calling or "PYNETDICOM")
        ae.requested_contexts = [build_context(MRImageStorage, [ExplicitVRLittleEndian])]
        association = ae.associate(
            LOOPBACK, shared_pair.node.configuration.dicom_port, ae_title=shared_pair.node.configuration.aet
        )
        if association.is_established:
            status = association.send_c_store(image)
            assert "Status" not in status or status.Status != 0
            association.abort()
    assert shared_pair.get("/statistics")["CountInstances"] == before


def test_listed_peer_from_another_host(tmp_path: Path) -> None:
    """The name alone is not enough: it must call from its own host."""
    from pipeline.node import Modality, OrthancProcess, free_port, write_configuration  # noqa: PLC0415

    configuration = write_configuration(
        tmp_path / "node",
        http_port=free_port(),
        dicom_port=free_port(),
        modalities={"scanner": Modality(SCANNER, free_port(), host="192.0.2.10")},
        settings={"Workers": 0, "Automatic": False},
    )
    with OrthancProcess(configuration) as node:
        assert not _associates(Pair(node, node), SCANNER, configuration.aet)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
    ],
)
def test_pages_of_others_command_nothing(shared_pair: Pair, headers: dict[str, str]) -> None:
    with shared_pair.node.client() as client:
        answer = client.post("/glioloop/finetune", headers=headers, json={})
    assert answer.status_code == httpx.codes.FORBIDDEN
    assert answer.json()["error"]["code"] == "REQUEST_FOREIGN"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 30_000,
        b'{"a":' * 10_000,
        b"{" + b'"x":1,' * 12_000 + b'"y":2}',
        b"\xff\xfe\x00",
        b"9" * 5000,
        b'{"priority": 1e400}',
        b'{"model": "../../etc/passwd"}',
        b'{"force": "' + b"x" * 60_000 + b'"}',
    ],
)
def test_hostile_bodies(shared_pair: Pair, body: bytes) -> None:
    with shared_pair.node.client() as client:
        answer = client.post("/glioloop/studies/1.2.3.4/process", content=body)
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert answer.json()["error"]["code"] == "REQUEST_INVALID"


@pytest.mark.parametrize(
    "path",
    [
        "/glioloop/app/..%2f..%2forthanc.json",
        "/glioloop/app/%2e%2e/routes.py",
        "/glioloop/jobs/..%2f..%2fqueue.sqlite/preview.png",
        "/glioloop/models/../../x/promote",
        "/glioloop/studies/%2e%2e%2f%2e%2e/process",
        "/glioloop/jobs?study=..%2f..%2fsystem",
        "/glioloop/jobs?limit=0000000009999999",
        "/glioloop/jobs?limit=-1",
        "/glioloop/jobs?offset=%D9%A1",
    ],
)
def test_paths_lead_nowhere(shared_pair: Pair, path: str) -> None:
    with shared_pair.node.client() as client:
        answer = client.get(path)
    assert 400 <= answer.status_code < 500


def test_commands_are_on_record(shared_pair: Pair) -> None:
    """Who asked for what stands in the trail, refused or not; who was not let in does not."""
    shared_pair.post("/glioloop/studies/1.2.3.99/process", {"force": True})
    state = shared_pair.node.configuration.state_folder
    trail = AuditTrail(database_in(state))
    found = [one for one in trail.entries() if one.subject == "/glioloop/studies/1.2.3.99/process"]
    assert [(one.event, one.who) for one in found] == [("asked", shared_pair.node.configuration.user)]
    assert trail.verify() == []


def test_files_are_private(shared_pair: Pair) -> None:
    """Nobody else on the machine reads images, results, the queue, logs or secrets."""
    state = shared_pair.node.configuration.state_folder
    shared_pair.wait_ready()
    for path in (state / "worker.log", state / "queue.sqlite", state / "configuration" / "credentials.json"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for folder in (state / "orthanc", state / "configuration", state / "logs"):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0, folder


def test_secrets_stay_secret(shared_pair: Pair) -> None:
    """Neither password nor token stands in a log or in a process's arguments."""
    configuration = shared_pair.node.configuration
    (worker,) = shared_pair.get("/glioloop/health")["workers"]
    environment = dict(
        entry.split(b"=", 1)
        for entry in Path(f"/proc/{worker['pid']}/environ").read_bytes().split(b"\0")
        if b"=" in entry
    )
    token = environment[b"GLIOLOOP_TOKEN"]
    assert stat.S_IMODE(Path(f"/proc/{worker['pid']}/environ").stat().st_mode) == 0o400
    assert Path(f"/proc/{worker['pid']}/environ").stat().st_uid == os.getuid()
    said = [configuration.log.read_bytes(), (configuration.state_folder / "worker.log").read_bytes()]
    said += [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (worker["pid"], shared_pair.node.pid)]
    for text in said:
        assert token not in text
        assert configuration.password.encode() not in text
