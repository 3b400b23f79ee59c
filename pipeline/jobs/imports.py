"""What every child of a worker has imported when it starts: see :func:`pipeline.child.child.import_ahead`.

No settings are read here, and nothing is loaded that has threads: those would be missing in a child.
"""

import gc
from importlib import import_module
from importlib.util import find_spec

import pipeline.case.stages
import pipeline.dashboard.pictures
import pipeline.jobs.tasks  # noqa: F401
from pipeline.objects.source import copied_attributes

if find_spec("openvino") is not None:  # an extra
    import_module("openvino")
copied_attributes()  # reads a table of all of DICOM's modules
# What a collection marks in a child would be copied for it.
gc.collect()
gc.freeze()
