from rest_framework import exceptions, status

from spotopt.common.errors import Conflict, DomainError, NotFound


class NotificationNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("There is no such notification")


class TooManyStreams(exceptions.Throttled):
    """Of this process or this client; a place is free again within a minute."""

    def __init__(self) -> None:
        super().__init__(wait=60, detail="Too many event streams are open.")


class StreamsEnding(DomainError):
    code = "UNAVAILABLE"
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("The server is restarting, try again")


class TooManyAlerts(Conflict):
    def __init__(self, most: int) -> None:
        super().__init__(f"A client can have {most} pricing alerts at most")
