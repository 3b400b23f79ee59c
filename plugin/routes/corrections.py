"""The loop's REST API: corrections, agreement over time, learning from them."""

import json
import time
from typing import Final

from pipeline.archive.study import find_study
from pipeline.corrections.decisions import Decisions
from pipeline.corrections.edits import AskedConsensus, ConsensusOptions, Edits
from pipeline.corrections.export import export_archive
from pipeline.corrections.readers import require_readers, stale_of, standing
from pipeline.corrections.review import Agreement, ReviewState, agreement
from pipeline.corrections.verdicts import Verdict
from pipeline.errors import GlioLoopError
from pipeline.jobs.acceptance import enqueue_acceptance
from pipeline.jobs.editing import SavedEdit, enqueue_edit, saved_edit
from pipeline.jobs.finetuning import FinetuneBody, FinetuneRuns, RunView
from plugin.routes.answers import SURFACES_TYPE, Content
from plugin.routes.documents import (
    AskedStudy,
    CaseList,
    DeletedCases,
    DeleteOptions,
    NoOptions,
    ReviewedJob,
    SendBackOptions,
    ShownRecord,
)
from plugin.routes.handlers import Handlers
from plugin.routes.request import Request
from plugin.routes.table import CORRECTION_ROUTES

_MOST: Final = 2000
#: Bytes of an edit: the outline of a large tumour, drawn anew on every slice, takes a quarter of it.
_LONGEST_EDIT: Final = 512 * 1024


