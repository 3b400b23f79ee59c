"""People are told by real servers, also after these were down, once, and no patient's name unless that is wanted."""

import hashlib
import hmac
import json
import re
import socketserver
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pydicom
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from dbos import EnqueueOptions

from pipeline.jobs.queues import AUDIT_WORKFLOW, CHECK_QUEUE, DIGEST_WORKFLOW, WATCH_WORKFLOW
from pipeline.node import LOOPBACK, free_port
from tests.faults.site import Layout, Site
from tests.orthanc.conftest import copy_study
from tests.patience import wait_for

SECRET = "It's a secret"
NAME = "Told^To-Nobody"


@dataclass
class Hook:
    """An HTTP server that keeps what it is told; it refuses as often as it is told to."""

    port: int = field(default_factory=free_port)
    refuse: int = 0
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.refuse -= 1
                if hook.refuse >= 0:
                    self.send_response(500)
                else:
                    hook.posts.append((dict(self.headers), body))
                    self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer((LOOPBACK, self.port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()

    def told(self, event: str) -> list[dict[str, Any]]:
        """What came of an event."""
        return [one for one in (json.loads(body) for _, body in self.posts) if one["event"] == event]


@dataclass
class MailBox:
    """What a mail server took."""

    port: int = field(default_factory=free_port)
    mails: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        content = envelope.content
        assert isinstance(content, bytes)
        self.mails.append(message_from_bytes(content, policy=policy.default))
        return "250 OK"

    @contextmanager
    def running(self) -> Iterator[None]:
        server = Controller(self, hostname=LOOPBACK, port=self.port)
        server.start()
        try:
            yield
        finally:
            server.stop()


@dataclass
class AuditRepository:
    """A syslog server over TCP that keeps what it is told."""

    port: int = field(default_factory=free_port)
    messages: list[str] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        messages = self.messages

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while digits := b"".join(iter(lambda: self.rfile.read(1).strip(), b"")):
                    messages.append(self.rfile.read(int(digits)).decode())

        server = socketserver.ThreadingTCPServer((LOOPBACK, self.port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()

    def events(self) -> list[str]:
        """What happened, by the details of the messages."""
        return [b64decode(re.findall('type="event" value="([^"]*)"', one)[0]).decode() for one in self.messages]


def _named(source: Path, target: Path, *series: str) -> Path:
    """A copy of a study whose patient's name is one that is found wherever it goes."""
    copied = copy_study(source, target, *series)
    for path in copied.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.PatientName, dataset.PatientID = NAME, "P-4711"
        dataset.save_as(path)
    return copied


def _look(site: Site, workflow: str, number: int = 1) -> None:
    """Have the node look at itself now, as its schedule has it every few minutes, or once a day."""
    queue = site.queue()
    try:
        queue.client.enqueue(
            EnqueueOptions(workflow_name=workflow, queue_name=CHECK_QUEUE, workflow_id=f"{workflow}-{number}"), "", None
        )
    finally:
        queue.close()


def test_people_are_told(tmp_path: Path, small_study: Path) -> None:
    hook, trusted, box, repository = Hook(refuse=1), Hook(), MailBox(), AuditRepository()
    retry = [1] * 300
    mail = {"Mail": ["one@example.org", "two@example.org"], "Sender": "node@example.org", "Host": LOOPBACK}
    settings = {
        "GraceSeconds": 0,
        "ForwardRetrySeconds": [],
        "Destinations": [{"Folder": str(tmp_path / "not mounted"), "Name": "folder"}],
        "AuditSyslog": {"Host": LOOPBACK, "Port": repository.port, "Transport": "tcp"},
        "Notify": {
            "QueueMinutes": 1e-6,
            "Url": "https://node.example/",
            "Channels": [
                {
                    "Name": "hook",
                    "Webhook": f"http://{LOOPBACK}:{hook.port}/told",
                    "Secret": SECRET,
                    "RetrySeconds": retry,
                    "Events": ["done", "refused", "failed", "queue", "digest"],
                },
                {
                    "Name": "trusted",
                    "Webhook": f"http://{LOOPBACK}:{trusted.port}/",
                    "RetrySeconds": retry,
                    "PatientName": True,
                    "Events": ["done"],
                },
                {
                    **mail, "Name": "people", "Port": box.port, "Encryption": "none", "RetrySeconds": retry,
                    "Events": ["flagged", "done", "digest"],
                },
                {
                    **mail, "Name": "dead", "Port": free_port(), "Encryption": "none", "RetrySeconds": [3600],
                    "Events": ["done"],
                },
            ],
        },
    }  # fmt: skip
    whole = _named(small_study, tmp_path / "whole", "t1", "t1c", "t2", "flair")
    with Site(Layout(tmp_path), whole, settings) as site:
        job = site.process()
        ended = site.wait_end(job)
        assert ended["deliveries"]["folder"]["state"] == "failed"

        def listed() -> dict[tuple[str, str], dict[str, Any]]:
            return {(one["channel"], one["event"]): one for one in site.pair.get("/glioloop/notifications")}

        done = "flagged" if ended["result"]["flags"] else "done"
        for told in (("people", done), ("hook", "done")):
            wait_for(lambda told=told: bool((listed().get(told) or {}).get("error")), 60, listed)  # type: ignore[misc]
            assert listed()[told]["error"]["code"] == "NOTIFY_FAILED"
        assert (site.layout.state / "queue.sqlite").exists()

        _look(site, AUDIT_WORKFLOW)  # nobody is there
        with hook.running(), trusted.running(), box.running(), repository.running():
            wait_for(
                lambda: bool(hook.told("done") and hook.told("failed") and box.mails and trusted.posts), 60, listed
            )
            wait_for(lambda: listed()["people", done]["state"] == "done", 30, listed)
            _check_posted(hook, job)
            _check_mailed(box, job)
            assert trusted.told("done")[0]["patient"] == {"name": NAME.replace("^", " "), "id": "P-4711"}
            failed = hook.told("failed")[0]
            assert (failed["code"], failed["job"]) == ("FORWARD_FAILED", job)
            assert listed()["dead", "done"]["state"] == "waiting"

            site.study_files = _named(small_study, tmp_path / "part", "t1", "t1c")
            site.send_study()
            queue = site.queue()
            queue.enqueue_intake(site.study, "asked", "forced")
            queue.close()
            wait_for(lambda: bool(hook.told("refused")), 60, listed)
            assert hook.told("refused")[0]["code"] == "SEQUENCE_MISSING"

            assert site.pair.post("/glioloop/notifications/test", {"channel": "people"}).status_code == 202
            assert site.pair.post("/glioloop/notifications/test", {"channel": "nobody"}).status_code == 404
            wait_for(lambda: any("A test" in one["Subject"] for one in box.mails), 30, listed)

            for number in (2, 3):
                _look(site, AUDIT_WORKFLOW, number)
            wait_for(lambda: bool(repository.messages), 30, "the audit trail")
            _look(site, DIGEST_WORKFLOW)
            wait_for(lambda: bool(hook.told("digest")), 30, listed)
            assert any("1 refused (1 SEQUENCE_MISSING)" in line for line in hook.told("digest")[0]["lines"])
            site.gates.shut("identify", "start")
            site.study = ended["study"]
            for _ in range(3):
                site.process()
            _look(site, WATCH_WORKFLOW)
            wait_for(lambda: bool(hook.told("queue")), 60, listed)

        events = repository.events()
        assert {f"{event} {job}" for event in ("decided", "segmented", "stored")} <= set(events)
        texts = [*(body for _, body in hook.posts), *(mail.as_bytes() for mail in box.mails)]
        _check_no_patient(site, [*texts, *(one.encode() for one in repository.messages)])
        assert all(one["state"] == "done" for key, one in listed().items() if key[0] != "dead")
        for event in ("done", "failed", "refused", "digest"):
            assert len(hook.told(event)) == 1, event


def _check_no_patient(site: Site, texts: list[bytes]) -> None:
    """Nothing that was told, nor the outbox, names the patient."""
    queue = site.queue()
    rows = json.dumps([one.input for one in queue.client.list_workflows(name="notify")], default=str)
    queue.close()
    for text in (*texts, rows.encode()):
        assert b"Told^To" not in text and b"Told To" not in text and b"4711" not in text


def _check_posted(hook: Hook, job: str) -> None:
    (posted,) = hook.told("done")
    assert posted["job"] == job
    assert posted["link"] == f"https://node.example/glioloop/app/#/jobs/{job}"
    assert posted["volumes_ml"]
    for headers, body in hook.posts:
        signed = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert headers["X-GlioLoop-Signature-256"] == f"sha256={signed}"


def _check_mailed(box: MailBox, job: str) -> None:
    (mail,) = box.mails
    assert mail["To"] == "one@example.org, two@example.org"
    text = mail.get_content()
    assert job in text
    assert "Research use only" in text
