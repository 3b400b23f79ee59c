"""The node's configuration: section ``GlioLoop`` of orthanc.json, every key overridable by environment.

Keys are written in PascalCase in orthanc.json (as Orthanc's own are) and as ``GLIOLOOP_`` plus
SNAKE_CASE in the environment; the environment wins. An unknown key is refused with its name.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.alias_generators import to_pascal
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from pipeline.errors import GlioLoopError
from pipeline.names import ROI_NAMES, Language, MRSequence, Provider, Region
from pipeline.settings.corrections import CorrectionPolicy
from pipeline.settings.destinations import USUAL_OBJECTS, AnyDestination, ConfiguredDestination, Modality, ObjectKind
from pipeline.settings.fetch import ScheduledQuery
from pipeline.settings.finetune import FinetunePolicy
from pipeline.settings.identification import IdentificationRules
from pipeline.settings.notify import Notify
from pipeline.settings.priors import Priors
from pipeline.settings.retention import Retention
from pipeline.settings.roles import Roles
from pipeline.settings.rules import Rule, check_rules
from pipeline.settings.syslog import AuditSyslog
from pipeline.settings.turns import Turns

ROOT = Path(__file__).resolve().parents[2]

#: The plugin hands its section of orthanc.json to the worker in this variable.
SECTION_VARIABLE = "GLIOLOOP_SECTION"


class Settings(BaseSettings):
    """Every key of section ``GlioLoop``; docs/configuration.md describes them for users."""

    # No aliases here: pydantic-settings would read them from the environment without the prefix (MODEL,
    # TOKEN), and the section would win over the environment. `load_settings` translates the names.
    model_config = SettingsConfigDict(
        env_prefix="GLIOLOOP_", extra="forbid", env_nested_delimiter="__", allow_inf_nan=False
    )

    state_folder: Path = Field(default=ROOT / "var", description="Everything the node remembers lives here.")
    models_folder: Path = Field(default=ROOT / "models", description="The model registry.")
    database_url: str = Field(
        default="", description="DBOS system database; empty means SQLite in the state folder. postgresql://… to share."
    )
    interpreter: Path | None = Field(
        default=None, description="Python that runs the worker; default: the project's .venv."
    )
    workers: int = Field(
        default=1, ge=0, le=16, description="Worker processes the plugin starts; 0: started elsewhere."
    )
    concurrency: int = Field(default=1, ge=1, le=16, description="Studies one worker segments at a time.")
    prefetch: int = Field(
        default=1,
        ge=0,
        le=4,
        description="Further studies that it fetches, reads and aligns meanwhile; each takes a process of its own.",
    )

    orthanc_url: str = Field(default="", description="Orthanc's HTTP root as a worker reaches it; set by the plugin.")
    orthanc_user: str = Field(default="", description="User for a worker started elsewhere.")
    orthanc_password: SecretStr = Field(default=SecretStr(""), description="Its password.")
    token: SecretStr = Field(default=SecretStr(""), description="Authorization header of the plugin's own worker.")
    http_timeout_seconds: float = Field(default=60, gt=0, description="Time-out of one request to Orthanc.")

    orthanc_certificate: Path | None = Field(
        default=None, description="PEM the worker trusts for Orthanc's HTTPS; the plugin takes SslCertificate."
    )
    stage_deadline_seconds: float = Field(
        default=1800,
        gt=0,
        description="A stage at work for longer is ended by a kill, tried once more, then failed.",
    )
    worker_silence_seconds: float = Field(
        default=120,
        ge=10,
        description="A worker that gives no sign of life for so long is killed and started again; "
        "hosts that share the queue take its jobs over.",
    )
    worker_memory_gigabytes: float = Field(
        default=0, ge=0, description="Most memory of the process that computes a job; 0: what the machine has."
    )
    most_instances: int = Field(
        default=20_000, gt=0, description="A study with more instances is refused before it is looked at."
    )
    most_series_megabytes: int = Field(
        default=1024,
        gt=0,
        description="A series that takes more, as files or as voxels of 4 bytes, is refused before it is loaded.",
    )

    automatic: bool = Field(default=True, description="Process stable studies without being asked.")
    ready_after_seconds: float = Field(
        default=10,
        ge=0,
        description="A study with all four sequences for which nothing came for so long is begun before it is stable; "
        "0: never.",
    )
    grace_seconds: float = Field(
        default=900,
        ge=0,
        description="How long a stable study may lack a sequence before it is refused, or done without it.",
    )
    forced_seconds: float = Field(
        default=5400, gt=0, description="After this a study that never became stable is judged as it is."
    )

    check_every_hours: float = Field(
        default=0,
        ge=0,
        le=24 * 365,
        description="How often the node checks itself on its sample study (`glioloop check`); 0: only when asked.",
    )

    reference: MRSequence = Field(default=MRSequence.T1C, description="Sequence whose slices carry the contours.")
    may_lack: tuple[MRSequence, ...] = Field(
        default=(),
        description="Of these sequences one may lack, where the network's card allows it, too; never the reference.",
    )
    identification: IdentificationRules = Field(default_factory=IdentificationRules)
    model: str = Field(default="", description="name@version; empty means the promoted one.")
    provider: Provider = Field(
        default=Provider.AUTO,
        description="What networks run on: cuda, openvino, cpu; auto: CUDA where there is one, else the faster.",
    )

    objects: tuple[ObjectKind, ...] = Field(default=USUAL_OBJECTS, description="Objects that are made.")
    language: Language = Field(default=Language.ENGLISH, description="Of pages for people (en, nl, fr, de).")
    roi_names: dict[Region, str] = Field(
        default_factory=lambda: dict(ROI_NAMES), description="ROI name per region; the usual one where not named."
    )
    destinations: tuple[ConfiguredDestination, ...] = Field(default=(), description="Where results are forwarded.")
    rules: tuple[Rule, ...] = Field(default=(), description="Which results go to which destination.")
    forward_retry_seconds: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(60, 120, 300, 1800, 3600), description="Waits between tries of forwarding."
    )

    fetch: tuple[ScheduledQuery, ...] = Field(default=(), description="What is asked of other archives every day.")
    audit_syslog: AuditSyslog = Field(default_factory=AuditSyslog, description="Where the audit trail is told, too.")
    roles: Roles = Field(default_factory=Roles, description="Who may do what.")
    notify: Notify = Field(default_factory=Notify, description="Whom the node tells what.")

    feedback: CorrectionPolicy = Field(default_factory=CorrectionPolicy, description="Corrections that come back.")
    finetune: FinetunePolicy = Field(default_factory=FinetunePolicy, description="Learning from them.")

    priors: Priors = Field(default_factory=Priors, description="Earlier studies of a patient that are compared.")

    turns: Turns = Field(default_factory=Turns, description="Which studies come first, and what waits for quiet hours.")

    viewer_url: str = Field(
        default="", description="Link to a viewer, with {study} and {rtstruct} in it; empty: no link."
    )
    editor_url: str = Field(
        default="", description="Link to a viewer that edits contours and stores them, likewise; empty: no link."
    )
    retention: Retention = Field(default_factory=Retention, description="What is kept of ended jobs, and how long.")
    keep_job_files: bool = Field(default=False, description="Keep a finished job's working files (for debugging).")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("roi_names")
    @classmethod
    def _with_usual_names(cls, value: dict[Region, str]) -> dict[Region, str]:
        return {**ROI_NAMES, **value}

    @field_validator("destinations")
    @classmethod
    def _known_alternates(cls, value: tuple[AnyDestination, ...]) -> tuple[AnyDestination, ...]:
        names = {one.name for one in value}
        for one in value:
            if one.alternate is not None and (one.alternate not in names or one.alternate == one.name):
                raise ValueError(f"the alternate of {one.name} is no other destination: {one.alternate}")
        return value

    @field_validator("rules")
    @classmethod
    def _known_destinations(cls, value: tuple[Rule, ...], info: ValidationInfo) -> tuple[Rule, ...]:
        check_rules(value, [one.name for one in info.data.get("destinations", ())])
        return value

    @field_validator("may_lack")
    @classmethod
    def _not_the_reference(cls, value: tuple[MRSequence, ...], info: ValidationInfo) -> tuple[MRSequence, ...]:
        if info.data.get("reference") in value:
            raise ValueError("the reference, whose slices carry the contours, cannot lack")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment before orthanc.json: an operator overrides without editing."""
        return (env_settings, init_settings)

    @property
    def jobs_folder(self) -> Path:
        """Working files of jobs, one folder each."""
        return self.state_folder / "jobs"

    @property
    def feedback_folder(self) -> Path:
        """The store of corrections."""
        return self.state_folder / "feedback"

    @property
    def finetune_folder(self) -> Path:
        """Working files of fine-tunings, one folder each, and the reference set."""
        return self.state_folder / "finetune"

    def destination(self, name: str) -> AnyDestination:
        """Return what is configured under a name, last; else Orthanc's modality, whether there is one or not."""
        return {one.name: one for one in self.destinations}.get(name) or Modality.model_construct(modality=name)

    def destinations_of(self, names: Sequence[str] | None) -> list[AnyDestination]:
        """Return the destinations of these names, each once; None means those configured, but not the alternates."""
        spare = {one.alternate for one in self.destinations}
        wanted = [one.name for one in self.destinations if one.name not in spare] if names is None else names
        return [self.destination(name) for name in dict.fromkeys(wanted)]

    @property
    def most_series_bytes(self) -> int:
        """Most bytes of one series."""
        return self.most_series_megabytes << 20

    @property
    def queue_database_url(self) -> str:
        """Where DBOS keeps its tables."""
        return self.database_url or f"sqlite:///{self.state_folder / 'queue.sqlite'}"

    @property
    def shares_database(self) -> bool:
        """Whether other hosts, with disks of their own, may use the same database."""
        return not self.queue_database_url.startswith("sqlite")


