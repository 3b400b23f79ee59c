"""One study through the loop: processing node and workstation up, study in, structure set out."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from io import BytesIO
from pathlib import Path

import pydicom

from pipeline.case.job import JobView
from pipeline.errors import GlioLoopError
from pipeline.names import ENDED_JOBS, JobState, Progress, Stage
from pipeline.node import LOOPBACK, SCANNER, WORKSTATION, OrthancProcess, write_pair
from pipeline.node.demo.outcome import Outcome, Roi, ShownJob
from pipeline.node.demo.sender import StudyFile, send_study
from pipeline.node.viewer import viewer_url
from pipeline.settings import OBJECT_KINDS

_POLL_SECONDS = 0.25

#: Short times, since the demo knows that its study is whole once it is sent.
_STABLE_SECONDS = 3
#: Longer than the sender waits for an answer that is lost: a study that pauses on its way is not judged yet.
_GRACE_SECONDS = 12
#: A job is asked for at the latest this long after the study must have become stable.
_JOB_PATIENCE_SECONDS = 60
_DELIVERY_PATIENCE_SECONDS = 120


@dataclass
class Loop:
    """Both servers, running, and what is known about the way of the study.

    Attributes
    ----------
    folder
        State folder of this demo.
    node, workstation
        The two Orthancs.
    viewer
        Whether the workstation serves the OHIF viewer.
    timings_s
        Filled as the steps end.
    """

    folder: Path
    node: OrthancProcess
    workstation: OrthancProcess
    progress: Progress
    viewer: bool = False
    timings_s: dict[str, float] = field(default_factory=dict)

    def send(self, files: tuple[StudyFile, ...]) -> None:
        """Send the study to the node as a scanner does."""
        configuration = self.node.configuration
        send_study(
            files,
            LOOPBACK,
            configuration.dicom_port,
            calling_aet=SCANNER,
            called_aet=configuration.aet,
            progress=lambda sent: self.progress(f"send {len(files)} images by C-STORE", sent / len(files)),
        )

    def wait_for_job(self, study: str, after: str = "") -> str:
        """Wait until the node has made a job of the study, another than ``after``; return its id.

        Raises
        ------
        GlioLoopError
            INTERNAL where there is none in time.
        """
        self.progress(f"wait until the study is stable ({_STABLE_SECONDS} s without a new image)", None)
        deadline = time.monotonic() + _STABLE_SECONDS + _GRACE_SECONDS + _JOB_PATIENCE_SECONDS
        with self.node.client() as client:
            while time.monotonic() < deadline:
                answer = client.get("/glioloop/jobs", params={"study": study})
                if answer.status_code == HTTPStatus.OK and answer.json():
                    latest = str(answer.json()[0]["id"])
                    if latest != after:
                        return latest
                time.sleep(_POLL_SECONDS)
        raise GlioLoopError("INTERNAL", f"the node made no job of the study; see {self.folder}")

    def follow_study(self, study: str, timeout_seconds: float) -> JobView:
        """Follow the job of a study, or the one that takes its place because images came late; return its last state.

        Raises
        ------
        GlioLoopError
            INTERNAL where there is none in time, or one does not end in time.
        """
        job = self.follow(self.wait_for_job(study), timeout_seconds)
        # A sender that pauses for longer than the stable age has half a study begun; the node does it anew.
        while job.error and job.error.code == "SUPERSEDED":
            job = self.follow(self.wait_for_job(study, after=job.id), timeout_seconds)
        return job

    def follow(self, job_id: str, timeout_seconds: float) -> JobView:
        """Show a job's progress until it ends and its result was delivered or not; return its last state.

        Raises
        ------
        GlioLoopError
            INTERNAL where it does not end in time.
        """
        deadline = time.monotonic() + timeout_seconds
        with self.node.client() as client:
            while time.monotonic() < deadline:
                answer = client.get(f"/glioloop/jobs/{job_id}")
                if answer.status_code == HTTPStatus.OK:
                    job = ShownJob.model_validate(answer.json())
                    # Done, and delivery not yet begun, is a moment that passes.
                    if job.state in ENDED_JOBS and (job.state is not JobState.DONE or job.deliveries):
                        return job
                    self.progress(job.stage or "queued", job.progress or None)
                time.sleep(_POLL_SECONDS)
        raise GlioLoopError("INTERNAL", f"the job did not end within {timeout_seconds:g} s; see {self.folder}")

    def fetch_from_workstation(self, sop_instance_uid: str) -> pydicom.Dataset | None:
        """Return an object as the workstation has it, None where it did not arrive."""
        self.progress("look for the structure set at the workstation", None)
        deadline = time.monotonic() + _DELIVERY_PATIENCE_SECONDS
        query = {"Level": "Instance", "Query": {"SOPInstanceUID": sop_instance_uid}}
        with self.workstation.client() as client:
            while time.monotonic() < deadline:
                found = client.post("/tools/find", json=query).raise_for_status().json()
                if found:
                    content = client.get(f"/instances/{found[0]}/file").raise_for_status().content
                    return pydicom.dcmread(BytesIO(content))
                time.sleep(_POLL_SECONDS)
        return None

    def save_preview(self, job_id: str) -> Path | None:
        """Save the picture of the result; None where the node makes none."""
        with self.node.client() as client:
            answer = client.get(f"/glioloop/jobs/{job_id}/preview.png")
        if answer.status_code != HTTPStatus.OK:
            return None
        path = self.folder / "preview.png"
        path.write_bytes(answer.content)
        return path

    def urls(self, study: str, job_id: str, structure_set_series: str = "") -> dict[str, str]:
        """Where to look, on this machine; ``viewer`` only where there is one."""
        node, workstation = self.node.url, self.workstation.url
        viewer = {"viewer": viewer_url(workstation, study, structure_set_series)} if self.viewer else {}
        return viewer | {
            "study": f"{node}/app/explorer.html#study?uuid={self._orthanc_id(self.node, study)}",
            "workstation": f"{workstation}/app/explorer.html#study?uuid={self._orthanc_id(self.workstation, study)}",
            "job": f"{node}/glioloop/jobs/{job_id}",
            "dashboard": f"{node}/glioloop/app/",
            "dicomweb": f"{workstation}/dicom-web/",
        }

    def remove_images(self) -> None:
        """Remove both archives from disk; logs, configuration and preview stay."""
        for orthanc in (self.node, self.workstation):
            shutil.rmtree(orthanc.configuration.state_folder / "orthanc", ignore_errors=True)
            shutil.rmtree(orthanc.configuration.state_folder / "jobs", ignore_errors=True)

    @staticmethod
    def _orthanc_id(orthanc: OrthancProcess, study: str) -> str:
        with orthanc.client() as client:
            found = client.post("/tools/find", json={"Level": "Study", "Query": {"StudyInstanceUID": study}}).json()
        return str(found[0]) if found else ""


@contextmanager
def servers(state_root: Path, progress: Progress, viewer: Path | None = None) -> Iterator[Loop]:
    """Start both Orthancs on free loopback ports, each with its own state in a new folder below ``state_root``.

    Parameters
    ----------
    state_root
        Gets the new folder.
    progress
        Told what is started.
    viewer
        Folder of the OHIF viewer (:func:`pipeline.node.viewer.prepare_ohif`) that the workstation serves.

    Raises
    ------
    GlioLoopError
        NODE_NOT_STARTED.
    """
    started = time.monotonic()
    progress("start the processing node and the workstation", None)
    state_root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=state_root))
    pair = write_pair(
        folder,
        settings={
            "GraceSeconds": _GRACE_SECONDS,
            "ForwardRetrySeconds": [2, 5, 10],
            # The images too: contours show only over images that the workstation has.
            "Destinations": [{"Modality": WORKSTATION, "Send": ["inputs", *OBJECT_KINDS]}],
        },
        overrides={"StableAge": _STABLE_SECONDS},
        viewer=viewer,
    )
    with ExitStack() as stack:
        loop = Loop(
            folder,
            stack.enter_context(OrthancProcess(pair.node)),
            stack.enter_context(OrthancProcess(pair.workstation)),
            progress,
            viewer is not None,
        )
        stack.callback(loop.node.terminate)  # runs first: both end at the same time
        stack.callback(loop.workstation.terminate)
        _wait_until_well(loop)
        loop.timings_s["setup"] = _seconds_since(started)
        yield loop


def _wait_until_well(loop: Loop, patience_seconds: float = 60) -> None:
    """Wait for the worker: a study sent before it is up would be taken in all the same, only later."""
    deadline = time.monotonic() + patience_seconds
    with loop.node.client() as client:
        while client.get("/glioloop/health").status_code != HTTPStatus.OK:
            if time.monotonic() > deadline:
                raise GlioLoopError("NODE_NOT_STARTED", f"its worker does not come up; see {loop.folder}")
            time.sleep(_POLL_SECONDS)


def run(loop: Loop, files: tuple[StudyFile, ...], timeout_seconds: float) -> Outcome:
    """Send a study and follow it to the workstation.

    Parameters
    ----------
    loop
        The running servers.
    files
        The study, see :func:`pipeline.node.demo.sender.study_in_folder`.
    timeout_seconds
        Longest time for the job.

    Raises
    ------
    GlioLoopError
        STORE_FAILED where the node does not take the images; INTERNAL where nothing happens in time.
    """
    started = time.monotonic()
    study = files[0].study_instance_uid
    loop.send(files)
    loop.wait_for_job(study)
    loop.timings_s["stable_wait"] = _seconds_since(started)
    job = loop.follow_study(study, timeout_seconds)
    made = job.result.rtstruct if job.result else None
    uid = made.sop_instance_uid if made else None
    dataset = loop.fetch_from_workstation(uid) if uid and job.state is JobState.DONE else None
    stages = {stage.value: job.timings_s[stage.value] for stage in Stage if stage.value in job.timings_s}
    total = loop.timings_s["setup"] + _seconds_since(started)
    return Outcome(
        study=study,
        state=job.state,
        rtstruct_uid=uid,
        at_workstation=dataset is not None,
        rois=rois_of(dataset) if dataset is not None else (),
        timings_s=loop.timings_s | stages | {"total": round(total, 3)},
        urls=loop.urls(study, job.id, made.series_instance_uid if made else ""),
        model=job.model,
        preview=loop.save_preview(job.id),
        flags=job.result.flags if job.result else (),
        error=job.error,
    )


def rois_of(structure_set: pydicom.Dataset) -> tuple[Roi, ...]:
    """List the ROIs of an RT Structure Set."""
    contours = {
        int(item.ReferencedROINumber): len(item.get("ContourSequence", []))
        for item in structure_set.get("ROIContourSequence", [])
    }
    return tuple(
        Roi(
            name=str(roi.ROIName),
            contours=contours.get(int(roi.ROINumber), 0),
            volume_ml=float(roi.ROIVolume) if "ROIVolume" in roi else None,
        )
        for roi in structure_set.StructureSetROISequence
    )


def _seconds_since(start: float) -> float:
    return round(time.monotonic() - start, 3)
