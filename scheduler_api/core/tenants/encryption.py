"""Encrypts secrets for the store: AES-256-GCM with a key derived from SECRET_KEY."""

import base64
import secrets
from collections.abc import Iterable
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.store.content_encryption import derive, key_id

FORMAT = "1"
NONCE_BYTES = 12


class WrongSecretKey(SchedulerError):
    """SECRET_KEY: the secrets in the store were encrypted with another key."""


class Cipher:
    """Encrypts short texts to `<format>.<key id>.<base64 of nonce and ciphertext>`.

    Older keys decrypt what they have encrypted.
    """

    def __init__(self, secret_key: str, older_keys: Iterable[str] = ()) -> None:
        self._key_id = key_id(secret_key).hex()
        self._keys = {
            key_id(each).hex(): AESGCM(derive(each, b"scheduler_api cipher 1"))
            for each in (secret_key, *older_keys)
        }

    def encrypt(self, text: str, context: str) -> str:
        """Encrypt `text`; decryption needs the same `context`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        aes = self._keys[self._key_id]
        encrypted = nonce + aes.encrypt(nonce, text.encode(), context.encode())
        return f"{FORMAT}.{self._key_id}.{base64.b64encode(encrypted).decode()}"

    def has_encrypted(self, encrypted: str) -> bool:
        """Whether `encrypted` was made with the present key."""
        return encrypted.startswith(f"{FORMAT}.{self._key_id}.")

    def decrypt(self, encrypted: str, context: str) -> str:
        """Decrypt the result of `encrypt`.

        Raises:
            WrongSecretKey: `encrypted` is damaged, or was made with another SECRET_KEY
                or context.
        """
        try:
            form, name, encoded = encrypted.split(".")
            raw = base64.b64decode(encoded, validate=True)
            if form != FORMAT or name not in self._keys:
                raise WrongSecretKey
            nonce, ciphertext = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
            return (
                self._keys[name].decrypt(nonce, ciphertext, context.encode()).decode()
            )
        except (ValueError, InvalidTag) as err:
            raise WrongSecretKey from err
