"""Who may do what."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal


class Role(StrEnum):
    """What somebody may do; each may do what those before it may."""

    READER = "reader"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"

    def suffices(self, needed: "Role") -> bool:
        """Whether this role may do what needs another one."""
        return _ORDER.index(self) >= _ORDER.index(needed)


_ORDER: Final = (Role.READER, Role.OPERATOR, Role.ADMINISTRATOR)


class Roles(BaseModel):
    """Roles of Orthanc's users, and of those whom a proxy names.

    Attributes
    ----------
    users
        Role by name.
    otherwise
        Of everybody else; None: administrators where no roles are given to anybody, else readers.
    proxy_user
        Orthanc's user as whom the proxy comes; only what it sends is believed.
    user_header, groups_header
        In which the proxy names who asks, and their groups, with commas between (OpenID Connect's ``groups``).
    groups
        Role by group; of several the highest.
    """

    model_config = ConfigDict(extra="forbid", alias_generator=to_pascal, populate_by_name=True)

    users: dict[str, Role] = Field(default_factory=dict)
    otherwise: Role | None = None
    proxy_user: str = ""
    user_header: str = Field(default="X-Forwarded-User", pattern=r"^[A-Za-z0-9-]+$")
    groups_header: str = Field(default="X-Forwarded-Groups", pattern=r"^[A-Za-z0-9-]+$")
    groups: dict[str, Role] = Field(default_factory=dict)

    def who(self, user: str, headers: Mapping[str, str]) -> tuple[str, Role]:
        """Tell who asks, and their role.

        Parameters
        ----------
        user
            Orthanc's user.
        headers
            Of the request; names in small letters.
        """
        if not self.proxy_user or user != self.proxy_user:
            return user, self.users.get(user, self._everybody_else)
        named = headers.get(self.user_header.lower(), "").strip()
        if not named:
            return user, Role.READER  # a proxy that does not say who asks
        groups = [one.strip() for one in headers.get(self.groups_header.lower(), "").split(",")]
        role = self.users.get(named)
        found = [*self._roles_of(groups), *([] if role is None else [role])]
        return named, max(found, key=_ORDER.index, default=self._everybody_else)

    @property
    def _everybody_else(self) -> Role:
        given = bool(self.users or self.groups or self.proxy_user)
        return self.otherwise or (Role.READER if given else Role.ADMINISTRATOR)

    def _roles_of(self, groups: Iterable[str]) -> list[Role]:
        return [self.groups[one] for one in groups if one in self.groups]
