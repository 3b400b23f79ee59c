"""The node's configuration, one model a section of orthanc.json."""

from pipeline.settings.corrections import CorrectionPolicy
from pipeline.settings.destinations import OBJECT_KINDS, AnyDestination, Destination, ForwardKind, Modality, ObjectKind
from pipeline.settings.finetune import FinetunePolicy
from pipeline.settings.identification import IdentificationRules, Plane, Preference
from pipeline.settings.node import ROOT, SECTION_VARIABLE, Settings, load_settings
from pipeline.settings.priors import Priors
from pipeline.settings.retention import Retention

__all__ = [
    "OBJECT_KINDS",
    "ROOT",
    "SECTION_VARIABLE",
    "AnyDestination",
    "CorrectionPolicy",
    "Destination",
    "FinetunePolicy",
    "ForwardKind",
    "IdentificationRules",
    "Modality",
    "ObjectKind",
    "Plane",
    "Preference",
    "Priors",
    "Retention",
    "Settings",
    "load_settings",
]
