"""DICOM objects of a result: RT Structure Set, Segmentation, report, preview; and the reader of structure sets."""

from pipeline.objects.build import ObjectSet, build_objects
from pipeline.objects.measure import RegionSize
from pipeline.objects.provenance import Provenance
from pipeline.objects.rtstruct.enum import HoleEncodings
from pipeline.objects.rtstruct.read import ReadRoi, read_structure_set
from pipeline.objects.rtstruct.region import RegionOfInterest
from pipeline.objects.rtstruct.sop import RTStructureSet

__all__ = [
    "HoleEncodings",
    "ObjectSet",
    "Provenance",
    "RTStructureSet",
    "ReadRoi",
    "RegionOfInterest",
    "RegionSize",
    "build_objects",
    "read_structure_set",
]
