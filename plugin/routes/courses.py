"""The routes of a patient's course."""

from pipeline.archive.study import find_patient
from pipeline.course.change import PatientCourse, course_of
from pipeline.course.rows import patient_of, points_of
from pipeline.course.shown import CONTENT, folder_of
from pipeline.errors import GlioLoopError
from plugin.routes.answers import RESULT_HEADERS, Content
from plugin.routes.handlers import Handlers
from plugin.routes.request import Request
from plugin.routes.table import COURSE_ROUTES


class CourseRoutes(Handlers):
    """Handler of courses."""

    routes = COURSE_ROUTES

    def course(self, request: Request) -> tuple[int, PatientCourse]:
        """Answer the course of the person whom the newest study is of, or the named one, without deleted studies."""
        patient = find_patient(self._archive, request.groups[0])
        points = points_of(self._node.database(), patient.id, request.query.get("study", ""), patient.studies)
        return 200, course_of(patient.id, points)

    def beside(self, request: Request) -> tuple[int, Content]:
        """Answer the contours of a study and of the one before on the same slices."""
        return self._shown(request.groups[0], CONTENT, "application/json")

    def beside_picture(self, request: Request) -> tuple[int, Content]:
        """Answer the slices of one of both, all in one picture."""
        study, which = request.groups
        return self._shown(study, f"{which}.jpg", "image/jpeg")

    def _shown(self, study: str, name: str, kind: str) -> tuple[int, Content]:
        # Only what is in a course becomes a part of a path, and only while the archive has the study.
        known = patient_of(self._node.database(), study) is not None and self._archive.get(f"/studies/{study}")
        path = folder_of(self._node.settings.state_folder, study) / name
        if not known or not path.is_file():
            raise GlioLoopError("STUDY_UNKNOWN", f"no {name}")
        return 200, Content(path.read_bytes(), kind, RESULT_HEADERS)
