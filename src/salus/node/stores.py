"""Where a member's stores are: in its folder, or where the file `stores.toml` in it says. Each section may be left out.

    [keeper]
    url = "postgresql+psycopg://salus@db.internal/keeper"

    [gateway]
    url = "postgresql+psycopg://salus@db.internal/gateway"

    [vault]
    bucket = "mercy-vault"
    endpoint = "https://s3.internal"        # also: region, prefix
    credentials = "/etc/salus/vault.toml"   # else from the environment

A file with a password in it must be its owner's alone.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import Engine

from salus.core.errors import IntegrityError
from salus.core.faults import NO_FAULTS, Faults
from salus.keeper.postgres import postgres_engine
from salus.keeper.store import SubjectStore, sqlite_engine
from salus.node.keys import Secrets
from salus.sdk.author_store import AuthorStore
from salus.vault.s3 import Bucket, s3_storage
from salus.vault.storage import FolderStorage, Storage
from salus.vault.vault import BlobStore

SETTINGS_FILE = "stores.toml"
DATABASES = ("keeper", "gateway")
PAGE_BYTES = {"keeper": 8192, "gateway": 4096}  # Most of a keeper's rows are what one subject has in one batch.
_SHAPE = {
    "keeper": {"url"},
    "gateway": {"url"},
    "vault": {"bucket", "endpoint", "region", "prefix", "credentials"},
}


class StoreSettingsError(IntegrityError):
    """The file `stores.toml` does not say where a member's stores are, or others than its owner may read it."""

    code = "node.store_settings"


@dataclass(frozen=True, slots=True, repr=False)
class StoreSettings:
    """Where stores are; None for those in the member's folder."""

    keeper: str | None = None
    gateway: str | None = None
    vault: Bucket | None = None


def read_settings(folder: Path) -> StoreSettings:
    """What a member's folder says of its stores.

    Raises:
        StoreSettingsError: the file does not read, says something unknown, or may be read by others.
    """
    path = folder / SETTINGS_FILE
    try:
        found = tomllib.loads(path.read_text())
        is_private = path.stat().st_mode & 0o077 == 0
    except FileNotFoundError:
        return StoreSettings()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise StoreSettingsError(reason="the file does not read") from None
    if not is_private:
        raise StoreSettingsError(reason="others may read the file")
    return _settings(found)


def database(folder: Path, name: str, url: str | None, *, is_owner: bool = True) -> Engine:
    """The database of a keeper or gateway, opened for its owner or to look at alone."""
    if url is not None:
        return postgres_engine(url, is_owner=is_owner)
    return sqlite_engine(folder / f"{name}.db", PAGE_BYTES[name])


def keeper_store(folder: Path, secrets: Secrets, faults: Faults = NO_FAULTS) -> SubjectStore:
    """The keeper's store, wherever it is."""
    engine = database(folder, "keeper", read_settings(folder).keeper)
    return SubjectStore(engine, secrets.keeper_kek, faults=faults)


def gateway_store(folder: Path, secrets: Secrets, faults: Faults = NO_FAULTS) -> AuthorStore:
    """The gateway's store, wherever it is."""
    return AuthorStore(database(folder, "gateway", read_settings(folder).gateway), secrets.gateway_kek, faults)


def vault_storage(folder: Path, settings: StoreSettings, environment: Mapping[str, str] = os.environ) -> Storage:
    """The storage of the vault's packs, wherever it is."""
    return FolderStorage(folder / "vault") if settings.vault is None else s3_storage(settings.vault, environment)


def vault_store(folder: Path, faults: Faults = NO_FAULTS) -> BlobStore:
    """The vault's packs, wherever they are."""
    return BlobStore(vault_storage(folder, read_settings(folder)), faults)


def _settings(found: Mapping[str, object]) -> StoreSettings:
    fields: dict[str, dict[str, str]] = {}
    for section, values in found.items():
        if section not in _SHAPE or not isinstance(values, dict) or not set(values) <= _SHAPE[section]:
            raise StoreSettingsError(reason="an unknown section or field")
        if not all(isinstance(value, str) and value for value in values.values()):
            raise StoreSettingsError(reason="a field that is no text", section=section)
        fields[section] = values
    vault = fields.get("vault")
    if vault is not None and "bucket" not in vault:
        raise StoreSettingsError(reason="a field is missing", section="vault")
    if any("url" not in fields[name] for name in DATABASES if name in fields):
        raise StoreSettingsError(reason="a field is missing")
    return StoreSettings(
        keeper=fields.get("keeper", {}).get("url"),
        gateway=fields.get("gateway", {}).get("url"),
        vault=None if vault is None else _bucket(vault),
    )


def _bucket(fields: Mapping[str, str]) -> Bucket:
    credentials = fields.get("credentials")
    return Bucket(
        name=fields["bucket"],
        endpoint=fields.get("endpoint"),
        region=fields.get("region", "us-east-1"),
        prefix=fields.get("prefix"),
        credentials=None if credentials is None else Path(credentials),
    )
