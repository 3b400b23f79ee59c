"""A result as FHIR R4 resources, in one transaction: ImagingStudy, an Observation a region, and a DiagnosticReport."""

import uuid
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import GlioLoopError
from pipeline.names import MANUFACTURER, REGION_MEANING, RESEARCH_USE, Region
from pipeline.notify.message import Notice, Person

if TYPE_CHECKING:
    from fhir.resources.R4B.bundle import Bundle

#: Of names that are made of others: the same result has the same ones at every try.
_NAMESPACE: Final = uuid.UUID("5f3c1d0a-6f0b-5e52-9d0e-0a3e8f6b7c11")
_DICOM_UID: Final = "urn:dicom:uid"
_UNITS: Final = "http://unitsofmeasure.org"
_LOINC: Final = "http://loinc.org"


def bundle(notice: Notice, node: str, person: Person | None) -> "Bundle":
    """The resources of a notice about a result.

    Resources are found by their identifiers, so that a server that has them already keeps one of each.

    Parameters
    ----------
    node
        What the node is called.
    person
        The patient, of whom the number is told.

    Raises
    ------
    GlioLoopError
        NOTIFY_FAILED where the library that models FHIR is not installed.
    """
    try:
        from fhir.resources.R4B.bundle import Bundle  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise GlioLoopError("NOTIFY_FAILED", "fhir.resources is not installed: docs/notify.md") from error
    subject = {"identifier": {"value": person.number}} if person and person.number else {"display": "not told"}
    study, entries = _study(notice, subject), []
    observations = [_observation(notice, region, size, subject, node) for region, size in notice.volumes_ml.items()]
    report = _report(notice, subject, node, [_name(one) for one in observations], _name(study))
    for one in (study, *observations, report):
        identifier = one["identifier"][0]
        token = f"identifier={identifier['system']}|{identifier['value']}"
        request = {"method": "POST", "url": one["resourceType"], "ifNoneExist": token}
        entries.append({"fullUrl": _name(one), "resource": one, "request": request})
    return Bundle.model_validate({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _name(resource: dict[str, Any]) -> str:
    identifier = resource["identifier"][0]
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, identifier['system'] + identifier['value'])}"


def _study(notice: Notice, subject: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "identifier": [{"system": _DICOM_UID, "value": f"urn:oid:{notice.study_instance_uid}"}],
        "status": "available",
        "subject": subject,
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}],
    }


def _observation(notice: Notice, region: str, size: float, subject: dict[str, Any], node: str) -> dict[str, Any]:
    named = region in Region.__members__.values()
    return {
        "resourceType": "Observation",
        "identifier": [{"system": "urn:glioloop:job", "value": f"{notice.job}.{region}"}],
        "status": "preliminary",
        "code": {"text": f"Volume of {REGION_MEANING[Region(region)] if named else region}"},
        "subject": subject,
        "effectiveDateTime": notice.at,
        "valueQuantity": {"value": round(size, 3), "unit": "ml", "system": _UNITS, "code": "mL"},
        "device": {"display": f"{MANUFACTURER} {notice.model} ({node})"},
        "note": [{"text": RESEARCH_USE}],
    }


def _report(notice: Notice, subject: dict[str, Any], node: str, observations: list[str], study: str) -> dict[str, Any]:
    sizes = ", ".join(f"{region} {size:.1f} ml" for region, size in notice.volumes_ml.items()) or "no tumour found"
    flags = f" Flags: {', '.join(notice.flags)}." if notice.flags else ""
    return {
        "resourceType": "DiagnosticReport",
        "identifier": [{"system": "urn:glioloop:job", "value": notice.job}],
        "status": "preliminary",
        "code": {"coding": [{"system": _LOINC, "code": "24590-2"}], "text": "MR brain: tumour volumes"},
        "subject": subject,
        "effectiveDateTime": notice.at,
        "issued": notice.at,
        "performer": [{"display": f"{MANUFACTURER} {notice.model} ({node})"}],
        "result": [{"reference": one} for one in observations],
        "imagingStudy": [{"reference": study}],
        "conclusion": f"{sizes}.{flags} {RESEARCH_USE}",
    }
