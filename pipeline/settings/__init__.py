"""The node's configuration, one model a section of orthanc.json."""

from pipeline.settings.corrections import CorrectionPolicy
from pipeline.settings.destinations import (
    FORWARD_KINDS,
    OBJECT_KINDS,
    USUAL_OBJECTS,
    AnyDestination,
    Destination,
    DicomWeb,
    Folder,
    ForwardKind,
    Modality,
    ObjectKind,
    Peer,
)
from pipeline.settings.fetch import ScheduledQuery, StudyQuery
from pipeline.settings.finetune import FinetunePolicy
from pipeline.settings.identification import IdentificationRules, Plane, Preference
from pipeline.settings.node import ROOT, SECTION_VARIABLE, Settings, load_settings
from pipeline.settings.notify import AnyChannel, Channel, Fhir, Hl7, Mail, Notify, Webhook
from pipeline.settings.priors import Priors
from pipeline.settings.retention import Retention
from pipeline.settings.roles import Role, Roles
from pipeline.settings.rules import Condition, Rule, RuleEvent
from pipeline.settings.syslog import AuditSyslog

__all__ = [
    "FORWARD_KINDS",
    "OBJECT_KINDS",
    "ROOT",
    "SECTION_VARIABLE",
    "USUAL_OBJECTS",
    "AnyChannel",
    "AnyDestination",
    "AuditSyslog",
    "Channel",
    "Condition",
    "CorrectionPolicy",
    "Destination",
    "DicomWeb",
    "Fhir",
    "FinetunePolicy",
    "Folder",
    "ForwardKind",
    "Hl7",
    "IdentificationRules",
    "Mail",
    "Modality",
    "Notify",
    "ObjectKind",
    "Peer",
    "Plane",
    "Preference",
    "Priors",
    "Retention",
    "Role",
    "Roles",
    "Rule",
    "RuleEvent",
    "ScheduledQuery",
    "Settings",
    "StudyQuery",
    "Webhook",
    "load_settings",
]
