"""What is not served, as the protocol says it: `status` and `reason` as on the protocol page."""

from citadel.limiting import Refused

__all__ = ["Refused"]
