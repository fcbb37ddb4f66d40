"""Log lines in logfmt: `name key=value …`, on standard error."""

import logging
import re
import sys
import time
from functools import lru_cache

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

_TO_QUOTE = re.compile(r'[ "=\n\r]')


class Formatter(logging.Formatter):
    """Formats times like `logging.Formatter`, but caches the text of each second."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return f"{_format_second(int(record.created))},{int(record.msecs):03d}"


@lru_cache(maxsize=2)
def _format_second(second: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))


def set_up(level: int = logging.INFO) -> None:
    """Log to standard error in this process."""
    # FORMAT uses none of these fields, and they are expensive to collect.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(FORMAT))
    logging.basicConfig(level=level, handlers=[handler])


def line(name: str, **fields: object) -> str:
    """Format a log line; fields that are None are left out.

    Values that are empty or have blanks, `"`, `=` or line breaks are quoted. In quoted
    values `"` becomes `'`, and a line break becomes a space.
    """
    words = [name]
    for field, value in fields.items():
        if value is None:
            continue
        text = str(value)
        if not text or _TO_QUOTE.search(text):
            text = (
                '"' + text.replace('"', "'").replace("\n", " ").replace("\r", "") + '"'
            )
        words.append(f"{field}={text}")
    return " ".join(words)
