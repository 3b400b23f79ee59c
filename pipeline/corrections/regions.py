"""Which tumour region an ROI's name means.

A name is cut into words in one pass, and words are compared one by one: whatever somebody wrote there, the
time grows with its length only.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pipeline.names import TUMOUR_REGIONS, Region
from pipeline.settings.corrections import CorrectionPolicy

#: Characters of a name that are looked at: ROIName and SegmentLabel hold 64 (PS3.5, LO).
LONGEST_NAME: Final = 64

#: A number, or one letter: words are put together of these.
_PART: Final = re.compile(r"\d+|[^\W\d_]")
#: Words that may stand before a usual name.
_BEFORE: Final = frozenset({"gtv", "p", "roi", "mr", "mri", "tumour", "tumor", "lesion", "glioma"})
#: Words for what was worked on, in the languages of workstations; a word that begins so counts.
_EDITED: Final = (
    "corr", "korr", "correg", "edit", "final", "manual", "manuel", "modif", "rev", "approv", "check", "new", "neu",
    "nuev", "nouv", "nuov", "copy", "copi", "kopi", "ver", "adjust", "adapt", "bearb", "gepr", "updat", "fix",
    "испр", "коп", "修正", "校正",
)  # fmt: skip
#: Words for a structure made from a region, or for the region at another time: not the region itself.
_DERIVED: Final = frozenset(
    {
        "minus", "plus", "without", "ohne", "sans", "sin", "sub", "subtract", "not", "no", "non", "nicht", "and", "und",
        "exp", "expand", "expanded", "expansion", "margin", "marge", "rand", "mm", "cm", "prv", "ctv", "ptv", "itv",
        "ring", "shell", "prior", "prev", "previous", "old", "alt", "baseline", "preop", "opt", "eval", "avoid",
        "boost", "cavity", "pet", "union",
    }
)  # fmt: skip
#: Further words of a name that say nothing.
_FILLERS: Final = frozenset({"of", "von", "de", "di", "da", "der", "the", "by", "tumour", "tumor", "lesion"})
#: A word of so many letters is somebody's initials.
_INITIALS: Final = 3

#: Usual names: AAPM TG-263 (a target with a suffix), BraTS, and plain words; ``*`` ends in anything.
_USUAL: Final[dict[Region, tuple[tuple[str, ...], ...]]] = {
    Region.WT: (
        ("wt",), ("whole", "tumour"), ("whole", "tumor"), ("wholetumour",), ("wholetumor",), ("flair", "abnormality"),
        ("flair", "hyperintensity"),
    ),
    Region.TC: (("tc",), ("tumour", "core"), ("tumor", "core"), ("tumourcore",), ("tumorcore",), ("core",)),
    Region.ET: (("et",), ("enhanc*",)),
}  # fmt: skip


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
    policy: CorrectionPolicy

    def region(self, name: str) -> Region | None:
        """Region that a name means; the site's own patterns come first, then this node's names, then usual ones.

        Behind a name of this node's anything may stand that makes it no other structure: a copy's name is what
        a workstation or a person makes of it. Behind a usual name only what says nothing.
        """
        name = name.strip()[:LONGEST_NAME]
        for region in TUMOUR_REGIONS:
            if any(re.fullmatch(one, name, re.IGNORECASE) for one in self.policy.roi_map.get(region, ())):
                return region
        words = words_of(name)
        if self.is_cavity(name):
            return None
        if any(word.isdigit() for word in words_of(name.partition("+")[2])):
            return None  # a margin
        own = {region: words_of(self.written[region]) for region in TUMOUR_REGIONS}
        for region in sorted(TUMOUR_REGIONS, key=lambda one: -len(own[one])):
            others = {
                one for other in TUMOUR_REGIONS if other is not region for one in (other.lower(), *own[other][-1:])
            }
            for before, after in _around(own[region], words):
                if all(map(_says_nothing, before)):
                    return None if _DERIVED.union(others).intersection(after) else region
        for region in TUMOUR_REGIONS:
            for before, after in (found for usual in _USUAL[region] for found in _around(usual, words)):
                if all(one in _BEFORE or _is_remark(one) for one in before) and all(map(_says_nothing, after)):
                    return region
        return None

    def is_cavity(self, name: str) -> bool:
        """Whether an ROI is the resection cavity that this node drew, or a copy of that; it is not learnt from."""
        own = words_of(self.written.get(Region.CAVITY, ""))
        return any(
            all(map(_is_remark, before)) and not _DERIVED.intersection(after)
            for before, after in _around(own, words_of(name.strip()[:LONGEST_NAME]))
        )

    def without_cavity(self) -> "RegionNames":
        """The names for a study in which this node drew no cavity: there it is a stranger's, whatever its name."""
        return replace(self, written={one: name for one, name in self.written.items() if one is not Region.CAVITY})


def words_of(name: str) -> tuple[str, ...]:
    """Cut a name into words, in small letters; numbers are words of their own, as are parts of ``aCamelCase`` name.

    Examples
    --------
    >>> words_of("GTV_WT_JS"), words_of("gtvET2"), words_of("WholeTumour (edited)~1"), words_of("GTV_WTv2")
    (('gtv', 'wt', 'js'), ('gtv', 'et', '2'), ('whole', 'tumour', 'edited', '1'), ('gtv', 'wt', 'v', '2'))
    """
    words: list[str] = []
    end = -1
    for match in _PART.finditer(unicodedata.normalize("NFKC", name)[: 2 * LONGEST_NAME]):
        part, follows = match[0], match.start() == end
        if follows and part.isdigit() and len(words[-1]) > 1 and words[-1].endswith("v"):
            words[-1:] = [words[-1][:-1], "v"]
        if follows and _joins(words[-1], part):
            words[-1] += part
        else:
            words.append(part)
        end = match.end()
    return tuple(word.casefold() for word in words)


def _joins(word: str, part: str) -> bool:
    """Whether a letter goes on with the word before it: not where capitals begin or end, nor in another script."""
    if not (word.isalpha() and part.isalpha()) or word.casefold() == "gtv":
        return False
    begins = word[-1].islower() and part.isupper()
    ends = word[-2:].isupper() and len(word) > 1 and part.islower()
    return not begins and not ends and (word[-1].upper() == word[-1].lower()) == (part.upper() == part.lower())


def is_edited(name: str) -> bool:
    """Whether a name says that what it names was worked on, or is a copy."""
    return any(word.startswith(_EDITED) or word == "v" for word in words_of(name))


def _around(phrase: tuple[str, ...], words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Give what stands before and behind each occurrence of a phrase."""
    for start in range(len(words) - len(phrase) + 1 if phrase else 0):
        behind = start + len(phrase)
        if all(_same(one, word) for one, word in zip(phrase, words[start:behind], strict=True)):
            yield words[:start], words[behind:]


def _same(pattern: str, word: str) -> bool:
    return word.startswith(pattern[:-1]) if pattern.endswith("*") else word == pattern


def _is_remark(word: str) -> bool:
    return word.isdigit() or word in _FILLERS or word.startswith(_EDITED)


def _says_nothing(word: str) -> bool:
    """Whether a word beside a region's name leaves its meaning: a remark, a number, somebody's initials."""
    return word not in _DERIVED and (len(word) <= _INITIALS or _is_remark(word))
