"""Settings: environment variables ``FOLDREC_*``, typed, each with one line of documentation."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.errors import ConfigError
from models.spelling import did_you_mean

PREFIX = "FOLDREC_"
_HOST = re.compile(r"(https?://)?(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:\d{1,5})?")


def _split(value: object) -> object:
    """Split ``"one,two"`` as it stands in an environment variable."""
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


def _image_host(host: str) -> str:
    """Refuse what is no host of a Content-Security-Policy, or would be more than one."""
    if not _HOST.fullmatch(host):
        raise ValueError("a host is like images.example.org, *.example.org or http://127.0.0.1:9000")
    return host


def _header_safe(key: SecretStr) -> SecretStr:
    """Refuse a key that no client could send in a header."""
    text = key.get_secret_value()
    if not text or not all("!" <= character <= "~" for character in text):
        raise ValueError("a key is printable ASCII without spaces, and not empty")
    return key


Key = Annotated[SecretStr, AfterValidator(_header_safe)]
ImageHost = Annotated[str, AfterValidator(_image_host)]


class Settings(BaseSettings):
    """Everything that can be set from outside."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    artifacts: Path = Field(Path("artifacts"), description="directory that `scripts.train` publishes to")
    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    max_k: int = Field(1000, ge=1, le=100_000, description="largest `k` a request may ask for")
    max_body_bytes: int = Field(1_048_576, ge=1, description="largest request body, in bytes; over it: 413")
    api_keys: Annotated[tuple[Key, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="comma-separated keys, one of which `X-API-Key` must carry; none: no key is asked for"
    )
    admin_key: Key | None = Field(
        None, description="the key that `X-API-Key` must carry on `/admin/*`; unset: admin is off"
    )
    compare_with: Path | None = Field(
        None,
        description="a second model in memory, for lists side by side (`model_version`): a version in the "
        "artifacts directory, the directory of a version, or another artifacts directory",
    )
    reload_seconds: float = Field(
        1.0, gt=0, le=86_400, description="seconds between two looks at `CURRENT` for a new artifact"
    )
    workers: int = Field(
        1, ge=1, le=256, description="processes that answer; they share one copy of the model in memory"
    )
    threads: int = Field(
        1,
        ge=1,
        le=64,
        description="threads for heavy requests (batches), beside the event loop; they share one core with "
        "light requests, which wait longer for several than for one",
    )
    max_in_flight: int = Field(
        256, ge=1, description="requests with a body, arriving or being answered, at a time; over it: 429"
    )
    max_heavy_in_flight: int = Field(
        16, ge=1, description="heavy requests that run or wait for a thread, at a time; over it: 429"
    )
    drain_seconds: int = Field(
        10, ge=1, le=3600, description="seconds that requests in flight are given to finish after SIGTERM"
    )
    cursor_key: Key | None = Field(
        None,
        description="secret that signs cursors, the same on all replicas; unset: drawn at start",
    )
    cursor_models: int = Field(
        1, ge=0, le=16, description="replaced models that are kept for cursors of theirs, in memory"
    )
    cursor_seconds: float = Field(
        600, ge=0, le=86_400, description="seconds that a replaced model is kept for cursors of its"
    )
    recall_sample: float = Field(
        0.01, ge=0, le=1, description="share of the lists that are answered again exactly, to watch recall"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="`debug`, `info`, `warning` or `error`"
    )
    access_log: bool = Field(False, description="one log line per request")
    playground: bool = Field(
        True, description="the page at `/` that shows what the service does; `off` removes it"
    )
    image_hosts: Annotated[tuple[ImageHost, ...], NoDecode, BeforeValidator(_split)] = Field(
        (),
        description="comma-separated hosts that the page may show pictures of items from (`image_url` in "
        "their metadata), such as `images.example.org`",
    )

    @model_validator(mode="after")
    def _admin_key_is_its_own(self) -> Self:
        if self.admin_key is not None and self.admin_key in self.api_keys:
            raise ValueError(f"{PREFIX}ADMIN_KEY must not be one of {PREFIX}API_KEYS")
        return self

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment.

        Raises:
            ConfigError: a variable has a wrong value, or starts with ``FOLDREC_`` and is none of ours. The
                message has one line for each and never shows a key.
        """
        faults = _unknown_variables(os.environ, cls.model_fields)
        try:
            settings = cls()
        except ValidationError as error:
            faults += [_fault(detail["loc"], detail["msg"]) for detail in error.errors(include_url=False)]
        if faults:
            raise ConfigError("\n".join(faults))
        return settings


def variable(field: str) -> str:
    """Name the environment variable of a field of :class:`Settings`."""
    return PREFIX + field.upper()


def _unknown_variables(environment: Mapping[str, str], fields: Iterable[str]) -> list[str]:
    known = {field.upper() for field in fields}
    faults = []
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper().removeprefix(PREFIX) not in known:
            hint = did_you_mean(name.upper().removeprefix(PREFIX), known, prefix=PREFIX)
            everything = ", ".join(PREFIX + each for each in sorted(known))
            faults.append(f"{name} is not a setting{hint or '; known are ' + everything}")
    return faults


def _fault(location: tuple[int | str, ...], message: str) -> str:
    """Say which variable is wrong and why; keys are named, not shown."""
    if not location:
        return message.removeprefix("Value error, ")
    field = str(location[0])
    value = os.environ.get(variable(field))
    shown = "" if value is None or "key" in field else f"={value!r}"
    return f"{variable(field)}{shown}: {message}"


def settings_or_exit() -> Settings:
    """Read the environment; on a fault print what is wrong and leave the process with exit code 2."""
    try:
        return Settings.from_environment()
    except ConfigError as error:
        print("\n".join(f"foldrec: {line}" for line in str(error).splitlines()), file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None


def settings_table() -> str:
    """Render every setting as a Markdown table: variable, default, meaning."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "(none)" if default is None or default == () else f"`{str(default).lower()}`"
        lines.append(f"| `{variable(name)}` | {shown} | {field.description} |")
    return "\n".join(lines)
