"""GlioLoop's pipeline: from a stable MRI study to an RT Structure Set, with no server inside.

The data's way: identify → volume → align → inference → restore → objects → archive.
Later stages know earlier stages' types, never the other way round.
"""

__version__ = "0.1.0"

#: Changes whenever the same input with the same model could give another result.
PIPELINE_VERSION = "5"
