"""Damaged copies of DICOM files: bytes flipped, cut, doubled, lengths spoilt, attributes removed or replaced."""

import io
import random
import struct
from collections.abc import Callable

import pydicom
from pydicom import Dataset

Mutation = Callable[[bytes, random.Random], bytes]

#: Values that parsers trip over.
_TEXTS = ("", "\\", "nan", "1e400", "-1", "0", "99999999999999999999", "é", "A" * 70, "1\\2", "NaN\\inf\\1")


def flip_bits(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 64))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, chance: random.Random) -> bytes:
    changed, start = bytearray(data), chance.randrange(len(data))
    length = chance.choice((1, 4, 16, 200))
    changed[start : start + length] = chance.randbytes(length)
    return bytes(changed)


def truncate(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def drop_chunk(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.choice((1, 2, 4, 100, 1000)) :]


def double_chunk(data: bytes, chance: random.Random) -> bytes:
    start, length = chance.randrange(len(data)), chance.choice((1, 8, 100, 2000))
    return data[:start] + data[start : start + length] * 2 + data[start + length :]


def spoil_length(data: bytes, chance: random.Random) -> bytes:
    """Replace four bytes by a length that no value has."""
    changed, start = bytearray(data), chance.randrange(132, max(133, len(data) - 4))
    changed[start : start + 4] = struct.pack("<I", chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE, 1 << 24)))
    return bytes(changed)


def change_attributes(data: bytes, chance: random.Random) -> bytes:
    """Remove or replace attributes anywhere in the tree, and write the file anew."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    for _ in range(chance.choice((1, 1, 3, 10))):
        _change_one(dataset, chance)
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def _change_one(dataset: Dataset, chance: random.Random) -> None:
    place = dataset
    while True:
        tags = list(place.keys())
        if not tags:
            return
        element = place[chance.choice(tags)]
        if element.VR == "SQ" and element.value and chance.random() < 0.8:
            place = chance.choice(element.value)
            continue
        break
    action = chance.random()
    if action < 0.4:
        del place[element.tag]
    elif action < 0.5 and element.VR == "SQ":
        element.value = []
    elif element.VR not in ("SQ", "OB", "OW", "US", "UL", "OB or OW"):
        text = chance.choice(_TEXTS).encode("utf-8")
        raw = pydicom.dataelem.RawDataElement(element.tag, element.VR, len(text), text, 0, False, True)
        place[element.tag] = raw


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    overwrite,
    truncate,
    drop_chunk,
    double_chunk,
    spoil_length,
    change_attributes,
    change_attributes,
)


def mutated(data: bytes, seed: int) -> bytes:
    """Return a damaged copy of a file; the same seed gives the same damage."""
    chance = random.Random(seed)
    try:
        return chance.choice(MUTATIONS)(data, chance)
    except Exception:  # some replaced attributes cannot be written at all: damage the bytes then
        return overwrite(data, chance)
