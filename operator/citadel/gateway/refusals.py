"""What is not served, as the protocol says it."""


class Refused(Exception):
    """A request that is not served; `status` and `reason` as on the protocol page."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message
