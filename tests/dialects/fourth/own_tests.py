"""Tests of the setting, the secret and the cron grammar of Postbox."""

import pytest
from click.testing import CliRunner, Result
from pathlib import Path
from scheduler_api.cli import main
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.dialects.postbox.settings import PostboxSettings
from scheduler_api.settings import from_env

ENVIRON = {"REDIS_URL": "redis://store/0", "SECRET_KEY": "0123456789abcdef"}


def run(environ: dict[str, str], *words: str) -> Result:
    return CliRunner().invoke(main, words, env=environ)


def test_its_setting_is_read_and_named_in_errors() -> None:
    settings = from_env(ENVIRON | {"SCHED_POSTBOX_TIMEOUT_MS": "1234"})

    assert settings.of(PostboxSettings).timeout_ms == 1234
    with pytest.raises(SettingsError, match="SCHED_POSTBOX_TIMEOUT_MS: expected"):
        from_env(ENVIRON | {"SCHED_POSTBOX_TIMEOUT_MS": "x"})


def test_a_new_tenant_gets_its_secret(store_url: str, tmp_path: Path) -> None:
    environ = ENVIRON | {"REDIS_URL": store_url}

    result = run(environ, "tenant", "create", "one", "--env")

    assert "POSTBOX_SECRET=" in result.output
    assert "POSTBOX_URL=http://127.0.0.1:8080/postbox" in result.output


def test_the_preview_accepts_its_grammar() -> None:
    accepted = run({}, "cron", "0 0 0 L * *", "--dialect", "postbox")
    refused = run({}, "cron", "0 0 * * 5#2", "--dialect", "postbox")

    assert (accepted.exit_code, refused.exit_code) == (0, 1)
