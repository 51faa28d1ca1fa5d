"""A vault on a store that speaks S3: where it is, and with whose keys.

Keys come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`) or from a TOML file with the fields
`access_key_id` and `secret_access_key` that its owner alone may read. No other place is asked, and none is shown.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from obstore.store import S3Store

from salus.core.errors import IntegrityError
from salus.vault.storage import ObjectStorage

TIMEOUT = "10s"
CONNECT_TIMEOUT = "3s"
RETRIES_MAX = 3
_FIELDS = ("access_key_id", "secret_access_key")


class CredentialsError(IntegrityError):
    """The keys of the vault's store are missing, or others than their owner may read them."""

    code = "vault.credentials"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where on which server a vault lies."""

    name: str
    endpoint: str | None = None  # None: Amazon's own.
    region: str = "us-east-1"
    prefix: str | None = None
    credentials: Path | None = None  # None: from the environment.


def s3_storage(bucket: Bucket, environment: Mapping[str, str]) -> ObjectStorage:
    """The storage behind a bucket. Nothing is asked of the server yet.

    Raises:
        CredentialsError: no keys, or not its owner's alone.
    """
    key, secret = _from(environment) if bucket.credentials is None else _read(bucket.credentials)
    store = S3Store(
        bucket.name,
        prefix=bucket.prefix,
        endpoint=bucket.endpoint,
        region=bucket.region,
        access_key_id=key,
        secret_access_key=secret,
        virtual_hosted_style_request=False,
        client_options={
            "timeout": TIMEOUT,
            "connect_timeout": CONNECT_TIMEOUT,
            "allow_http": (bucket.endpoint or "").startswith("http://"),
        },
        retry_config={"max_retries": RETRIES_MAX},
    )
    return ObjectStorage(store)


def _from(environment: Mapping[str, str]) -> tuple[str, str]:
    key, secret = (environment.get(f"AWS_{field.upper()}", "") for field in _FIELDS)
    if not key or not secret:
        raise CredentialsError(reason="not in the environment")
    return key, secret


def _read(path: Path) -> tuple[str, str]:
    try:
        if path.stat().st_mode & 0o077:
            raise CredentialsError(reason="others may read the file")
        found = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise CredentialsError(reason="the file does not read") from None
    key, secret = (found.get(field) for field in _FIELDS)
    if not isinstance(key, str) or not isinstance(secret, str) or not key or not secret:
        raise CredentialsError(reason="a field is missing")
    return key, secret
