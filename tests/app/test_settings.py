"""Settings: read from the environment, refused by name, documented."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings, settings_table, variable
from models.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No FOLDREC_* variable but those that a test sets."""
    for name in list(os.environ):
        if name.startswith("FOLDREC_"):
            monkeypatch.delenv(name)


def test_every_setting_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each field is set by the variable that the table names."""
    values = {
        "artifacts": ("/srv/models", Path("/srv/models")),
        "host": ("0.0.0.0", "0.0.0.0"),
        "port": ("9000", 9000),
        "max_k": ("50", 50),
        "max_body_bytes": ("4096", 4096),
        "api_keys": ("one-key, another-key", ["one-key", "another-key"]),
        "admin_key": ("the-admin-key", "the-admin-key"),
        "compare_with": ("/srv/other", Path("/srv/other")),
        "reload_seconds": ("0.5", 0.5),
        "workers": ("3", 3),
        "threads": ("4", 4),
        "max_in_flight": ("99", 99),
        "max_heavy_in_flight": ("9", 9),
        "drain_seconds": ("3", 3),
        "cursor_key": ("c", "c"),
        "cursor_models": ("3", 3),
        "cursor_seconds": ("30", 30.0),
        "recall_sample": ("0.5", 0.5),
        "log_level": ("debug", "debug"),
        "access_log": ("true", True),
        "playground": ("off", False),
        "image_hosts": ("images.example.org, *.example.net", ["images.example.org", "*.example.net"]),
    }
    assert set(values) == set(Settings.model_fields)
    for field, (text, _) in values.items():
        monkeypatch.setenv(variable(field), text)
    settings = Settings.from_environment()
    for field, (_, expected) in values.items():
        assert _plain(getattr(settings, field)) == expected


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FOLDREC_PORT", "http", "FOLDREC_PORT='http'"),
        ("FOLDREC_PORT", "70000", "FOLDREC_PORT='70000'"),
        ("FOLDREC_MAX_K", "0", "FOLDREC_MAX_K='0'"),
        ("FOLDREC_RELOAD_SECONDS", "nan", "FOLDREC_RELOAD_SECONDS='nan'"),
        ("FOLDREC_RELOAD_SECONDS", "inf", "FOLDREC_RELOAD_SECONDS='inf'"),
        ("FOLDREC_LOG_LEVEL", "loud", "FOLDREC_LOG_LEVEL='loud'"),
        ("FOLDREC_IMAGE_HOSTS", "a.example; script-src *", "FOLDREC_IMAGE_HOSTS='a.example; script-src *'"),
        ("FOLDREC_MAXK", "10", "FOLDREC_MAXK is not a setting (did you mean 'FOLDREC_MAX_K'?)"),
        ("FOLDREC_THREAD", "2", "FOLDREC_THREAD is not a setting (did you mean 'FOLDREC_THREADS'?)"),
        (
            "FOLDREC_COLOUR",
            "red",
            "FOLDREC_COLOUR is not a setting; known are FOLDREC_ACCESS_LOG, FOLDREC_ADMIN_KEY, ",
        ),
    ],
)
def test_faulty_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    """A wrong value or an unknown name is refused by an error that names it."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        Settings.from_environment()
    assert words in str(raised.value)


def test_all_faults_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two faults make two lines."""
    monkeypatch.setenv("FOLDREC_PORT", "http")
    monkeypatch.setenv("FOLDREC_THREADS", "0")
    with pytest.raises(ConfigError) as raised:
        Settings.from_environment()
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"FOLDREC_API_KEYS": "good-key,bad s3cret"}, "FOLDREC_API_KEYS"),
        ({"FOLDREC_ADMIN_KEY": "bad s3cret"}, "FOLDREC_ADMIN_KEY"),
        ({"FOLDREC_ADMIN_KEY": "s3cret", "FOLDREC_API_KEYS": "s3cret"}, "must not be one of"),
    ],
)
def test_faulty_key_is_named_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str
) -> None:
    """The message about a key does not contain it."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        Settings.from_environment()
    assert words in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_settings_do_not_print_keys() -> None:
    """A representation of the settings, as in a log, hides the keys."""
    settings = Settings(api_keys=("s3cret-1",), admin_key="s3cret-2")  # type: ignore[arg-type]
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "app"],
        [sys.executable, "-m", "uvicorn", "app.main:create_app", "--factory", "--port", "0"],
    ],
    ids=["python -m app", "uvicorn --factory"],
)
def test_start_stops_with_code_2_and_no_traceback(command: list[str]) -> None:
    """A faulty environment ends the process before it listens, with one line for the operator."""
    environment = {**os.environ, "FOLDREC_PORT": "http"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "foldrec: FOLDREC_PORT='http'" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_shows_the_table() -> None:
    """``python -m app --help`` lists every variable."""
    done = subprocess.run(
        [sys.executable, "-m", "app", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert settings_table() in done.stdout


def test_readme_has_the_table() -> None:
    """README's table of settings is the one that the code renders."""
    assert settings_table() in (ROOT / "README.md").read_text()
