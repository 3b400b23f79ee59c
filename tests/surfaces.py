"""Reads ``surfaces.bin`` as the dashboard does."""

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dashboard.surfaces import Surface


def decoded(content: bytes) -> tuple[dict[str, Surface], dict[str, Any]]:
    """The surfaces by name, and the colour of each."""
    (length,) = struct.unpack_from("<I", content)
    place = 4 + length
    found, colours = {}, {}

    def take(kind: str, count: int) -> NDArray[Any]:
        nonlocal place
        taken = np.frombuffer(content, kind, 3 * count, place)
        place += 4 * -(-taken.nbytes // 4)
        return taken.reshape(-1, 3)

    for head in json.loads(content[4:place])["surfaces"]:
        points = take("<u2", head["points"]) * head["step"] + head["origin"]
        triangles = take("<u4" if head["wide"] else "<u2", head["triangles"]).astype(np.int64)
        found[head["name"]] = Surface(points, triangles)
        colours[head["name"]] = head["colour"]
    assert place == len(content)
    return found, colours
