"""Log lines on standard error, as text (logfmt) or as JSON, with times in UTC."""

import logging
import orjson
import re
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType

JSON, TEXT = "json", "text"
# Loggers of libraries; at lower levels, they log each of their steps.
LIBRARIES = ("rq", "rq.worker", "rq.job", "rq_scheduler", "asyncio")

# Values such as an owner have the same form as in text.
AS_TEXT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME

_TO_QUOTE = re.compile('[\x00-\x20"=\x7f-\xa0\u2028\u2029]')
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Message:
    """A log message: a name and fields. Its text is made only when it is written."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str, fields: Mapping[str, object]) -> None:
        self.name = name
        self.fields = fields

    def __str__(self) -> str:
        words = [self.name]
        for field, value in self.fields.items():
            if value is not None:
                text = str(value)
                if not text or _TO_QUOTE.search(text):
                    text = _quote(text)
                words.append(f"{field}={text}")
        return " ".join(words)


def line(name: str, /, **fields: object) -> Message:
    """Return a log message; fields that are None are left out.

    A field may have any name, also `name`.

    In text, values that are empty or have blanks, `"`, `=` or control characters are
    quoted. In quoted values `"` becomes `'`, a line break becomes a space, and any
    other control character becomes its escape sequence.
    """
    return Message(name, fields)


def _quote(text: str) -> str:
    text = text.replace('"', "'").replace("\n", " ").replace("\r", "")
    return f'"{_CONTROL.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


class TextFormatter(logging.Formatter):
    """Writes `<time> <level> <logger> <message>`, then the traceback, if any."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"{utc(record.created)} {record.levelname} {record.name}"
        text = f"{head} {record.getMessage()}"
        trace = _traceback(self, record)
        return f"{text}\n{trace}" if trace else text


class JsonFormatter(logging.Formatter):
    """Writes one JSON object: `time`, `level`, `logger`, `message`, then the fields.

    The names of the fields are those of the text.
    """

    def format(self, record: logging.LogRecord) -> str:
        msg = record.msg
        entry: dict[str, object] = {
            "time": utc(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": msg.name if isinstance(msg, Message) else record.getMessage(),
        }
        if isinstance(msg, Message):
            entry |= {k: v for k, v in msg.fields.items() if v is not None}
        if trace := _traceback(self, record):
            entry["exception"] = trace
        return to_json(entry)


def to_json(entry: Mapping[str, object]) -> str:
    """Return an object as one line of JSON; unusual values become text."""
    try:
        return orjson.dumps(entry, default=str, option=AS_TEXT).decode()
    except orjson.JSONEncodeError:
        # A text with a lone surrogate, or a large integer.
        plain = {key: _valid_unicode(value) for key, value in entry.items()}
        return orjson.dumps(plain).decode()


def _valid_unicode(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return formatter.formatException(record.exc_info)


def utc(time_s: float) -> str:
    """Format Unix time as `YYYY-MM-DDTHH:MM:SS.mmmZ`."""
    second, ms = divmod(int(time_s * 1000), 1000)
    return f"{_format_second(second)}.{ms:03d}Z"


@lru_cache(maxsize=2)
def _format_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def formatter(format_: str) -> logging.Formatter:
    """Return the formatter of `TEXT` or `JSON`."""
    return JsonFormatter() if format_ == JSON else TextFormatter()


def set_up(*, level: str = "info", format_: str = TEXT) -> None:
    """Log to standard error in this process, unless it logs already.

    Exceptions that end the process or a thread, and Python's warnings, are logged too.
    """
    if logging.root.handlers:
        return
    # No format has these fields, and they are expensive to collect.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Python documents this: lines then have no position of their caller.
    logging._srcfile = None
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(format_))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    handler.setLevel(threshold)
    logging.basicConfig(level=max(threshold, logging.INFO), handlers=[handler])
    logging.getLogger("scheduler").setLevel(threshold)
    warnings.showwarning = _log_warning
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def silence_libraries() -> None:
    """Make libraries log warnings and errors only, in the format of this process."""
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.WARNING)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    *_: object,
    **__: object,
) -> None:
    """Log a warning of Python or a library, in place of `warnings.showwarning`."""
    problem = f"{category.__name__}: {message}"
    source = f"{filename}:{lineno}"
    log = logging.getLogger("scheduler.process")
    log.warning(line("python.warning", problem=problem, source=source))


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log = logging.getLogger("scheduler.process")
    log.critical(line("process.failed"), exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and args.exc_type is not SystemExit:
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