class CorrectionRoutes(Handlers):
    """Handlers of corrections and of learning from them."""

    routes = CORRECTION_ROUTES

    # --- corrections ---

    def cases(self, request: Request) -> tuple[int, CaseList]:
        """List the corrections that were kept, and the objects that were not and why."""
        store = self.corrections()
        named = request.query.get("study")
        if named:
            study = find_study(self._archive, named)
            found = store.of_study(study.orthanc_id, study.study_instance_uid)
        else:
            found = store.cases()
        offset, limit = request.number("offset", 0, 10**6), request.number("limit", 100, _MOST)
        passed_over = [seen for seen in store.verdicts().values() if seen.verdict is not Verdict.OWN]
        passed_over.sort(key=lambda seen: seen.at, reverse=True)
        return 200, CaseList(
            cases=tuple(found[offset : offset + limit]),
            total=len(found),
            size_bytes=store.size_bytes(),
            looked_at=tuple(passed_over[:limit]),
            dropped=tuple(store.gone()[::-1][:limit]),
            stale=tuple(stale_of(found)),
        )

    def case(self, request: Request) -> tuple[int, ShownRecord]:
        """Show one correction."""
        return 200, ShownRecord(self.corrections().case(request.groups[0]))

    def export(self, request: Request) -> tuple[int, Content]:
        """Answer a correction as a BraTS-layout case in a ZIP file, as ``./glioloop feedback export`` writes it."""
        store = self.corrections()
        case = store.case(request.groups[0])
        headers = {"Content-Disposition": f'attachment; filename="{case.id}.zip"'}
        return 200, Content(export_archive(store, case), "application/zip", headers)

    def contours(self, request: Request) -> tuple[int, Content]:
        """Answer what was drawn, in pixels of the reference series' slices."""
        store = self.corrections()
        case = store.case(request.groups[0])
        path = store.brought(case.id) / f"{case.id}_contours.json"
        if not path.is_file():
            raise GlioLoopError("FEEDBACK_UNKNOWN", "no contours to show")
        return 200, Content(path.read_bytes(), "application/json")

    def surfaces(self, request: Request) -> tuple[int, Content]:
        """Answer the surfaces of the corrected regions."""
        store = self.corrections()
        case = store.case(request.groups[0])
        path = store.brought(case.id) / f"{case.id}_surfaces.bin"
        if not path.is_file():
            raise GlioLoopError("SURFACES_LACKING")
        return 200, Content(path.read_bytes(), SURFACES_TYPE)

    def delete(self, request: Request) -> tuple[int, DeletedCases]:
        """Delete a correction for good; with ``{"patient": true}`` every one of the same patient."""
        options = request.options(DeleteOptions)
        store = self.corrections()
        case = store.case(request.groups[0])
        gone = store.delete_patient(case.patient) if options.patient else store.delete(case.id)
        return 200, DeletedCases(deleted=tuple(one.id for one in gone))

    def trust(self, request: Request) -> tuple[int, ShownRecord]:
        """Mark a correction as one to learn from."""
        return 200, ShownRecord(self.corrections().trust(request.groups[0]))

    def look(self, request: Request) -> tuple[int, AskedStudy]:
        """Have a study looked at for corrections now."""
        study = find_study(self._archive, request.groups[0])
        self.queue().enqueue_corrections(study.orthanc_id, f"rest-{time.time_ns()}")
        return 202, AskedStudy(study=study.orthanc_id)

    # --- results that are judged without drawing ---

    def accept(self, request: Request) -> tuple[int, ReviewedJob]:
        """Accept a result as it is: an approved structure set is written; 202 with the job. Twice is once."""
        request.options(NoOptions)
        job = self._latest(request.groups[0])
        if job.review.state is not ReviewState.ACCEPTED or job.review.decision is not None:
            decision = Decisions(self._node.database()).accept(job.id, request.user)
            enqueue_acceptance(self.queue(), job, decision)
        return 202, self.shown_job(job.id)

    def send_back(self, request: Request) -> tuple[int, ReviewedJob]:
        """Send a result back, with a reason that is kept and shown."""
        options = request.options(SendBackOptions)
        job = self._latest(request.groups[0])
        if job.review.state is ReviewState.ACCEPTED:
            raise GlioLoopError("REVIEW_ENDED")
        failed = job.review.state is ReviewState.ACCEPT_FAILED
        Decisions(self._node.database()).send_back(job.id, request.user, options.reason, failed)
        return 200, self.shown_job(job.id)

    # --- edits ---

    def edit(self, request: Request) -> tuple[int, SavedEdit]:
        """Have what was painted and erased written as a correction; 202. Twice is once."""
        edits = request.options(Edits, _LONGEST_EDIT)
        job = self._newest(request.groups[0])
        if job.review.state is ReviewState.ACCEPTED:
            raise GlioLoopError("REVIEW_ENDED")
        cases = standing(self.corrections().of_study(str(job.study), str(job.study_instance_uid)))
        newest = next((one.id for one in cases if one.job == job.id), None)
        if newest != edits.after:
            raise GlioLoopError("RESULT_SUPERSEDED", f"correction {newest}" if newest else "the correction is gone")
        shown = self._node.folders.file(f"jobs/{job.id}", "browse/contours.json")
        if not shown.exists():
            raise GlioLoopError("RESULT_LACKING", "the files of the job are no longer kept")
        columns, rows, slices = json.loads(shown.read_bytes())["size"]
        edits.check((columns, rows, slices))
        identity = enqueue_edit(self.queue(), job, edits, request.user)
        return 202, saved_edit(self.queue(), self.corrections(), identity)

    def consensus(self, request: Request) -> tuple[int, SavedEdit]:
        """Have the consensus of a study's readers written as a correction; 202, as an edit. Twice is once."""
        options = request.options(ConsensusOptions)
        job = self._newest(request.groups[0])
        cases = self.corrections().of_study(str(job.study), str(job.study_instance_uid))
        readings = tuple(one.id for one in require_readers(cases))
        if options.readings is not None and set(options.readings) != set(readings):
            raise GlioLoopError("RESULT_SUPERSEDED", f"corrections {', '.join(readings)}")
        asked = AskedConsensus(consensus_of=readings, accept=options.accept)
        identity = enqueue_edit(self.queue(), job, asked, request.user)
        return 202, saved_edit(self.queue(), self.corrections(), identity)

    def edited(self, request: Request) -> tuple[int, SavedEdit]:
        """Tell how far an edit has come."""
        return 200, saved_edit(self.queue(), self.corrections(), request.groups[1])

    def _latest(self, identity: str) -> ReviewedJob:
        """A job whose contours are the latest of its study, and that nobody has corrected.

        Raises
        ------
        GlioLoopError
            JOB_UNKNOWN, RESULT_LACKING, RESULT_SUPERSEDED.
        """
        job = self._newest(identity)
        if job.review.state is ReviewState.CORRECTED:
            raise GlioLoopError("RESULT_SUPERSEDED", "a correction")
        return job

    def _newest(self, identity: str) -> ReviewedJob:
        """A job whose contours no later one has replaced.

        Raises
        ------
        GlioLoopError
            JOB_UNKNOWN, RESULT_LACKING, RESULT_SUPERSEDED.
        """
        job = self.shown_job(identity)
        if job.result is None or "rtstruct" not in job.result.stored or job.study is None:
            raise GlioLoopError("RESULT_LACKING", job.state)
        if not self._node.folders.file(f"jobs/{job.id}", "objects/rtstruct.dcm").exists():
            raise GlioLoopError("RESULT_LACKING", "the files of the job are no longer kept")
        latest = next(one for one in self.queue().jobs(job.study) if one.has_objects)
        if latest.id != job.id:
            raise GlioLoopError("RESULT_SUPERSEDED", f"job {latest.id}")
        return job

    def agreement(self, _request: Request) -> tuple[int, Agreement]:
        """Agreement of automatic and reviewed contours over time, per region and model version."""
        return 200, agreement(self.corrections().cases())

    # --- learning ---

    def start(self, request: Request) -> tuple[int, RunView]:
        """Queue a fine-tuning; 202 with the run."""
        body = request.options(FinetuneBody)
        identity = self._runs().enqueue(f"rest-{time.time_ns()}", body.options, request.user, body.quiet)
        return 202, self._runs().run(identity)

    def runs(self, _request: Request) -> tuple[int, list[RunView]]:
        """List fine-tunings, latest first."""
        return 200, self._runs().runs()

    def run(self, request: Request) -> tuple[int, RunView]:
        """Show one fine-tuning."""
        return 200, self._runs().run(request.groups[0])

    def hasten(self, request: Request) -> tuple[int, RunView]:
        """Have a fine-tuning wait for quiet hours no longer."""
        self._runs().hasten(request.groups[0])
        return 200, self._runs().run(request.groups[0])

    def cancel(self, request: Request) -> tuple[int, RunView]:
        """Stop a fine-tuning; the network in use stays as it is."""
        self._runs().cancel(request.groups[0])
        return 200, self._runs().run(request.groups[0])

    def _runs(self) -> FinetuneRuns:
        return FinetuneRuns(self.queue(), self._node.settings.turns)
