"""The running node inside Orthanc: settings, queue, events and workers, tied to Orthanc's life."""

import ctypes
import json
import threading
from pathlib import Path

import orthanc
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from pipeline.database.engine import database_of, made_by_worker
from pipeline.database.folders import SharedFolders
from pipeline.errors import GlioLoopError
from pipeline.jobs.queue import JobQueue
from pipeline.settings import ROOT, SECTION_VARIABLE, Settings, load_settings
from plugin.events import EventIntake
from plugin.inside import PluginArchive
from plugin.supervisor import Supervisor


class OrthancConfiguration(BaseModel):
    """What the plugin reads of Orthanc's configuration.

    Attributes
    ----------
    section
        ``GlioLoop``, as :func:`pipeline.settings.load_settings` takes it.
    ssl_enabled, ssl_certificate, http_port
        How Orthanc is reached.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    section: dict[str, JsonValue] = Field(validation_alias="GlioLoop", default_factory=dict)
    ssl_enabled: bool = Field(validation_alias="SslEnabled", default=False)
    ssl_certificate: Path = Field(validation_alias="SslCertificate", default=Path("certificate.pem"))
    http_port: int = Field(validation_alias="HttpPort", default=8042)


class Node:
    """Everything the plugin holds while Orthanc runs.

    Raises
    ------
    GlioLoopError
        CONFIGURATION_INVALID: Orthanc then does not start, and says which key is wrong.
    """

    def __init__(self) -> None:
        configuration = OrthancConfiguration.model_validate_json(orthanc.GetConfiguration())
        self.settings: Settings = load_settings(configuration.section)
        self.settings.state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.settings.database_url:
            # Whoever connects first makes the file, with the rights of Orthanc's own umask.
            (self.settings.state_folder / "queue.sqlite").touch(mode=0o600)
        self.folders = SharedFolders.of(self.settings, self.database)
        self._lock = threading.Lock()
        self._queue: JobQueue | None = None
        self.supervisor = Supervisor(
            command=[str(self._interpreter()), "-m", "pipeline.worker"],
            environment={
                SECTION_VARIABLE: json.dumps(configuration.section),
                "GLIOLOOP_ORTHANC_URL": self.settings.orthanc_url or _own_url(configuration),
                # Valid as long as this Orthanc runs; the worker needs no user of its own.
                "GLIOLOOP_TOKEN": orthanc.GenerateRestApiAuthorizationToken(),
                **_trust(configuration, self.settings),
            },
            folder=ROOT,
            log=self.settings.state_folder / "worker.log",
            count=self.settings.workers,
            silence_seconds=self.settings.worker_silence_seconds,
        )
        self.events = EventIntake(self.settings, self.queue, PluginArchive())
        self._kept = threading.local()

    def queue(self) -> JobQueue:
        """Return the queue, connecting at the first call; raises while its tables are not there."""
        with self._lock:
            if self._queue is None:
                queue = JobQueue(self.settings.queue_database_url)
                try:
                    queue.require_tables()
                except Exception:
                    queue.close()
                    raise
                self._queue = queue
            return self._queue

    def database(self) -> Engine:
        """Return the node's database.

        Raises
        ------
        GlioLoopError
            NODE_STARTING while a worker has not made its tables.
        """
        try:
            # Without a worker of its own nobody else takes over what an earlier version kept on this host.
            return made_by_worker(self.settings) if self.settings.workers else database_of(self.settings)
        except SQLAlchemyError as error:
            raise GlioLoopError("NODE_STARTING", type(error).__name__) from error

    def on_change(self, change: int, level: int, resource: str) -> None:
        """Orthanc's OnChange; must return at once.

        Called for every image that arrives, so what it costs is taken from Orthanc's rate of ingest.
        """
        self._keep_thread_state()
        if change == orthanc.ChangeType.ORTHANC_STARTED:
            self.supervisor.start()
            self.events.start()
        elif change == orthanc.ChangeType.ORTHANC_STOPPED:
            self.events.stop()
            self.supervisor.stop()
        else:
            self.events.note(change, level, resource)

    def _keep_thread_state(self) -> None:
        """Let the calling thread keep its Python thread state.

        orthanc-python takes the interpreter by ``PyGILState_Ensure`` and gives it back after each call. For a
        thread that Python did not start this maps and unmaps memory every time, which halts all of Orthanc's
        threads for a moment: 5 % of the rate of ingest. Taken once more, the state stays until the thread ends.
        """
        if not hasattr(self._kept, "state"):
            self._kept.state = ctypes.pythonapi.PyGILState_Ensure()

    def _interpreter(self) -> Path:
        return self.settings.interpreter or ROOT / ".venv" / "bin" / "python"


def _trust(configuration: OrthancConfiguration, settings: Settings) -> dict[str, str]:
    """The certificate that the worker is to find at Orthanc's HTTPS: its own, unless another is named."""
    if not configuration.ssl_enabled or settings.orthanc_certificate is not None:
        return {}
    return {"GLIOLOOP_ORTHANC_CERTIFICATE": str(configuration.ssl_certificate.resolve())}


def _own_url(configuration: OrthancConfiguration) -> str:
    scheme = "https" if configuration.ssl_enabled else "http"
    return f"{scheme}://127.0.0.1:{configuration.http_port}"
