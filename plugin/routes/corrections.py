"""The loop's REST API: corrections, agreement over time, learning from them."""

import time
from dataclasses import asdict
from typing import Any, Final

from pipeline.archive.study import find_study
from pipeline.corrections.export import export_archive
from pipeline.corrections.review import agreement, case_view
from pipeline.corrections.verdicts import Verdict
from pipeline.errors import GlioLoopError
from pipeline.jobs.finetuning import FinetuneOptions, FinetuneRuns
from plugin.routes.answers import Content, body_of, number
from plugin.routes.handlers import Handlers, checked
from plugin.routes.table import FEEDBACK_ROUTES

_MOST: Final = 2000


class FeedbackRoutes(Handlers):
    """Handlers of corrections and of learning from them."""

    routes = FEEDBACK_ROUTES

    # --- corrections ---

    def cases(self, request: dict[str, Any]) -> tuple[int, Any]:
        """List the corrections that were kept, and the objects that were not and why."""
        store = self.corrections()
        named = request.get("get", {}).get("study")
        if named:
            study = find_study(self._archive, named)
            found = store.of_study(study.orthanc_id, study.study_instance_uid)
        else:
            found = store.cases()
        offset, limit = number(request, "offset", 0, 10**6), number(request, "limit", 100, _MOST)
        passed_over = [seen.as_json() for seen in store.seen().values() if seen.verdict is not Verdict.OWN]
        return 200, {
            "cases": [case_view(case) for case in found[offset : offset + limit]],
            "total": len(found),
            "size_bytes": store.size_bytes(),
            "looked_at": sorted(passed_over, key=lambda one: str(one["at"]), reverse=True)[:limit],
            "dropped": [asdict(one) for one in store.gone()[::-1][:limit]],
        }

    def case(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Show one correction."""
        return 200, case_view(self.corrections().case(request["groups"][0]))

    def export(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Answer a correction as a BraTS-layout case in a ZIP file, as ``./glioloop feedback export`` writes it."""
        store = self.corrections()
        case = store.case(request["groups"][0])
        headers = {"Content-Disposition": f'attachment; filename="{case.id}.zip"'}
        return 200, Content(export_archive(store, case), "application/zip", headers)

    def contours(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Answer what was drawn, in pixels of the reference series' slices."""
        store = self.corrections()
        case = store.case(request["groups"][0])
        path = store.path(case.id) / f"{case.id}_contours.json"
        if not path.is_file():
            raise GlioLoopError("FEEDBACK_UNKNOWN", "no contours to show")
        return 200, Content(path.read_bytes(), "application/json")

    def delete(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Delete a correction for good; with ``{"patient": true}`` every one of the same patient."""
        body = body_of(request)
        if set(body) - {"patient"} or not isinstance(body.get("patient", False), bool):
            raise GlioLoopError("REQUEST_INVALID", 'only "patient", true or false')
        store = self.corrections()
        case = store.case(request["groups"][0])
        gone = store.delete_patient(case.patient) if body.get("patient") else [store.delete(case.id)]
        return 200, {"deleted": [one.id for one in gone]}

    def trust(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Mark a correction as one to learn from."""
        return 200, case_view(self.corrections().trust(request["groups"][0]))

    def look(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Have a study looked at for corrections now."""
        study = find_study(self._archive, request["groups"][0])
        self.queue().enqueue_feedback(study.orthanc_id, f"rest-{time.time_ns()}")
        return 202, {"study": study.orthanc_id}

    def agreement(self, _request: dict[str, Any]) -> tuple[int, Any]:
        """Agreement of automatic and reviewed contours over time, per region and model version."""
        return 200, agreement(self.corrections().cases())

    # --- learning ---

    def start(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Queue a fine-tuning; 202 with the run."""
        options = checked(request, FinetuneOptions)
        runs = FinetuneRuns(self.queue())
        identity = runs.enqueue(f"rest-{time.time_ns()}", options)
        return 202, runs.run(identity)

    def runs(self, _request: dict[str, Any]) -> tuple[int, Any]:
        """List fine-tunings, latest first."""
        return 200, FinetuneRuns(self.queue()).runs()

    def run(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Show one fine-tuning."""
        return 200, FinetuneRuns(self.queue()).run(request["groups"][0])

    def cancel(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Stop a fine-tuning; the network in use stays as it is."""
        runs = FinetuneRuns(self.queue())
        runs.cancel(request["groups"][0])
        return 200, runs.run(request["groups"][0])
