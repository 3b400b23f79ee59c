"""Which tumour region an ROI's name means."""

import re
from collections.abc import Mapping
from collections.abc import Sequence as Ordered
from dataclasses import dataclass

from pipeline.feedback.policy import FeedbackPolicy
from pipeline.names import TUMOUR_REGIONS, Region

#: What a workstation or a radiologist appends to the name of a contour that was worked on.
_SUFFIX = r"(?:[ _.^-]*(?:corr\w*|edit\w*|final|manual\w*|man|rev\w*|approved|new|copy|v?\d{1,2}))*"
_PREFIX = r"(?:gtv|tumou?r|roi)?[ _.-]*"

#: Usual names: AAPM TG-263 (a target with a suffix), BraTS, and plain words.
_USUAL: dict[Region, str] = {
    Region.WT: r"(?:wt|whole[ _-]?tumou?r|flair[ _-]?(?:abnormality|hyperintensity))",
    Region.TC: r"(?:tc|(?:tumou?r[ _-]?)?core)",
    Region.ET: r"(?:et|enhanc\w*(?:[ _-]?(?:tumou?r|lesion))?)",
}


@dataclass(frozen=True)
class NamedRoi:
    """An ROI as far as its name is concerned.

    Attributes
    ----------
    number
        Its number in the object.
    name
        Its name.
    automatic
        Whether it is marked as made by an algorithm.
    """

    number: int
    name: str
    automatic: bool


@dataclass(frozen=True)
class RegionNames:
    """Turns ROI names into regions.

    Attributes
    ----------
    written
        Names that this node writes.
    policy
        The site's further names.
    """

    written: Mapping[Region, str]
    policy: FeedbackPolicy

    def region(self, name: str) -> Region | None:
        """Region that a name means; the site's own patterns come first, then this node's names, then usual ones."""
        name = name.strip()
        for region in TUMOUR_REGIONS:
            if any(re.fullmatch(one, name, re.IGNORECASE) for one in self.policy.roi_map.get(region, ())):
                return region
        for region in TUMOUR_REGIONS:
            if re.fullmatch(re.escape(self.written[region]) + _SUFFIX, name, re.IGNORECASE):
                return region
        for region in TUMOUR_REGIONS:
            if re.fullmatch(_PREFIX + _USUAL[region] + _SUFFIX, name, re.IGNORECASE):
                return region
        return None

    def assign(self, rois: Ordered[NamedRoi]) -> tuple[dict[Region, NamedRoi], tuple[str, ...]]:
        """Choose an ROI for each region.

        Where several mean the same region (a copy beside the original), the one drawn by a person wins, then
        the one with the higher number: it was added later.

        Returns
        -------
        (dict, tuple)
            The chosen ROI per region; names that mean none.
        """
        chosen: dict[Region, NamedRoi] = {}
        unknown = []
        for roi in sorted(rois, key=lambda one: (not one.automatic, one.number)):
            region = self.region(roi.name)
            if region is None:
                unknown.append(roi.name)
            else:
                chosen[region] = roi
        return chosen, tuple(sorted(unknown))
