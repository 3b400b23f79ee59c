"""What is told: its words, and that a patient is in them for those only who may know."""

import pytest

from pipeline.errors import GlioLoopError
from pipeline.names import Event
from pipeline.notify.message import Notice, Person, document, worded
from pipeline.settings import load_settings

WEBHOOK = {"Name": "it", "Webhook": "http://127.0.0.1:1/", "Events": ["done"]}
MAIL = {"Name": "people", "Mail": ["a@example.org"], "Sender": "b@example.org", "Host": "localhost"}
NOTICE = Notice(
    event=Event.REFUSED,
    key="k",
    at="2026-01-01T00:00:00+00:00",
    study_instance_uid="1.2.3",
    code="SEQUENCE_MISSING",
    message="A required sequence is missing.",
    flags=("LARGE_MOTION",),
    volumes_ml={"WT": 30.04},
)
PERSON = Person(name="Nobody Known", number="P1")


def test_the_usual_words() -> None:
    (channel,) = load_settings({"Notify": {"Channels": [MAIL]}}).notify.channels
    title, text = worded(NOTICE, channel, "Node 1", "https://node/x", None)
    assert title == "Node 1: A study was refused"
    for part in (
        "A required sequence is missing.",
        "SEQUENCE_MISSING",
        "1.2.3",
        "WT 30.0 ml",
        "LARGE_MOTION",
        "https://",
    ):
        assert part in text
    assert "Patient" not in text
    assert "patient" not in document(NOTICE, channel, "Node 1", "", None)
    assert "Patient: Nobody Known P1" in worded(NOTICE, channel, "Node 1", "", PERSON)[1]
    assert document(NOTICE, channel, "Node 1", "", PERSON)["patient"] == {"name": "Nobody Known", "id": "P1"}


def test_templates() -> None:
    written = {**WEBHOOK, "Title": "$$ $event\r\nBcc: x", "Text": "$study_instance_uid: $message ${volumes}"}
    (channel,) = load_settings({"Notify": {"Channels": [written]}}).notify.channels
    title, text = worded(NOTICE, channel, "", "", None)
    assert title == "$ refused Bcc: x"  # one line
    assert text == "1.2.3: A required sequence is missing. WT 30.0 ml"


@pytest.mark.parametrize(
    ("channel", "told"),
    [
        ({**WEBHOOK, "Text": "$patient"}, "patient"),
        ({**WEBHOOK, "Text": "100 $"}, r"\$"),
        ({**WEBHOOK, "Webhook": "ftp://x"}, "Webhook"),
        ({**WEBHOOK, "Events": ["finished"]}, "Events"),
        ({**MAIL, "Mail": ["a@b, c@d"]}, "Mail"),
        ({**MAIL, "Mail": []}, "Mail"),
        ({**MAIL, "Sender": "b@example.org\nBcc: x@y"}, "Sender"),
        ({"Name": "nobody"}, "Webhook"),
    ],
)
def test_what_is_no_channel_is_refused_by_name(channel: dict[str, object], told: str) -> None:
    with pytest.raises(GlioLoopError, match=told) as refused:
        load_settings({"Notify": {"Channels": [channel]}})
    assert refused.value.code == "CONFIGURATION_INVALID"


def test_names_of_channels_are_unique_and_secrets_are_not_shown() -> None:
    with pytest.raises(GlioLoopError, match="same name"):
        load_settings({"Notify": {"Channels": [WEBHOOK, {**MAIL, "Name": "it"}]}})
    settings = load_settings({"Notify": {"Channels": [{**WEBHOOK, "Secret": "hush"}, {**MAIL, "Password": "hush"}]}})
    assert "hush" not in repr(settings)
