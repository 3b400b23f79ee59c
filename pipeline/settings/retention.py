"""What a site keeps, and for how long."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal


class Retention(BaseModel):
    """What is kept of ended jobs, and for how long; 0 keeps without end.

    Attributes
    ----------
    job_days
        Ended jobs, with their pictures, logs and working files.
    job_gigabytes
        Working files of all jobs together; those of the jobs that ended first go, the jobs stay listed.
    look_days
        The queue's own record of looks at studies and corrections.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, alias_generator=to_pascal, populate_by_name=True)

    job_days: float = Field(default=730, ge=0)
    job_gigabytes: float = Field(default=50, ge=0)
    look_days: float = Field(default=30, ge=0)
