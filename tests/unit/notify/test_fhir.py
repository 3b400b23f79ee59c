"""Results as FHIR resources: valid by the library, taken by a server, the same at every try."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipeline.errors import GlioLoopError
from pipeline.names import Event
from pipeline.node import LOOPBACK
from pipeline.notify.message import Notice, Person
from pipeline.notify.send import tell
from pipeline.settings import load_settings

pytest.importorskip("fhir.resources", reason="the extra fhir is not installed")

from pipeline.notify.fhir import bundle

NOTICE = Notice(
    event=Event.DONE,
    key="k",
    at="2026-01-01T00:00:00+00:00",
    study="s",
    study_instance_uid="1.2.3",
    job="0" * 32,
    model="gliounet@1.0.0",
    flags=("LARGE_MOTION",),
    volumes_ml={"WT": 30.0412, "ET": 1.5, "cavity": 0.0},
)
PERSON = Person(name="Nobody Known", number="P1")


def test_resources() -> None:
    made = bundle(NOTICE, "Node 1", PERSON)
    text = made.model_dump_json()
    assert text == bundle(NOTICE, "Node 1", PERSON).model_dump_json()
    assert "Nobody" not in text
    resources = [one["resource"] for one in json.loads(text)["entry"]]
    assert [one["resourceType"] for one in resources] == ["ImagingStudy", *["Observation"] * 3, "DiagnosticReport"]
    assert resources[0]["identifier"][0] == {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
    assert resources[1]["valueQuantity"] == {
        "value": 30.041, "unit": "ml", "system": "http://unitsofmeasure.org", "code": "mL",
    }  # fmt: skip
    assert {one["subject"]["identifier"]["value"] for one in resources} == {"P1"}
    names = [one["fullUrl"] for one in json.loads(text)["entry"]]
    assert len(set(names)) == 5
    assert [one["reference"] for one in resources[-1]["result"]] == names[1:4]
    assert resources[-1]["imagingStudy"] == [{"reference": names[0]}]
    assert "LARGE_MOTION" in resources[-1]["conclusion"]
    assert {one["status"] for one in resources[1:]} == {"preliminary"}
    assert bundle(NOTICE, "Node 1", None)


def test_a_server_takes_them_or_is_told_of() -> None:
    taken: list[tuple[str, bytes]] = []
    statuses = [500, 200]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((self.headers["Authorization"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses.pop(0))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer((LOOPBACK, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        written = {"Name": "ehr", "Fhir": f"http://{LOOPBACK}:{server.server_port}/r4", "Token": "hush"}
        (channel,) = load_settings({"Notify": {"Channels": [written]}}).notify.channels
        with pytest.raises(GlioLoopError, match="HTTP 500"):
            tell(NOTICE, channel, "Node 1", "", PERSON)
        tell(NOTICE, channel, "Node 1", "", PERSON)
    finally:
        server.shutdown()
        server.server_close()
    assert taken[0] == taken[1]
    assert taken[1][0] == "Bearer hush"
    assert json.loads(taken[1][1])["type"] == "transaction"