def load_settings(section: Mapping[str, object] | None = None) -> Settings:
    """Read the settings.

    Parameters
    ----------
    section
        Section ``GlioLoop`` of orthanc.json; None takes what the plugin handed over in the
        environment, or the defaults.

    Raises
    ------
    GlioLoopError
        CONFIGURATION_INVALID with the name of each wrong key.
    """
    names = {to_pascal(name): name for name in Settings.model_fields}
    section = _handed_over() if section is None else section
    # Asked here: some names would be taken for options of the library that reads them.
    unknown = [ascii(key) for key in section if key not in names and key not in Settings.model_fields]
    if unknown:
        raise GlioLoopError("CONFIGURATION_INVALID", f"No such key: {', '.join(unknown)}.")
    try:
        settings = Settings(**{names.get(key, key): value for key, value in section.items()})  # type: ignore[arg-type]
        # Worker and plugin have different working folders; a relative path means the repository's.
        settings.state_folder = (ROOT / settings.state_folder).resolve()
        settings.models_folder = (ROOT / settings.models_folder).resolve()
    except ValidationError as error:
        wrong = "; ".join(f"{_as_written(e['loc'])}: {e['msg']}" for e in error.errors(include_input=False))
        raise GlioLoopError("CONFIGURATION_INVALID", wrong.encode(errors="backslashreplace").decode()) from None
    except SettingsError as error:  # a list or an object in the environment, which is no JSON
        raise GlioLoopError("CONFIGURATION_INVALID", f"{error}; it must be JSON.") from None
    except (OSError, ValueError) as error:  # a path that no system can have
        raise GlioLoopError("CONFIGURATION_INVALID", f"StateFolder or ModelsFolder: {error}.") from None
    return settings


def _handed_over() -> Mapping[str, object]:
    """The section that the plugin put into the environment."""
    try:
        section = json.loads(os.environ.get(SECTION_VARIABLE) or "{}")
    except ValueError as error:
        raise GlioLoopError("CONFIGURATION_INVALID", f"{SECTION_VARIABLE} is no JSON: {error}.") from None
    if not isinstance(section, dict):
        raise GlioLoopError("CONFIGURATION_INVALID", f"{SECTION_VARIABLE} is no JSON object.")
    return section


def _as_written(location: tuple[int | str, ...]) -> str:
    """Name a key as orthanc.json has it."""
    first, *rest = location
    name = to_pascal(first) if first in Settings.model_fields else str(first)
    return ".".join([name, *map(str, rest)])
