"""Coded terms of the report (PS3.16, TID 1500) that no dictionary of pydicom's holds."""

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

#: UCUM; "ml" is what radiologists read, PS3.16 has it in CID 7461.
MILLILITRE = Code("ml", "UCUM", "milliliter")
#: Heading of statements that are no measurements (TID 1500, row 12).
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")

REPORTED_PROCEDURE = codes.LN.BrainMRI
LONGEST_DIAMETER = codes.IBSI.Maximum3DDiameterOfAMesh
