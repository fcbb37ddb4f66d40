"""One line per unit of work: `name key=value …`, on standard error."""

import logging
import sys

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def set_up(level: int = logging.INFO) -> None:
    """Sends this process's log lines to standard error."""
    logging.basicConfig(level=level, format=FORMAT, stream=sys.stderr)


def line(name: str, **fields: object) -> str:
    """A log line; fields that are None are left out, blanks and quotes are quoted."""
    words = [name]
    for field, value in fields.items():
        if value is None:
            continue
        text = str(value)
        if not text or any(c in text for c in ' "=\n\r'):
            text = (
                '"' + text.replace('"', "'").replace("\n", " ").replace("\r", "") + '"'
            )
        words.append(f"{field}={text}")
    return " ".join(words)
