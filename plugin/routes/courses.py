"""The route of a patient's course."""

from pipeline.archive.study import find_patient
from pipeline.course.change import PatientCourse, course_of
from pipeline.course.rows import points_of
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
