"""The running node, from a command on the same machine."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, RootModel

from pipeline.archive.client import trust
from pipeline.archive.connection import Failed, connect
from pipeline.archive.orthanc import StudyRecord
from pipeline.case.job import JobView
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.checks import CheckState
from pipeline.jobs.fetching import FetchView
from pipeline.jobs.finetuning import RunView
from pipeline.node.configuration import LOOPBACK, read_commented_json
from pipeline.records import StoredRecord
from pipeline.settings import Settings, load_settings


class _Asked(StoredRecord):
    id: str


class _Refusal(StoredRecord):
    error: ErrorRecord


class _Studies(RootModel[tuple[StudyRecord, ...]]):
    """What Orthanc finds."""


class _Runs(RootModel[list[RunView]]):
    """Fine-tunings."""


class _ShownJob(JobView):
    """A job as REST shows it, with what this command does not look at."""

    model_config = ConfigDict(extra="ignore")


_Answer = TypeVar("_Answer", bound=BaseModel)


class RunningNode:
    """The node that a configuration describes: its own URL and user, or those of the environment.

    Parameters
    ----------
    base
        Orthanc configuration that the node was started from. What it really runs with lies in its state folder.

    Raises
    ------
    GlioLoopError
        NODE_NOT_STARTED where no node was ever started from it.
    """

    def __init__(self, base: Path) -> None:
        settings = load_settings(read_commented_json(base).get("GlioLoop", {}))
        if not settings.orthanc_url:
            settings = _local(settings)
        self._client = connect(
            settings.orthanc_url,
            settings.orthanc_user,
            settings.orthanc_password.get_secret_value(),
            settings.http_timeout_seconds,
            trust(settings),
        )

    def __enter__(self) -> "RunningNode":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ask(self, record: bool) -> str:
        """Ask for a check; return its id."""
        return self._answer("POST", "/glioloop/check", {"record": record}, _Asked).id

    def state(self) -> CheckState:
        """Return how far the check is."""
        return self._answer("GET", "/glioloop/check", None, CheckState)

    def fetch(self, query: Mapping[str, object]) -> FetchView:
        """Ask for studies of another archive."""
        return self._answer("POST", "/glioloop/fetch", query, FetchView)

    def fetched(self, identity: str) -> FetchView:
        """Return how far that is."""
        return self._answer("GET", f"/glioloop/fetch/{identity}", None, FetchView)

    def finetunings(self) -> list[RunView]:
        """Return the fine-tunings, latest first."""
        return self._answer("GET", "/glioloop/finetune", None, _Runs).root

    def studies(self, wanted: Mapping[str, str]) -> tuple[StudyRecord, ...]:
        """Return the studies of the node's archive that match, by DICOM's rules."""
        body = {"Level": "Study", "Expand": True, "CaseSensitive": False, "Query": dict(wanted)}
        return self._answer("POST", "/tools/find", body, _Studies).root

    def process(self, study: str, body: Mapping[str, object]) -> JobView:
        """Have a study processed; ``study`` is Orthanc's id of it."""
        return self._answer("POST", f"/glioloop/studies/{study}/process", body, _ShownJob)

    def job(self, identity: str) -> JobView:
        """Return one job."""
        return self._answer("GET", f"/glioloop/jobs/{identity}", None, _ShownJob)

    def _answer(self, method: str, path: str, body: object | None, kind: type[_Answer]) -> _Answer:
        try:
            response = self._client.request(method, path, json=body)
            if response.is_success:
                return kind.model_validate(response.json())
            refusal = _Refusal.model_validate(response.json())
        except (Failed, ValueError) as error:
            raise GlioLoopError("ORTHANC_UNREACHABLE", f"{self._client.base_url}: {type(error).__name__}") from error
        raise refusal.error.error


def _local(settings: Settings) -> Settings:
    folder = settings.state_folder / "configuration"
    if not (folder / "orthanc.json").exists():
        raise GlioLoopError("NODE_NOT_STARTED", f"no node was started with the state folder {settings.state_folder}")
    written = read_commented_json(folder / "orthanc.json")
    users = read_commented_json(folder / "credentials.json")["RegisteredUsers"]
    user, password = next(iter(users.items()))
    secure = bool(written.get("SslEnabled"))
    return Settings(
        orthanc_url=f"{'https' if secure else 'http'}://{LOOPBACK}:{written['HttpPort']}",
        orthanc_user=user,
        orthanc_password=password,
        orthanc_certificate=settings.orthanc_certificate or (written["SslCertificate"] if secure else None),
        http_timeout_seconds=settings.http_timeout_seconds,
    )
