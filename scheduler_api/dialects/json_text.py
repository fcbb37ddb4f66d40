"""Writes JSON whose exact bytes are signed or stored. Pure."""

import json
import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def dump(value: object) -> bytes:
    """Return compact JSON in UTF-8.

    Lone surrogates are escaped, because UTF-8 cannot encode them.
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
