"""Where a command finds its settings: in the environment, or in a data folder."""

import click
import shlex
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, wraps
from pathlib import Path
from scheduler_api.credentials import BASE_URL
from scheduler_api.settings import Settings, from_env
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

PROGRAM, OPTION = "scheduler", "--data"
# Where the variables of clients come from.
OF_CLIENTS = (
    f"use {OPTION} DIR, or the variables of `{PROGRAM} tenant create NAME --env`"
)
CREDENTIALS, SECRET_KEY = "credentials.env", "secret.key"

P = ParamSpec("P")
R = TypeVar("R")


class Environment:
    """The settings of the command line, read when a command needs them.

    So help needs none.
    """

    def __init__(self, variables: Mapping[str, str], folder: Path | None) -> None:
        """
        Args:
            folder: the data folder of `scheduler up`; None: the variables have it all.
        """
        self._variables = variables
        self.folder = folder

    @cached_property
    def settings(self) -> Settings:
        """The settings.

        Raises: SettingsError; click.BadParameter: the folder cannot be used.
        """
        if self.folder is None:
            return from_env(self._variables)
        found = _read_folder(self.folder)
        for name, value in found.items():
            # A command such as `empty-store` must never guess which store is meant.
            if self._variables.get(name, value) not in ("", value):
                raise _refusal(
                    f"{name} is set to another value than in {self.folder}: unset it,"
                    f" or leave out {OPTION}"
                )
        return from_env({**self._variables, **found})

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment variables, with those for clients from the data folder.

        Raises: click.BadParameter: the folder cannot be used.
        """
        if self.folder is None:
            return self._variables
        return {**self._variables, **_read_credentials(self.folder)}

    @property
    def program(self) -> str:
        """How to call the command line with the same settings."""
        if self.folder is None:
            return PROGRAM
        return f"{PROGRAM} {OPTION} {shlex.quote(str(self.folder))}"


def pass_settings(
    command: Callable[Concatenate[Settings, P], R],
) -> Callable[P, R]:
    """Make the settings the first argument of a command."""

    @wraps(command)
    def with_settings(*args: P.args, **values: P.kwargs) -> R:
        return command(settings_of(click.get_current_context()), *args, **values)

    return with_settings


def settings_of(ctx: click.Context) -> Settings:
    """Return the settings.

    Raises: SettingsError; click.BadParameter: the data folder cannot be used.
    """
    return _environment_of(ctx).settings


def variables_of(ctx: click.Context) -> Mapping[str, str]:
    """Return the environment variables, with those that clients read.

    Raises: click.BadParameter: the data folder cannot be used.
    """
    return _environment_of(ctx).variables


def require(variables: Mapping[str, str], names: Iterable[str]) -> None:
    """Check that variables which clients read are set.

    Raises: click.ClickException.
    """
    missing = [name for name in names if not variables.get(name)]
    if missing:
        raise click.ClickException(f"{' and '.join(missing)} must be set: {OF_CLIENTS}")


def folder_of(ctx: click.Context) -> Path | None:
    """Return the data folder that the option before the command names."""
    return _environment_of(ctx).folder


def program_of(ctx: click.Context) -> str:
    """Return how to call the command line with the same settings."""
    return _environment_of(ctx).program


def _environment_of(ctx: click.Context) -> Environment:
    environment = ctx.find_object(Environment)
    assert environment is not None
    return environment


def _read_folder(folder: Path) -> dict[str, str]:
    """Return the variables that `scheduler up` gives to its processes."""
    stored = _read_credentials(folder)
    secret_key = _read_file(folder, SECRET_KEY).strip()
    found = {
        "REDIS_URL": stored.get("REDIS_URL", ""),
        "SECRET_KEY": secret_key,
        "SCHED_STATE_DIR": str(folder.resolve()),
        "PORT": str(urlsplit(stored.get(BASE_URL, "")).port or ""),
    }
    return {name: value for name, value in found.items() if value}


def _read_credentials(folder: Path) -> dict[str, str]:
    lines = _read_file(folder, CREDENTIALS).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _read_file(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text()
    except FileNotFoundError as err:
        raise _refusal(f"{folder} has no {name}: `scheduler up` writes it") from err
    except OSError as err:
        raise _refusal(f"{err.filename} cannot be read: {err.strerror}") from err


def _refusal(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint=OPTION)
