"""Encrypts with the present SECRET_KEY what older ones have encrypted.

Only what lives until somebody deletes it: schedules, URL groups and the secrets of
tenants. Events and their logs end with their retention.
"""

from collections.abc import Iterator
from contextlib import suppress
from scheduler_api.core.batches import batches
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Owner
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.content_encryption import ContentCipher
from scheduler_api.core.store.records import SCHEDULE
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.encryption import WrongSecretKey
from scheduler_api.core.tenants.url_groups import Groups
from typing import cast

BATCH = 100
# As many bytes of a template as tell the key.
START_BYTES = 16


def encrypt_again(cell: Cell, tenants: Tenants) -> int:
    """Encrypt again what has an older key; return how many records.

    What cannot be decrypted stays as it is, and so does content if this process
    encrypts none. The call may be repeated after an error. Redis: reads of the
    beginning of each schedule, and of each URL group and tenant.

    Raises: OutOfMemoryError, StoreFull, Conflict.
    """
    changed = 0
    for tenant_id in tenants.all_ids():
        with suppress(WrongSecretKey, NotFound):
            changed += tenants.encrypt_again(tenant_id)
    if cell.cipher is None:
        return changed
    owners = cast(set[bytes], cell.client.smembers(keys.owners(cell.prefix)))
    groups = Groups(cell)
    for owner in (Owner.parse(each.decode()) for each in sorted(owners)):
        changed += groups.encrypt_again(owner)
        for templates in batches(_templates(cell, owner), BATCH):
            changed += _encrypt_templates(cell, cell.cipher, templates)
    return changed


def _templates(cell: Cell, owner: Owner) -> Iterator[str]:
    """Yield the keys of the present templates of an owner's schedules."""
    index, code = keys.schedules(cell.prefix, str(owner)), SCHEDULE.code("revision")
    found = (member.decode() for member, _ in cell.client.zscan_iter(index))
    for ids in batches(found, BATCH):
        with cell.client.pipeline(transaction=False) as pipe:
            for each in ids:
                pipe.hget(keys.schedule(cell.prefix, each), code)
            revisions = pipe.execute()
        for each, revision in zip(ids, revisions, strict=True):
            if revision is not None:
                yield keys.template(cell.prefix, each, revision.decode())


def _encrypt_templates(cell: Cell, cipher: ContentCipher, names: list[str]) -> int:
    with cell.client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.getrange(name, 0, START_BYTES)
        starts = pipe.execute()
    changed = 0
    for name, start in zip(names, starts, strict=True):
        if start and not cipher.has_encrypted(start):
            changed += _encrypt_template(cell, cipher, name)
    return changed


def _encrypt_template(cell: Cell, cipher: ContentCipher, name: str) -> bool:
    """Return whether there was such a template that could be read."""
    stored = cast(bytes | None, cell.client.get(name))
    try:
        content = codec.decode_content(stored or b"")
    except UnreadableRecord:
        return False
    # A template never changes. If it was deleted meanwhile, it stays deleted.
    encrypted = codec.encode_content(content, cipher)
    return bool(cell.client.set(name, encrypted, xx=True, keepttl=True))
