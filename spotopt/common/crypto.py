"""Client tokens at rest: a keyed hash to find them, an encrypted copy to show them again.

Both keys rotate: the first configured one writes, all of them read (`manage.py rotate_keys` rewrites old rows).
"""

import base64
import hashlib
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

__all__ = ["InvalidToken", "decrypt", "encrypt", "is_encrypted_with_newest", "is_same", "token_hashes"]


def token_hashes(token: str) -> list[str]:
    """HMAC-SHA256 of the token under every accepted pepper, newest first; 64 hex characters each."""
    text = token.encode(errors="surrogatepass")  # JSON bodies may bring half a surrogate pair: unknown, not a crash
    return [hmac.new(pepper.encode(), text, hashlib.sha256).hexdigest() for pepper in settings.TOKEN_PEPPERS]


def is_same(given: str, secret: str) -> bool:
    """Takes as long for a near miss as for a wild guess."""
    return hmac.compare_digest(given.encode(errors="surrogatepass"), secret.encode())


def encrypt(text: str) -> str:
    return _fernet(tuple(settings.TOKEN_ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def decrypt(text: str) -> str:
    """Raises InvalidToken when no configured key fits."""
    return _fernet(tuple(settings.TOKEN_ENCRYPTION_KEYS)).decrypt(text.encode()).decode()


def is_encrypted_with_newest(text: str) -> bool:
    try:
        _fernet(tuple(settings.TOKEN_ENCRYPTION_KEYS[:1])).decrypt(text.encode())
    except InvalidToken:
        return False
    return True


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    """Any text may be a key: Fernet wants 32 bytes, SHA-256 makes them."""
    return MultiFernet([Fernet(base64.urlsafe_b64encode(hashlib.sha256(k.encode()).digest())) for k in keys])
