from rest_framework import exceptions

from clients.models import Client
from spotopt.common.errors import Conflict, NotFound


class InvalidToken(exceptions.AuthenticationFailed):
    default_detail = "The token is not valid"
    default_code = "invalid_token"
    client = None


class InactiveClient(exceptions.PermissionDenied):
    default_detail = "This client is inactive"
    default_code = "inactive_client"

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.client = client


class ClientNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("There is no such client")


class NameTaken(Conflict):
    def __init__(self) -> None:
        super().__init__("A client with this name exists already")


class EmailTaken(Conflict):
    def __init__(self) -> None:
        super().__init__("A client with this email address exists already")


class TokenUnreadable(Conflict):
    """No configured TOKEN_ENCRYPTION_KEYS entry fits; the keyed hash still lets its agents in."""

    code = "TOKEN_UNREADABLE"

    def __init__(self) -> None:
        super().__init__("The token cannot be shown: its encryption key is no longer configured. Make a new token.")
