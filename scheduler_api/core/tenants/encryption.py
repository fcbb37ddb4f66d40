"""Secrets as they lie in the store: AES-256-GCM under a key made of SECRET_KEY."""

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
    """SECRET_KEY: the store's secrets were written under another one."""


class Seal:
    """Encrypts and decrypts short texts; `<format>.<key id>.<nonce and ciphertext>`."""

    def __init__(self, secret_key: str) -> None:
        material = secret_key.encode()
        self._cipher = AESGCM(_derive(material, b"scheduler_api seal 1"))
        self._key_id = _derive(material, b"scheduler_api key id 1")[:4].hex()

    def close(self, text: str, context: str) -> str:
        """Encrypt `text` so that it opens in the same `context` only."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), context.encode())
        return f"{FORMAT}.{self._key_id}.{base64.b64encode(sealed).decode()}"

    def open(self, sealed: str, context: str) -> str:
        """Decrypt what `close` gave.

        Raises:
            WrongSecretKey: written under another key, or in another context.
        """
        try:
            form, key_id, encoded = sealed.split(".")
            raw = base64.b64decode(encoded, validate=True)
            if (form, key_id) != (FORMAT, self._key_id):
                raise WrongSecretKey
            nonce, ciphertext = raw[:NONCE_BYTES], raw[NONCE_BYTES:]
            return self._cipher.decrypt(nonce, ciphertext, context.encode()).decode()
        except (ValueError, InvalidTag) as err:
            raise WrongSecretKey from err


def _derive(material: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(material)
