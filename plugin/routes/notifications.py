"""Routes of what people are told, and of what is asked of other archives."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from pipeline.archive.forward import check_destinations
from pipeline.case.identity import fresh_nonce
from pipeline.errors import GlioLoopError
from pipeline.jobs.fetching import FetchView, enqueue_fetch, fetches
from pipeline.jobs.notifications import Notification, notice_of
from pipeline.names import Event
from pipeline.settings import Modality, StudyQuery
from plugin.routes.handlers import Handlers
from plugin.routes.request import Request
from plugin.routes.table import NOTIFICATION_ROUTES

_MOST: Final = 1000


class ChannelOptions(BaseModel):
    """Body of ``POST /glioloop/notifications/test``."""

    model_config = ConfigDict(extra="forbid")

    channel: str = Field(max_length=64)


class NotificationRoutes(Handlers):
    """Handlers of what people are told."""

    routes = NOTIFICATION_ROUTES

    def notifications(self, request: Request) -> tuple[int, tuple[Notification, ...]]:
        """What was, or is to be, told, the latest first."""
        return 200, self.queue().notifications.listed(request.number("limit", 100, _MOST))

    def fetch(self, request: Request) -> tuple[int, FetchView]:
        """Have studies of another archive fetched; 202 with how far that is."""
        query = request.options(StudyQuery)
        check_destinations(self._archive, [Modality(modality=query.modality)])
        identity = enqueue_fetch(self.queue(), query, request.user)
        return 202, self._fetched(identity)

    def fetches(self, _request: Request) -> tuple[int, tuple[FetchView, ...]]:
        """What was asked of other archives, the latest first."""
        return 200, fetches(self.queue())

    def fetched(self, request: Request) -> tuple[int, FetchView]:
        """How far one of them is."""
        return 200, self._fetched(request.groups[0])

    def _fetched(self, identity: str) -> FetchView:
        found = fetches(self.queue(), identity)
        if not found:
            raise GlioLoopError("FETCH_UNKNOWN", identity)
        return found[0]

    def test(self, request: Request) -> tuple[int, tuple[Notification, ...]]:
        """Tell somebody something, to see whether it comes."""
        name = request.options(ChannelOptions).channel
        if self._node.settings.notify.channel(name) is None:
            raise GlioLoopError("CHANNEL_UNKNOWN", ascii(name))
        outbox = self.queue().notifications
        notice = notice_of(Event.TEST, request.user, lines=["This is a test."])
        # Each time anew, unlike what happens to the node.
        outbox.enqueue(name, notice.model_copy(update={"key": f"test-{fresh_nonce()}"}))
        return 202, outbox.listed(1)
