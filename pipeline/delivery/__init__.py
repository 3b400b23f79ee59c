"""Results into the archive and on to the workstation."""

from pipeline.delivery.forward import check_destination, forward_once
from pipeline.delivery.store import store

__all__ = ["check_destination", "forward_once", "store"]
