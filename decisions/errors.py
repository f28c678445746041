from rest_framework import status

from spotopt.common.errors import Conflict, DomainError, Invalid, NotFound


class SessionNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("There is no such model session")


class EngineNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("There is no such decision engine")


class NoFallback(NotFound):
    code = "NO_FALLBACK"

    def __init__(self) -> None:
        super().__init__("There is no fallback session to go back to")


class AlreadyLive(Conflict):
    code = "ALREADY_LIVE"

    def __init__(self) -> None:
        super().__init__("This model session is live already")


class SessionsChanged(Conflict):
    def __init__(self) -> None:
        super().__init__("The model sessions have changed meanwhile, look again")


class RecommendationNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("There is no such recommendation")


class AlreadyDecided(Conflict):
    code = "ALREADY_DECIDED"

    def __init__(self, status: str, command_id: str) -> None:
        super().__init__(f"It is {status} already", details={"status": status, "command_id": command_id or None})


class OutOfDate(Conflict):
    """What it rested on has changed."""

    code = "OUT_OF_DATE"

    def __init__(self, reason: str) -> None:
        super().__init__(f"No longer current: {reason}")


class FileRefused(Invalid):
    """Its name or its type, said before its content is read."""


class UploadTooLarge(DomainError):
    code = "PAYLOAD_TOO_LARGE"
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE


class ModelRefused(DomainError):
    """Its content: it does not load here."""

    code = "MODEL_REFUSED"
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY


class ModelsWorse(DomainError):
    """`details` holds the backtest's result. They may be forced, with a reason."""

    code = "MODELS_WORSE"
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY


class EngineRefused(DomainError):
    code = "ENGINE_REFUSED"
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY


class CodeUploadDisabled(DomainError):
    code = "CODE_UPLOAD_DISABLED"
    status_code = status.HTTP_403_FORBIDDEN

    def __init__(self) -> None:
        super().__init__("Uploads of decision engines are switched off on this server (ALLOW_ENGINE_UPLOADS)")


class ChecksUnavailable(DomainError):
    """The server's own fault, whatever was uploaded."""

    code = "CHECKS_UNAVAILABLE"
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("Uploads cannot be checked on this server at present; its log says why")


class DiskFull(DomainError):
    code = "INSUFFICIENT_STORAGE"
    status_code = status.HTTP_507_INSUFFICIENT_STORAGE

    def __init__(self) -> None:
        super().__init__("The server has no room for these files")
