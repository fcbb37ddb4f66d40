"""Says what is wrong with a text that is not JSON."""

import orjson


def json_fault(raw: bytes, err: orjson.JSONDecodeError) -> str:
    """Return what is wrong, as the end of a sentence; orjson gave the error.

    orjson says of text that is not UTF-8 only that it has surrogates.
    """
    try:
        raw.decode()
    except UnicodeDecodeError as bad:
        byte = f"0x{raw[bad.start]:02x}"
        return f"is not valid UTF-8: byte {byte} at position {bad.start}"
    return f"is not valid JSON: {err}"
