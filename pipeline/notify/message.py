"""What is told, and how it reads."""

from string import Template
from typing import Final

from pydantic import Field, JsonValue

from pipeline.names import RESEARCH_USE, Event
from pipeline.records import StoredRecord
from pipeline.settings.notify import Channel

TITLES: Final[dict[Event, str]] = {
    Event.DONE: "A study is done",
    Event.FLAGGED: "A study is done, and should be looked at with care",
    Event.REFUSED: "A study was refused",
    Event.FAILED: "A study failed",
    Event.QUEUE: "Studies wait for too long",
    Event.UNWELL: "The node is unwell",
    Event.DIGEST: "The day",
    Event.TEST: "A test",
}
_TEXT: Final = Template("$title\n\n$body\n\n$signature\n")


class Notice(StoredRecord):
    """What is told of an event; nothing in it is a patient's.

    Attributes
    ----------
    event
        What happened.
    key
        Of this event and no other: nobody is told twice.
    at
        UTC, ISO 8601.
    study, study_instance_uid, job, model
        What it is about, where it is about a study.
    code, message, detail, hint
        Why, as the table of reasons says it.
    flags
        Codes of the quality flags.
    volumes_ml
        By region.
    lines
        Of a digest, and of a node that is unwell.
    """

    event: Event
    key: str
    at: str
    study: str = ""
    study_instance_uid: str = ""
    job: str = ""
    model: str = ""
    code: str = ""
    message: str = ""
    detail: str = ""
    hint: str = ""
    flags: tuple[str, ...] = ()
    volumes_ml: dict[str, float] = Field(default_factory=dict)
    lines: tuple[str, ...] = ()


class Person(StoredRecord):
    """The patient, for those who may know; asked of the archive when it is told, and never kept."""

    name: str = ""
    number: str = ""


def document(notice: Notice, channel: Channel, node: str, link: str, person: Person | None) -> dict[str, JsonValue]:
    """What a webhook gets."""
    title, text = worded(notice, channel, node, link, person)
    found: dict[str, JsonValue] = {"node": node, **notice.model_dump(mode="json"), "title": title, "text": text}
    if link:
        found["link"] = link
    if person is not None:
        found["patient"] = {"name": person.name, "id": person.number}
    return found


def worded(notice: Notice, channel: Channel, node: str, link: str, person: Person | None) -> tuple[str, str]:
    """Title and text, by the channel's templates or the usual words."""
    fields = _fields(notice, node, link, person)
    title = Template(channel.title or "$node: $title").substitute(fields)
    # One line: what came with an event begins no header of its own.
    title = " ".join(title.split())
    if channel.text is not None:
        return title, Template(channel.text).substitute(fields)
    said = [notice.message, notice.detail, notice.hint, *notice.lines]
    facts = (
        ("Patient", " ".join(filter(None, (fields["patient_name"], fields["patient_id"])))),
        ("Study", notice.study_instance_uid),
        ("Job", notice.job),
        ("Network", notice.model),
        ("Code", notice.code),
        ("Flags", fields["flags"]),
        ("Volumes", fields["volumes"]),
        ("At", notice.at),
        ("See", link),
    )
    body = "\n".join([*filter(None, said), "", *(f"{name}: {value}" for name, value in facts if value)])
    return title, _TEXT.substitute(title=fields["title"], body=body.strip(), signature=RESEARCH_USE)


def _fields(notice: Notice, node: str, link: str, person: Person | None) -> dict[str, str]:
    return {
        "node": node,
        "event": notice.event.value,
        "title": TITLES[notice.event],
        "code": notice.code,
        "message": notice.message,
        "detail": notice.detail,
        "hint": notice.hint,
        "study": notice.study,
        "study_instance_uid": notice.study_instance_uid,
        "job": notice.job,
        "model": notice.model,
        "flags": ", ".join(notice.flags),
        "volumes": ", ".join(f"{region} {size:.1f} ml" for region, size in notice.volumes_ml.items()),
        "at": notice.at,
        "link": link,
        "patient_name": person.name if person else "",
        "patient_id": person.number if person else "",
    }
