"""Labelling sessions: ask, tell, and the state that their events add up to."""

from skada_active.session.session import AdaptationSession
from skada_active.session.status import SessionStatus

__all__ = ["AdaptationSession", "SessionStatus"]
