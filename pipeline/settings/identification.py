"""What a hospital may adapt of the identification without touching code."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.settings.patterns import check_pattern

Preference = Literal["3d", "plane", "slices", "thickness", "corrected", "later"]
Plane = Literal["axial", "coronal", "sagittal"]


class IdentificationRules(BaseModel):
    """Rules of the identification; every list of patterns is added to the built-in vocabulary.

    Patterns are Python regular expressions. They are searched in the normalised descriptions of a series
    (SeriesDescription and ProtocolName): lower case, without accents, with every separator turned into one
    space, ``+`` and ``*`` kept.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    t1_patterns: list[str] = Field(default_factory=list, description="Names that mean T1-weighted.")
    t2_patterns: list[str] = Field(default_factory=list, description="Names that mean T2-weighted.")
    flair_patterns: list[str] = Field(default_factory=list, description="Names that mean FLAIR.")
    contrast_patterns: list[str] = Field(default_factory=list, description="Names that mean: after contrast.")
    native_patterns: list[str] = Field(default_factory=list, description="Names that mean: before contrast.")
    excluded_patterns: list[str] = Field(default_factory=list, description="Names of series that are never taken.")
    ignored_exclusions: list[str] = Field(
        default_factory=list, description="Exclusion codes that this site does not want applied, for example DERIVED."
    )
    minimum_slices: int = Field(default=12, ge=1, description="Fewest slices of a candidate.")
    minimum_coverage_mm: float = Field(default=100.0, ge=0, description="Least slices times spacing, mm.")
    maximum_coverage_mm: float = Field(
        default=500.0, ge=0, description="Most slices times spacing, mm: beyond it, one series holds many volumes."
    )
    minimum_fov_mm: float = Field(default=140.0, ge=0, description="Least in-plane field of view, longer side, mm.")
    preference: list[Preference] = Field(
        default_factory=lambda: list[Preference](["3d", "plane", "slices", "thickness", "corrected", "later"]),
        description="Order in which equally certain candidates are told apart.",
    )
    plane_order: list[Plane] = Field(
        default_factory=lambda: list[Plane](["axial", "coronal", "sagittal"]),
        description="Preferred planes among 2D series.",
    )

    @field_validator(
        "t1_patterns", "t2_patterns", "flair_patterns", "contrast_patterns", "native_patterns", "excluded_patterns"
    )
    @classmethod
    def _must_compile(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            check_pattern(pattern)
        return patterns
