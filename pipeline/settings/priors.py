"""What a site wants of earlier studies of a patient: section ``Priors`` of the settings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal

from pipeline.settings.destinations import MODALITY


class Priors(BaseModel):
    """Which studies of a patient are compared.

    Attributes
    ----------
    most
        Studies before the newest; 0: none are compared, and nothing is made of a patient's course.
    days
        How long before the newest they may have been taken; 0: without end.
    archives
        Names of modalities of Orthanc's that are asked for earlier studies (C-FIND), which are then fetched (C-MOVE).
    again
        Whether a study that another network has delineated is done again by the present one, at low priority and
        without being sent to anybody, unless a person corrected it.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, alias_generator=to_pascal, populate_by_name=True)

    most: int = Field(default=5, ge=0, le=50)
    days: float = Field(default=3650, ge=0)
    archives: tuple[Annotated[str, Field(min_length=1, max_length=64, pattern=MODALITY)], ...] = Field(
        default=(), max_length=8, alias="From"
    )
    again: bool = True
