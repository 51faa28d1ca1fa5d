"""Where patients' wallets lie: with the hospital that is custodian, or on the patient's own device.

    people/register.db                 a patient's number, their cell, who keeps the wallet
    people/patient-1.wallet            a wallet of one's own: stands for the patient's device
    people/patient-1.claim             one that is about to take the record over
    members/mercy/custody.db           wallets that Mercy keeps, each wrapped under its patient's key

Register and wallet files stand for devices that in a real network nobody else has; a demo keeps them side by side.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from salus.contracts.consent import PolicySet
from salus.core.errors import MalformedError
from salus.core.ids import CellId, Digest, MemberId
from salus.core.wire import Record, decode, encode, reopen
from salus.keeper.store import META, SUBJECTS, SubjectStore, reported, sqlite_engine, upsert
from salus.node.keys import FolderError, KeyFileError, write_secret
from salus.sdk.wallet import Wallet

R = TypeVar("R", bound=Record)

_custody = sa.MetaData()
META.to_metadata(_custody)
SUBJECTS.to_metadata(_custody)
WALLETS = sa.Table(
    "wallets",
    _custody,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("tag", sa.LargeBinary(16), nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
_register = sa.MetaData()
PATIENTS = sa.Table(
    "patients",
    _register,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("cell", sa.LargeBinary(16), nullable=False, unique=True),
    sa.Column("custodian", sa.String(32)),  # None: the patient's own device keeps the wallet.
)


class Kept(Record, tag="cli.kept/1", frozen=True):
    """A wallet with the name that its holder gave it. Secret as a whole."""

    wallet: Wallet
    name: str


class Claim(Record, tag="cli.claim/1", frozen=True):
    """A claim under way: kept before keepers hear of it, so that it can be repeated word for word after a day."""

    kept: Kept
    policy: PolicySet
    evidence: Digest


class Custody:
    """The wallets that a hospital keeps for patients without a device."""

    def __init__(self, folder: Path, kek: bytes) -> None:
        path = folder / "custody.db"
        _touch(path)
        self._store = SubjectStore(sqlite_engine(path), kek, _custody)

    def keep(self, wallets: Sequence[tuple[int, Kept]]) -> None:
        """Keep, or replace; durable on return."""
        with self._store.commit("custody.keep") as connection:
            rows: list[dict[str, object]] = []
            for number, kept in wallets:
                tag = self._store.tag(kept.wallet.subject)
                wrapped = self._store.wrapped(tag, encode(kept), _context(number))
                rows.append({"number": number, "tag": tag, "wrapped": wrapped})
            upsert(connection, WALLETS, rows)

    def find(self, number: int) -> Kept | None:
        """One wallet."""
        return next(self._found(sa.select(WALLETS).where(WALLETS.c.number == number)), None)

    def give_up(self, number: int) -> None:
        """Destroy a wallet that another holder has taken over, with the key it was wrapped under."""
        with self._store.commit("custody.give_up") as connection:
            tag = connection.execute(sa.select(WALLETS.c.tag).where(WALLETS.c.number == number)).scalar()
            connection.execute(WALLETS.delete().where(WALLETS.c.number == number))
            connection.execute(SUBJECTS.delete().where(SUBJECTS.c.tag == tag))

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def _found(self, query: sa.Select[tuple[object, ...]]) -> Iterator[Kept]:
        with reported():
            rows = self._store.connection.execute(query).all()
        for row in rows:
            yield reopen(Kept, self._store.unwrapped(bytes(row.tag), row.wrapped, _context(row.number)))


class Register:
    """Which patients there are, and who keeps each wallet."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise FolderError(reason=error.strerror or type(error).__name__) from None
        path = folder / "register.db"
        _touch(path)
        self._engine = sqlite_engine(path)
        with reported():
            _register.create_all(self._engine)
            self._connection = self._engine.connect()

    def add(self, patients: Iterable[tuple[CellId, MemberId | None]]) -> list[int]:
        """Give numbers to new patients, in order; durable on return."""
        with reported():
            newest = self._connection.execute(sa.select(sa.func.max(PATIENTS.c.number))).scalar() or 0
            rows: list[dict[str, object]] = [
                {"number": number, "cell": cell, "custodian": custodian}
                for number, (cell, custodian) in enumerate(patients, newest + 1)
            ]
            upsert(self._connection, PATIENTS, rows)
            self._connection.commit()
        return list(range(newest + 1, newest + 1 + len(rows)))

    def claimed(self, number: int) -> None:
        """Note that the patient keeps the wallet now."""
        with reported():
            self._connection.execute(PATIENTS.update().where(PATIENTS.c.number == number).values(custodian=None))
            self._connection.commit()

    def forget(self, numbers: Sequence[int]) -> None:
        """Take patients out again whose cells never came to be."""
        with reported():
            self._connection.execute(PATIENTS.delete().where(PATIENTS.c.number.in_(numbers)))
            self._connection.commit()

    def custodian_of(self, number: int) -> tuple[MemberId | None] | None:
        """Who keeps a patient's wallet, in a tuple since it may be nobody; None if there is no such patient."""
        with reported():
            query = sa.select(PATIENTS.c.custodian).where(PATIENTS.c.number == number)
            row = self._connection.execute(query).first()
        return None if row is None else (row.custodian,)

    def number_of(self, cell: CellId) -> int | None:
        """The number of the patient behind a cell."""
        with reported():
            found = self._connection.execute(sa.select(PATIENTS.c.number).where(PATIENTS.c.cell == cell)).scalar()
        return None if found is None else int(found)

    def numbers(self) -> list[int]:
        """All patients."""
        with reported():
            return list(self._connection.execute(sa.select(PATIENTS.c.number).order_by(PATIENTS.c.number)).scalars())

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
        self._engine.dispose()


class Devices:
    """The patients' own devices: a file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, number: int, kept: Kept) -> None:
        """Keep a wallet, or replace it; durable on return."""
        _write(self._folder / f"patient-{number}.wallet", encode(kept))

    def find(self, number: int) -> Kept | None:
        """A patient's own wallet."""
        data = _read(self._folder / f"patient-{number}.wallet")
        return None if data is None else _opened(Kept, data)

    def keep_claim(self, number: int, claim: Claim) -> None:
        """Remember a claim before it is made; durable on return."""
        _write(self._folder / f"patient-{number}.claim", encode(claim))

    def claim(self, number: int) -> Claim | None:
        """The claim under way, if there is one."""
        data = _read(self._folder / f"patient-{number}.claim")
        return None if data is None else _opened(Claim, data)

    def end_claim(self, number: int) -> None:
        """Forget a claim that is done."""
        (self._folder / f"patient-{number}.claim").unlink(missing_ok=True)

    def forget(self, number: int) -> None:
        """Throw a wallet away whose cell never came to be."""
        (self._folder / f"patient-{number}.wallet").unlink(missing_ok=True)


def _context(number: int) -> bytes:
    return b"wallet" + number.to_bytes(8, "big")


def _touch(path: Path) -> None:
    """Make a database file before the library does, readable by its owner alone."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None


def _write(path: Path, data: bytes) -> None:
    try:
        write_secret(path, data, replace=True)
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        raise KeyFileError(duty="wallet") from None


def _opened(shape: type[R], data: bytes) -> R:
    try:
        return decode(shape, data)
    except MalformedError:
        raise KeyFileError(duty="wallet") from None
