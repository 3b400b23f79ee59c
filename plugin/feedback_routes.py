"""The loop's REST API: corrections, agreement over time, learning from them."""

import time
from typing import Any, Final

import orthanc
from pydantic import ValidationError

from pipeline import intake
from pipeline.errors import GlioLoopError
from pipeline.feedback.pseudonyms import Pseudonyms
from pipeline.feedback.review import agreement, case_view
from pipeline.feedback.store import CASE_ID, FeedbackStore
from pipeline.feedback.verdicts import Verdict
from pipeline.finetune.runs import RUN_ID, FinetuneOptions, FinetuneRuns
from pipeline.jobs import JobQueue
from pipeline.registry import Registry
from plugin.answers import Handler, body_of, number, route, user_of
from plugin.inside import PluginArchive
from plugin.node import Node

_CASE: Final = rf"/glioloop/feedback/({CASE_ID})"
_RUN: Final = rf"/glioloop/finetune/({RUN_ID})"
_STUDY: Final = r"/glioloop/studies/([0-9a-fA-F.\-]{1,64})/feedback"
_MOST: Final = 2000


class FeedbackRoutes:
    """Handlers of the loop's routes.

    Parameters
    ----------
    node
        The running node.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._archive = PluginArchive()

    def register(self) -> None:
        """Register every route with Orthanc."""
        table: list[tuple[str, Handler, str]] = [
            (r"/glioloop/feedback", self.cases, "GET"),
            (r"/glioloop/feedback/agreement", self.agreement, "GET"),
            (_CASE, self.case, "GET"),
            (_CASE + "/delete", self.delete, "POST"),
            (_CASE + "/trust", self.trust, "POST"),
            (_STUDY, self.look, "POST"),
            (r"/glioloop/models/rollback", self.rollback, "POST"),
            (_RUN, self.run, "GET"),
            (_RUN + "/cancel", self.cancel, "POST"),
        ]
        for pattern, handler, method in table:
            orthanc.RegisterRestCallback(pattern, route(handler, method))
        # One path, two methods: Orthanc takes one callback a path.
        start, runs = route(self.start, "POST"), route(self.runs, "GET")

        def finetune(output: Any, uri: str, **request: Any) -> None:
            (start if request["method"] == "POST" else runs)(output, uri, **request)

        orthanc.RegisterRestCallback(r"/glioloop/finetune", finetune)

    # --- corrections ---

    def cases(self, request: dict[str, Any]) -> tuple[int, Any]:
        """List the corrections that were kept, and the objects that were not and why."""
        store = self._store()
        found = store.cases()
        study = request.get("get", {}).get("study")
        if study:
            uid = intake.find_study(self._archive, study).study_instance_uid
            pseudonym = Pseudonyms.of_installation(store.folder).study(uid)
            found = [case for case in found if case.study == pseudonym]
        offset, limit = number(request, "offset", 0, 10**6), number(request, "limit", 100, _MOST)
        passed_over = [seen.as_json() for seen in store.seen().values() if seen.verdict is not Verdict.OWN]
        return 200, {
            "cases": [case_view(case) for case in found[offset : offset + limit]],
            "total": len(found),
            "size_bytes": store.size_bytes(),
            "looked_at": sorted(passed_over, key=lambda one: str(one["at"]), reverse=True)[:limit],
            "dropped": store.ledger()[-limit:],
        }

    def case(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Show one correction."""
        return 200, case_view(self._store().case(request["groups"][0]))

    def delete(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Delete a correction for good; with ``{"patient": true}`` every one of the same patient."""
        body = body_of(request)
        if set(body) - {"patient"} or not isinstance(body.get("patient", False), bool):
            raise GlioLoopError("REQUEST_INVALID", 'only "patient", true or false')
        store = self._store()
        case = store.case(request["groups"][0])
        gone = store.delete_patient(case.patient) if body.get("patient") else [store.delete(case.id)]
        return 200, {"deleted": [one.id for one in gone]}

    def trust(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Mark a correction as one to learn from."""
        return 200, case_view(self._store().trust(request["groups"][0]))

    def look(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Have a study looked at for corrections now."""
        study = intake.find_study(self._archive, request["groups"][0])
        self._queue().enqueue_feedback(study.orthanc_id, f"rest-{time.time_ns()}")
        return 202, {"study": study.orthanc_id}

    def agreement(self, _request: dict[str, Any]) -> tuple[int, Any]:
        """Agreement of automatic and reviewed contours over time, per region and model version."""
        return 200, agreement(self._store().cases())

    # --- learning ---

    def start(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Queue a fine-tuning; 202 with the run."""
        try:
            options = FinetuneOptions.model_validate(body_of(request))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
            raise GlioLoopError("REQUEST_INVALID", wrong) from None
        runs = FinetuneRuns(self._queue())
        identity = runs.enqueue(f"rest-{time.time_ns()}", options)
        return 202, runs.run(identity)

    def runs(self, _request: dict[str, Any]) -> tuple[int, Any]:
        """List fine-tunings, latest first."""
        return 200, FinetuneRuns(self._queue()).runs()

    def run(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Show one fine-tuning."""
        return 200, FinetuneRuns(self._queue()).run(request["groups"][0])

    def cancel(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Stop a fine-tuning; the network in use stays as it is."""
        runs = FinetuneRuns(self._queue())
        runs.cancel(request["groups"][0])
        return 200, runs.run(request["groups"][0])

    def rollback(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Go back to the network that was in use before the last promotion."""
        settings = self._node.settings
        model = Registry(settings.models_folder, settings.state_folder).rollback(user_of(request))
        return 200, {"current": model.card.identity}

    def _store(self) -> FeedbackStore:
        return FeedbackStore(self._node.settings.feedback_folder, self._node.settings.feedback)

    def _queue(self) -> JobQueue:
        try:
            return self._node.queue()
        except Exception as error:
            raise GlioLoopError("NODE_STARTING", type(error).__name__) from error
