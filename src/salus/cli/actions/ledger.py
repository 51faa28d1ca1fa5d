"""What stands on the ledger, and the proof of it that anybody can check without a network."""

from dataclasses import dataclass
from pathlib import Path

from salus.cli.errors import (
    FileError,
    NoSignedCheckpointError,
    NotACheckpointError,
    NotAGenesisError,
    NotAReceiptError,
    UnknownTransactionError,
)
from salus.cli.home import Home
from salus.contracts.members.messages import Genesis
from salus.core.errors import MalformedError
from salus.core.ids import Digest, Height, TimeMs
from salus.core.wire import decode, encode
from salus.engines.cometbft.checkpoints import CheckpointFile, SignedCheckpoint
from salus.engines.cometbft.light import MS_NS
from salus.engines.cometbft.receipts import CometReceipt, check_comet_receipt, signers
from salus.engines.first_light import FirstReceipt, receipt_from
from salus.engines.layout import StoredBlock
from salus.engines.ledger_copy import NotFoundError
from salus.engines.receipts import Receipt, check_receipt
from salus.machine.admission import read
from salus.machine.transaction import Body, Tx, transaction_id
from salus.node.checkpoints import checkpoints_to, kept_checkpoints
from salus.node.folder import GENESIS_FILE


@dataclass(frozen=True, slots=True)
class TxLine:
    """One transaction as the ledger tells of it: who sponsored what, and what came of it."""

    tx_id: Digest
    sponsor: str
    messages: tuple[str, ...]  # Their tags, such as `records.anchor/1`.
    code: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BlockLine:
    """One block."""

    height: Height
    time: TimeMs
    app_hash: Digest
    signed_by: tuple[str, ...]
    transactions: tuple[TxLine, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    """What a receipt proves."""

    chain: str
    height: Height
    time: TimeMs
    tx_id: Digest
    sponsor: str
    messages: tuple[str, ...]
    code: str
    signed_by: tuple[str, ...]
    validators: int


def newest_blocks(home: Home, count: int) -> list[BlockLine]:
    """The newest blocks that hold transactions, newest first; heartbeats are passed over.

    Of a member that joined by a snapshot, those since.
    """
    replica = home.network.ledger
    found: list[BlockLine] = []
    for height in range(replica.height, 0, -1):
        try:
            stored = replica.block(height)
        except NotFoundError:
            break
        if stored.block.txs:
            found.append(_line(stored))
        if len(found) == count:
            break
    return found


def block_at(home: Home, height: Height) -> BlockLine:
    """One block.

    Raises:
        UnknownTransactionError: the ledger is not that high.
    """
    try:
        return _line(home.network.ledger.block(height))
    except NotFoundError:
        raise UnknownTransactionError(height=height, newest=home.network.ledger.height) from None


async def receipt_of(home: Home, tx_id: str) -> tuple[Digest, bytes]:
    """The receipt of a transaction, by its id or how it begins (among the newest 10,000 blocks).

    Raises:
        UnknownTransactionError: no transaction, or more than one, has this id.
    """
    whole = _whole_id(home, tx_id.strip().lower())
    try:
        return whole, await home.network.receipt(whole)
    except NotFoundError:
        raise UnknownTransactionError(tx_id=tx_id) from None


def block_of(home: Home, tx_id: str) -> BlockLine:
    """The block that holds a transaction.

    Raises:
        UnknownTransactionError: as `receipt_of`.
    """
    found = home.network.ledger.inclusion(_whole_id(home, tx_id.strip().lower()))
    if found is None:
        raise UnknownTransactionError(tx_id=tx_id)
    return block_at(home, found.height)


@dataclass(frozen=True, slots=True)
class ShownCheckpoint:
    """The newest checkpoint of a member, and the file that proves it to who has the genesis."""

    height: Height
    time: TimeMs
    header: Digest
    signed_by: tuple[str, ...]
    members: int
    checkpoints: int  # That lead from the genesis to it.
    file: bytes


def checkpoint_of(home: Home, of: str | None) -> ShownCheckpoint:
    """The newest checkpoint of a member, or of any here.

    Raises:
        UnknownMemberError: there is no such member here.
        NoSignedCheckpointError: members have signed none yet.
        KeptCheckpointError: one is damaged.
        CheckpointError: no way leads to it from the genesis.
    """
    folders = [one.folder for one in ([home.member(of)] if of else home.network.members)]
    newest = [signed for folder in folders if (signed := next(kept_checkpoints(folder), None)) is not None]
    if not newest:
        raise NoSignedCheckpointError
    height = max(signed.checkpoint.height for signed in newest)
    chains = (checkpoints_to(folder, home.network.genesis, height) for folder in folders)
    chain = next(one for one in chains if one and one[-1].checkpoint.height == height)
    shown = chain[-1].checkpoint
    return ShownCheckpoint(
        height=height,
        time=shown.time // MS_NS,
        header=shown.header,
        signed_by=tuple(one.member for one in chain[-1].signatures),
        members=len(shown.members),
        checkpoints=len(chain),
        file=encode(CheckpointFile(checkpoints=chain)),
    )


def verify_file(receipt: Path, genesis: Path, checkpoint: Path | None = None) -> Verified:
    """Check a receipt of either engine, knowing the genesis alone (or a checkpoint too). Opens no network.

    Raises:
        FileError: one of the files cannot be read.
        NotAGenesisError, NotAReceiptError, NotACheckpointError: one of them is something else.
        ReceiptError, and what `check_comet_receipt` raises: the receipt does not hold on this network.
    """
    founded = read_file(genesis / GENESIS_FILE if genesis.is_dir() else genesis)
    try:
        start = decode(Genesis, founded)
    except MalformedError:
        raise NotAGenesisError from None
    shown = _read_receipt(read_file(receipt))
    if isinstance(shown, CometReceipt):
        return _verified_comet(shown, start, read_checkpoints(checkpoint))
    body = check_receipt(shown, start)
    return Verified(
        chain=start.chain,
        height=shown.header.height,
        time=shown.header.time,
        tx_id=shown.result.tx_id,
        sponsor=body.sponsor,
        messages=_tags(body),
        code=shown.result.code,
        signed_by=tuple(vote.validator for vote in shown.votes),
        validators=sum(member.validator for member in start.members),
    )


def _read_receipt(data: bytes) -> Receipt | CometReceipt:
    try:
        return decode(Receipt, data)
    except MalformedError:
        pass  # It may be the other engine's.
    try:
        return decode(CometReceipt, data)
    except MalformedError:
        pass  # Or one of first light.
    try:
        return receipt_from(decode(FirstReceipt, data))
    except MalformedError:
        raise NotAReceiptError from None


def read_checkpoints(path: Path | None) -> tuple[SignedCheckpoint, ...]:
    """The checkpoints in a file that a person named; none where none was.

    Raises:
        FileError: it cannot be read.
        NotACheckpointError: it is something else.
    """
    if path is None:
        return ()
    try:
        return decode(CheckpointFile, read_file(path)).checkpoints
    except MalformedError:
        raise NotACheckpointError from None


def _verified_comet(receipt: CometReceipt, start: Genesis, checkpoints: tuple[SignedCheckpoint, ...]) -> Verified:
    body = check_comet_receipt(receipt, start, checkpoints)
    return Verified(
        chain=start.chain,
        height=receipt.header.height,
        time=receipt.header.time // MS_NS,
        tx_id=transaction_id(decode(Tx, receipt.tx).body),
        sponsor=body.sponsor,
        messages=_tags(body),
        code=receipt.code,
        signed_by=signers(receipt, start),
        validators=len(receipt.proof.validators),
    )


def read_file(path: Path) -> bytes:
    """A file that a person named.

    Raises:
        FileError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(reason=error.strerror or type(error).__name__) from None


def write_file(path: Path, data: bytes) -> None:
    """Write a file that a person named; an older one is replaced.

    Raises:
        FileError: it cannot be written.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        raise FileError(reason=error.strerror or type(error).__name__) from None


def _line(stored: StoredBlock) -> BlockLine:
    lines: list[TxLine] = []
    for tx, result in zip(stored.block.txs, stored.results, strict=True):
        try:
            body = read(tx).body
            lines.append(TxLine(result.tx_id, body.sponsor, _tags(body), result.code, len(tx)))
        except MalformedError:
            lines.append(TxLine(result.tx_id, "", (), result.code, len(tx)))
    return BlockLine(
        height=stored.header.height,
        time=stored.header.time,
        app_hash=stored.header.app_hash,
        signed_by=tuple(vote.validator for vote in stored.votes),
        transactions=tuple(lines),
    )


def _tags(body: Body) -> tuple[str, ...]:
    return tuple(str(message.__struct_config__.tag) for message in body.messages)


_SEARCHED_BLOCKS = 10_000


def _whole_id(home: Home, text: str) -> Digest:
    try:
        if len(text) == 64:
            return bytes.fromhex(text)
    except ValueError:
        raise UnknownTransactionError(tx_id=text) from None
    replica = home.network.ledger
    found: set[Digest] = set()
    if len(text) >= 6:
        for height in range(replica.height, max(0, replica.height - _SEARCHED_BLOCKS), -1):
            results = replica.block(height).results
            found.update(result.tx_id for result in results if result.tx_id.hex().startswith(text))
    if len(found) != 1:
        raise UnknownTransactionError(tx_id=text, found=len(found))
    return found.pop()
