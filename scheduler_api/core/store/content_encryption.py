"""Encrypts the content of events for the store: AES-256-GCM, keys from SECRET_KEY.

The encrypted form is a header, the encrypted head, and the rest. If the content is not
short, the rest is encrypted on its own, so that a reader of the head need not read a
large body.

The header has the number of parts, the id of the master key, a salt, a nonce, and the
length of the encrypted head. The key of the content is derived from the master key and
the salt. Each process has a salt of its own, so random nonces do not repeat.
"""

import hashlib
import hmac
import os
import struct
from collections.abc import Iterable
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from functools import lru_cache
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.settings.engine import EngineSettings

HEADER = struct.Struct(">B4s8s12sI")
ONE_PART, TWO_PARTS = 1, 2
# Shorter content is encrypted in one part, because each part takes a microsecond.
SHORT_BYTES = 1_024
TAG_BYTES = 16
SALTS_CACHED = 4_096
DAMAGED = "content: the encrypted form is damaged"

KEY_ID_BYTES = 4

# The keys with which this process can decrypt content, by their ids.
_master_keys: dict[bytes, bytes] = {}


class UnknownKey(UnreadableRecord):
    """The content was encrypted with a SECRET_KEY that this process does not have."""


def derive(secret_key: str, info: bytes) -> bytes:
    """Return the key for one use, 32 bytes, from a SECRET_KEY."""
    material = secret_key.encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(material)


def key_id(secret_key: str) -> bytes:
    """Return the id that names a SECRET_KEY in the store."""
    return derive(secret_key, b"scheduler_api key id 1")[:KEY_ID_BYTES]


class ContentCipher:
    """Encrypts content with the key of this process.

    `decrypt` then decrypts what this process or another one with the same key, or with
    one of the older keys, has encrypted.
    """

    def __init__(self, secret_key: str, older_keys: Iterable[str] = ()) -> None:
        for each in (secret_key, *older_keys):
            _master_keys[key_id(each)] = derive(each, b"scheduler_api content 1")
        self._key_id = key_id(secret_key)
        self._salt = os.urandom(8)
        self._aes = _aes(self._key_id, self._salt)

    def has_encrypted(self, stored: bytes) -> bool:
        """Whether stored content, or its beginning, was encrypted with this key."""
        return is_encrypted(stored) and stored[1 : 1 + KEY_ID_BYTES] == self._key_id

    def encrypt(self, head: bytes, rest: bytes) -> bytes:
        """Encrypt content. The time is 2 us, and 0.2 ms for each MiB."""
        parts = TWO_PARTS
        if len(head) + len(rest) <= SHORT_BYTES:
            head, rest, parts = head + rest, b"", ONE_PART
        nonce = os.urandom(12)
        size = len(head) + TAG_BYTES
        header = HEADER.pack(parts, self._key_id, self._salt, nonce, size)
        encrypted = self._aes.encrypt(nonce, head, header)
        if parts == ONE_PART:
            return header + encrypted
        return b"".join(
            (header, encrypted, self._aes.encrypt(_second(nonce), rest, header))
        )


def content_cipher(settings: EngineSettings) -> ContentCipher | None:
    """Return the cipher for new content; None if content is not to be encrypted.

    In both cases, this process can decrypt content afterwards.
    """
    cipher = ContentCipher(settings.secret_key, settings.older_secret_keys)
    return cipher if settings.encrypt_content else None


def is_encrypted(stored: bytes) -> bool:
    """Whether stored content is encrypted. Content that is not begins with `{`."""
    return stored[:1] in (b"\1", b"\2")


def decrypt(stored: bytes) -> tuple[bytes, bytes]:
    """Return the parts of encrypted content: the head, and the rest if it is a part.

    Raises: UnreadableRecord, UnknownKey.
    """
    first = decrypt_first(stored)
    if first is None:
        raise UnreadableRecord(DAMAGED)
    head, end = first
    if stored[0] == ONE_PART:
        return head, b""
    _, key, salt, nonce, _ = HEADER.unpack_from(stored)
    rest = memoryview(stored)[end:]
    return head, _decrypt(stored, rest, key=key, salt=salt, nonce=_second(nonce))


def plain(stored: bytes) -> bytes:
    """Return what is stored, both parts together; decrypt it if it is encrypted.

    Raises: UnreadableRecord, UnknownKey.
    """
    return b"".join(decrypt(stored)) if is_encrypted(stored) else stored


def decrypt_first(stored: bytes) -> tuple[bytes, int] | None:
    """Return the first part of content, and its end in `stored`.

    `stored` may be the beginning of the content. None if it is too short.

    Raises: UnreadableRecord, UnknownKey.
    """
    if len(stored) < HEADER.size:
        return None
    _, key, salt, nonce, size = HEADER.unpack_from(stored)
    end = HEADER.size + size
    if len(stored) < end:
        return None
    first = stored[HEADER.size : end]
    return _decrypt(stored, first, key=key, salt=salt, nonce=nonce), end


def _decrypt(
    stored: bytes, part: bytes | memoryview, *, key: bytes, salt: bytes, nonce: bytes
) -> bytes:
    try:
        return _aes(key, salt).decrypt(nonce, part, stored[: HEADER.size])
    except KeyError as err:
        raise UnknownKey(f"content: no SECRET_KEY has the id {key.hex()}") from err
    except (InvalidTag, ValueError) as err:
        raise UnreadableRecord(DAMAGED) from err


def _second(nonce: bytes) -> bytes:
    """Return the nonce of the second part."""
    return bytes((nonce[0] ^ 0xFF,)) + nonce[1:]


@lru_cache(SALTS_CACHED)
def _aes(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(hmac.digest(_master_keys[key], salt, hashlib.sha256))
