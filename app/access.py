"""API keys: who may ask what."""

import hmac
from collections.abc import Sequence
from enum import Enum, auto
from hashlib import sha256

from fastapi.params import Depends
from fastapi.security import APIKeyHeader
from pydantic import SecretStr

from app.errors import AdminOffError, UnauthorizedError

HEADER = "X-API-Key"
_HEADER_BYTES = HEADER.lower().encode()

api_key = APIKeyHeader(
    name=HEADER, scheme_name="ApiKey", description="One of FOLDREC_API_KEYS.", auto_error=False
)
admin_key = APIKeyHeader(
    name=HEADER, scheme_name="AdminKey", description="FOLDREC_ADMIN_KEY.", auto_error=False
)


class Access(Enum):
    """What a route asks of its caller."""

    OPEN = auto()
    KEY = auto()
    ADMIN = auto()

    @classmethod
    def of(cls, dependencies: Sequence[Depends]) -> "Access":
        """Read it off the security dependencies of a route, which are also what OpenAPI shows."""
        schemes = [each.dependency for each in dependencies]
        if admin_key in schemes:
            return cls.ADMIN
        return cls.KEY if api_key in schemes else cls.OPEN


class KeyRing:
    """The keys of one service, as digests of one length, so that comparing takes the same time for all."""

    def __init__(self, api_keys: Sequence[SecretStr], admin: SecretStr | None) -> None:
        self._keys = [_digest(key) for key in api_keys]
        self._admin = [] if admin is None else [_digest(admin)]

    def check(self, access: Access, headers: dict[bytes, bytes]) -> None:
        """Let the caller pass.

        Raises:
            UnauthorizedError: the key is missing or wrong.
            AdminOffError: there is no admin key to compare with.
        """
        match access:
            case Access.KEY if self._keys:
                accepted, wanted = self._keys, "one of this service's API keys"
            case Access.ADMIN if self._admin:
                accepted, wanted = self._admin, "this service's admin key"
            case Access.ADMIN:
                raise AdminOffError("admin is off on this service: start it with FOLDREC_ADMIN_KEY set")
            case _:
                return
        shown = headers.get(_HEADER_BYTES)
        if shown is None:
            raise UnauthorizedError(f"the header {HEADER} is missing: send {wanted} in it")
        digest = sha256(shown).digest()
        if not any([hmac.compare_digest(digest, each) for each in accepted]):  # noqa: C419 - compare with every key
            raise UnauthorizedError(f"the key in {HEADER} is not {wanted}")


def _digest(key: SecretStr) -> bytes:
    return sha256(key.get_secret_value().encode()).digest()
