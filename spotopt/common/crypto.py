"""Client tokens at rest: a keyed hash to find them, an encrypted copy to show them again.

Both keys rotate: the first configured one writes, all of them read (`manage.py rotate_keys` rewrites old rows).
"""

import base64
import hashlib
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


def token_hashes(token: str) -> list[str]:
    """HMAC-SHA256 of the token under every accepted pepper, newest first; 64 hex characters each."""
    return [
        hmac.new(pepper.encode(), token.encode(), hashlib.sha256).hexdigest() for pepper in settings.TOKEN_PEPPERS
    ]


def encrypt(text: str) -> str:
    return _fernet(tuple(settings.TOKEN_ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def decrypt(text: str) -> str:
    """Raises cryptography.fernet.InvalidToken when no configured key fits."""
    return _fernet(tuple(settings.TOKEN_ENCRYPTION_KEYS)).decrypt(text.encode()).decode()


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    """Any text may be a key: Fernet wants 32 bytes, SHA-256 makes them."""
    return MultiFernet([Fernet(base64.urlsafe_b64encode(hashlib.sha256(k.encode()).digest())) for k in keys])
