"""The route of a patient's course."""

from pipeline.archive.study import find_patient
from pipeline.course.change import PatientCourse, course_of
from pipeline.course.rows import rows_of
from plugin.routes.handlers import Handlers
from plugin.routes.request import Request
from plugin.routes.table import COURSE_ROUTES


class CourseRoutes(Handlers):
    """Handler of courses."""

    routes = COURSE_ROUTES

    def course(self, request: Request) -> tuple[int, PatientCourse]:
        """Answer the course of the person whom the newest study is of, or the named one, without deleted studies."""
        patient = find_patient(self._archive, request.groups[0])
        found = [row for row in rows_of(self._node.database(), patient.id) if row.point.study in patient.studies]
        named = request.query.get("study")
        person = next(
            (
                row.person
                for row in reversed(found)
                if not named or named in (row.point.study, row.point.study_instance_uid)
            ),
            None,
        )
        return 200, course_of(patient.id, [row.point for row in found if row.person == person])
