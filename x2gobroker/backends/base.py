"""What every backend is: a source of session profiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, final

from x2gobroker.model.acl import Decision, Requester
from x2gobroker.model.options import Option
from x2gobroker.model.profile import SessionProfile
from x2gobroker.model.profile_set import ProfileSet
from x2gobroker.settings import Problem, Settings


class Backend(ABC):
    """A source of session profiles.

    One object serves one VirtualHost of one process, for all its requests and threads. A plug-in derives from this
    class, writes `_profiles`, may declare the options of its `[broker_<name>]` section in `options`, and registers
    itself under the entry-point group `x2gobroker.backends`; the entry point's name becomes `name`, and the path
    below `/plain/` and `/json/`.
    """

    options: ClassVar[tuple[Option, ...]] = ()

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def _profiles(self, settings: Settings) -> ProfileSet:
        """All session profiles as of now. Called for every request: return the same set until something changed."""

    def _problems(self, settings: Settings) -> list[Problem]:
        """What is wrong with the profiles' source, for `x2gobroker check-config`. Nothing, unless overridden."""
        return []

    def _is_ready(self, settings: Settings) -> bool:
        """Whether the profiles' source is at hand, for `/health/ready`. By default, whether `_profiles` gives anything.

        No session profiles are as good as many, but profiles that cannot be read are not none.
        """
        self._profiles(settings)
        return True

    @final
    def offered(self, settings: Settings, who: Requester) -> list[SessionProfile]:
        """The session profiles that `who` may have, sorted by ID."""
        return self._profiles(settings).offered_to(who)

    @final
    def select(self, settings: Settings, profile_id: str, who: Requester) -> SessionProfile | None:
        """The profile of this ID if there is one and `who` may have it, else None."""
        profile = self._profiles(settings).get(profile_id)
        return profile if profile is not None and profile.rules.decide(who) else None

    @final
    def all_profiles(self, settings: Settings) -> tuple[SessionProfile, ...]:
        """Every session profile, whoever may have it, sorted by ID: the same tuple until something changed."""
        return self._profiles(settings).profiles

    @final
    def explain(self, settings: Settings, who: Requester) -> list[tuple[SessionProfile, Decision]]:
        """Every session profile with the decision about `who`, sorted by ID."""
        return [(profile, profile.rules.decide(who)) for profile in self._profiles(settings).profiles]

    @final
    def problems(self, settings: Settings) -> list[Problem]:
        """What is wrong with the profiles' source."""
        return self._problems(settings)

    @final
    def is_ready(self, settings: Settings) -> bool:
        """Whether the profiles' source is at hand. Raises what a plug-in raises."""
        return self._is_ready(settings)
