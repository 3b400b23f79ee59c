"""How far Orthanc's log of changes was followed: what came between two looks, or between two starts, is not missed.

A restart inside a study's stable age loses its event for good (the study then reads as stable); the log still names
what arrived. Every look moves the cursor over what it has seen, so that a start looks at what is left and not at
everything since the last one.
"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Engine, delete, insert, select, update

from pipeline.archive.orthanc import Change, Changes
from pipeline.archive.protocol import Archive
from pipeline.database.tables import CURSOR, LOOKS

_LOG: Final = "orthanc"
_PAGE: Final = 1000
#: A start asks Orthanc for the study of so many of the latest images at most: one request each. Older ones are in
#: studies that the log names as well, since their events came while the node ran.
_MOST_ASKED: Final = 2000
_ARRIVALS: Final = ("NewStudy", "NewSeries", "NewInstance")
_PARENT: Final = {"NewInstance": ("/instances/", "ParentSeries"), "NewSeries": ("/series/", "ParentStudy")}


class ChangeCursor:
    """The place in Orthanc's log of changes up to which every arrival was looked at.

    Parameters
    ----------
    engine
        The node's database.
    archive
        Whose log it is.
    """

    def __init__(self, engine: Engine, archive: Archive) -> None:
        self._engine = engine
        self._archive = archive

    def end(self) -> int:
        """The log's last sequence number, of now."""
        return Changes.model_validate(self._archive.get("/changes?last")).last

    def read(self) -> int | None:
        """Where the cursor stands; None before the node's first start."""
        return read_cursor(self._engine)

    def note_inspection(self, study: str, until: int) -> None:
        """Note that a study was looked at with all that arrived for it up to a sequence number, and move the cursor.

        Parameters
        ----------
        study
            Orthanc's id.
        until
            End of the log when the look began.
        """
        cursor = self.read()
        if cursor is None or until <= cursor:
            return
        with self._engine.begin() as connection:
            connection.execute(delete(LOOKS).where(LOOKS.c.study == study))
            connection.execute(insert(LOOKS).values(study=study, sequence=until))
            looks = {row.study: row.sequence for row in connection.execute(select(LOOKS))}
        studies = _Studies(self._archive)
        reached = cursor
        for change in self._changes(cursor, until):
            if change.kind in _ARRIVALS:
                parent = studies.of(change)
                if parent is not None and looks.get(parent, 0) < change.sequence:
                    break
            reached = change.sequence
        if reached > cursor:
            self.move(reached)

    def changed_studies(self) -> tuple[list[str], int]:
        """Studies for which something arrived that no look has seen, and the end of the log.

        On the node's first start nothing is taken up: an archive that was there before is not segmented unasked.
        """
        end, cursor = self.end(), self.read()
        if cursor is None:
            return [], end
        with self._engine.connect() as connection:
            looks = {row.study: row.sequence for row in connection.execute(select(LOOKS))}
        arrivals = [change for change in self._changes(cursor, end) if change.kind in _ARRIVALS]
        named = [one for one in arrivals if one.kind == "NewStudy"]
        asked = [one for one in arrivals if one.kind != "NewStudy"][-_MOST_ASKED:]
        studies = _Studies(self._archive)
        found = {parent for one in named + asked if looks.get(parent := studies.of(one) or "", 0) < one.sequence}
        return sorted(found - {""}), end

    def move(self, sequence: int) -> None:
        """Put the cursor somewhere, and forget the looks that it has passed."""
        with self._engine.begin() as connection:
            moved = connection.execute(update(CURSOR).where(CURSOR.c.log == _LOG).values(sequence=sequence))
            if not moved.rowcount:
                connection.execute(insert(CURSOR).values(log=_LOG, sequence=sequence))
            connection.execute(delete(LOOKS).where(LOOKS.c.sequence <= sequence))

    def _changes(self, since: int, until: int) -> Iterator[Change]:
        while since < until:
            page = Changes.model_validate(self._archive.get(f"/changes?since={since}&limit={_PAGE}"))
            for change in page.changes:
                if change.sequence > until:
                    return
                yield change
            if page.done or page.last <= since:
                return
            since = page.last


def read_cursor(engine: Engine) -> int | None:
    """Where the cursor stands; None before the node's first start."""
    with engine.connect() as connection:
        return connection.execute(select(CURSOR.c.sequence).where(CURSOR.c.log == _LOG)).scalar()


class _Studies:
    """Which study a series or an instance belongs to: one request for a study's first, none for its others."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._known: dict[str, str | None] = {}

    def of(self, change: Change) -> str | None:
        """Orthanc's id of the study; None where it is gone."""
        if change.kind == "NewStudy":
            return change.resource
        if change.resource not in self._known:
            self._learn(change.resource, change.kind)
        return self._known[change.resource]

    def _learn(self, resource: str, kind: str) -> None:
        path, parent = _PARENT[kind]
        record = self._archive.get(f"{path}{resource}")
        series = self._archive.get(f"/series/{record[parent]}") if record and parent == "ParentSeries" else record
        study = str(series["ParentStudy"]) if series else None
        for one in (self._archive.get(f"/studies/{study}/series") or []) if study else []:
            self._known |= dict.fromkeys((str(one["ID"]), *map(str, one["Instances"])), study)
        self._known[resource] = study
