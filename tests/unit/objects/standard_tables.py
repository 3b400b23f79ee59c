"""dicom-validator without the network: its tables made from those of PS3.3 that highdicom ships.

dicom-validator reads the standard's docbook files, which it downloads. highdicom's tables hold the same modules with
the nesting and the types of their attributes, but not the conditions of types 1C and 2C: such attributes may be there
or not. What single kinds of content items of a report need is not told apart there, so that its content tree is left
to dciodvfy and to highdicom's own classes.
"""

from functools import cache
from typing import Any

from dicom_validator.spec_reader.condition import Condition, ConditionType
from dicom_validator.validator.dicom_info import DicomInfo
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom.datadict import DicomDictionary, keyword_dict, tag_for_keyword

_CONTENT_TREE = "sr-document-content"
#: A functional group is among the shared or with each frame: neither sequence by itself needs it.
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@cache
def dicom_info(*sop_classes: str) -> DicomInfo:
    """Return the tables of the named SOP classes as dicom-validator wants them."""
    dictionary = {
        _tag(keyword): dict(zip(("vr", "vm", "name"), DicomDictionary[tag][:3], strict=True)) | {"prop": ""}
        for keyword, tag in keyword_dict.items()
    }
    iods: dict[str, dict[str, Any]] = {}
    modules: dict[str, dict[str, Any]] = {}
    anything = Condition(ctype=ConditionType.UserDefined).result_dict()
    for uid in sop_classes:
        title = get_sop_class_iod_map()[uid]
        iods[uid] = {"title": title, "modules": {}, "group_macros": {}}
        for module in get_iod_module_map()[title]:
            key = module["key"]
            use: dict[str, Any] = {"ref": key, "use": module["usage"]}
            iods[uid]["modules"][key] = use | ({"cond": anything} if module["usage"] == "C" else {})
            if key not in modules:
                modules[key] = _module(key)
    return DicomInfo(dictionary, iods, modules)


def _module(key: str) -> dict[str, Any]:
    module: dict[str, Any] = {}
    for row in get_module_attribute_map().get(key, []):
        if key == _CONTENT_TREE and (row["path"] or row["keyword"] != "ValueType"):
            module.setdefault(_tag(row["path"][0] if row["path"] else row["keyword"]), {"name": "", "type": "3"})
            continue
        level = module
        for sequence in row["path"]:
            level = level.setdefault(_tag(sequence), {"name": sequence, "type": "3"}).setdefault("items", {})
        # Types 1C and 2C without their condition: allowed, not required.
        optional = row["type"].endswith("C") or row["path"][-1:] in ([one] for one in _GROUPS)
        kind = "3" if optional else row["type"]
        level.setdefault(_tag(row["keyword"]), {}).update({"name": row["keyword"], "type": kind})
    return module


def _tag(keyword: str) -> str:
    tag = tag_for_keyword(keyword) or 0
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
