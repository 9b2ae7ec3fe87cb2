"""Session profiles: their options, and the file that X2Go Client keeps them in."""

from x2gobroker.x2go.profiles.file import X2GoSessionProfiles

__all__ = ["X2GoSessionProfiles"]
