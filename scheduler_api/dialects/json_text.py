"""JSON bodies that are signed or stored byte for byte. Pure."""

import json
import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def dump(value: object) -> bytes:
    """Compact JSON in UTF-8; lone surrogates, which UTF-8 lacks, are escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
