"""The structure set of a consensus, from the kept corrections of several readers."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
from pydicom import Dataset

from pipeline.corrections.consensus import ReadRegions, consensus, describe, seed_of
from pipeline.corrections.edits import AskedConsensus
from pipeline.corrections.readings import corrected_masks, on_slices, said_of
from pipeline.corrections.store import CorrectionStore
from pipeline.corrections.study import Mask
from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS, Region
from pipeline.objects.regions import REGION_STYLES
from pipeline.objects.rtstruct.edited import agreed
from pipeline.objects.source import ReferenceSeries


def put_together(
    store: CorrectionStore,
    asked: AskedConsensus,
    job: str,
    automatic: Dataset,
    masks: Mapping[Region, Mask],
    series: ReferenceSeries,
    by: str,
    when: datetime,
) -> Dataset:
    """Draw the consensus of several readers.

    Parameters
    ----------
    store
        Where their corrections are kept.
    asked
        Which.
    job, automatic, masks
        Id of the job that it goes on from, its structure set, and the regions in that; bool, shape (slices, rows,
        columns) of the series.
    series
        The reference series.
    by, when
        Who asked, and when.

    Raises
    ------
    GlioLoopError
        FEEDBACK_UNKNOWN, FEEDBACK_DAMAGED of a correction; READERS_ON_OTHER_IMAGES.
    """
    slices = tuple(one.sop_instance_uid for one in series.volume.slices)
    readers = []
    for identity in asked.consensus_of:
        case = store.case(identity)
        store.check(case)
        if not on_slices(store, case, slices):
            raise GlioLoopError("READERS_ON_OTHER_IMAGES", f"correction {identity}")
        readers.append(ReadRegions(corrected_masks(store, case, series.volume.image), said_of(case)))
    before = {region: masks.get(region, np.zeros(series.shape, dtype=bool)) for region in TUMOUR_REGIONS}
    found = consensus(readers, before, series.volume.image)
    return agreed(
        automatic,
        series,
        _numbered(before),
        _numbered(found.regions),
        by,
        when,
        seed_of(job, asked.consensus_of, found.regions),
        asked.accept,
        describe(asked.consensus_of, found.notes),
    )


def _numbered(regions: Mapping[Region, Mask]) -> dict[int, Mask]:
    return {REGION_STYLES[region].number: mask for region, mask in regions.items()}
