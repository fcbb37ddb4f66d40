"""Encrypts secrets for the store: AES-256-GCM with a key derived from SECRET_KEY."""

import base64
import secrets
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from scheduler_api.core.errors import SchedulerError

FORMAT = "1"
NONCE_BYTES = 12


class WrongSecretKey(SchedulerError):
    """SECRET_KEY: the secrets in the store were encrypted with another key."""


class Cipher:
    """Encrypts short texts to `<format>.<key id>.<base64 of nonce and ciphertext>`."""

    def __init__(self, secret_key: str) -> None:
        material = secret_key.encode()
        self._aes = AESGCM(_derive(material, b"scheduler_api cipher 1"))
        self._key_id = _derive(material, b"scheduler_api key id 1")[:4].hex()

    def encrypt(self, text: str, context: str) -> str:
        """Encrypt `text`; decryption needs the same `context`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        encrypted = nonce + self._aes.encrypt(nonce, text.encode(), context.encode())
        return f"{FORMAT}.{self._key_id}.{base64.b64encode(encrypted).decode()}"

    def decrypt(self, encrypted: str, context: str) -> str:
        """Decrypt the result of `encrypt`.

        Raises:
            WrongSecretKey: `encrypted` is damaged, or was made with another SECRET_KEY
                or context.
        """
        try:
            form, key_id, encoded = encrypted.split(".")
            raw = base64.b64decode(encoded, validate=True)
            if (form, key_id) != (FORMAT, self._key_id):
                raise WrongSecretKey
            nonce, ciphertext = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
            return self._aes.decrypt(nonce, ciphertext, context.encode()).decode()
        except (ValueError, InvalidTag) as err:
            raise WrongSecretKey from err


def _derive(material: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(material)
