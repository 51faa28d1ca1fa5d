"""What may be asked of a vault. All that travels is ciphertext."""

from typing import Annotated

from msgspec import Meta

from salus.core.ids import MIB_BYTES, BatchId, ChainId, Digest, MemberId, Name, RequestId, Signature, TimeMs
from salus.core.wire import Record, encode
from salus.crypto.digests import tagged

WANTED_MAX = 4096  # Blobs named in one request.
REPLY_BYTES_MAX = 128 * MIB_BYTES  # Two of the largest blobs fit into one reply.


class PutBlobs(Record, tag="vault.put/1", frozen=True):
    """An author brings the blobs of a batch that this vault is to keep."""

    batch_id: BatchId
    blobs: tuple[bytes, ...]


class BlobsKept(Record, tag="vault.kept/1", frozen=True):
    """The blobs are durable here until `good_until`, and for good once the member's keeper sees their batch final."""

    good_until: TimeMs
    signature: Signature


class BlobWanted(Record, tag="b/1", frozen=True):
    """One blob of a batch."""

    author: Name
    batch_id: BatchId
    digest: Digest


Wanted = Annotated[tuple[BlobWanted, ...], Meta(max_length=WANTED_MAX)]


class GetBlobs(Record, tag="vault.get/1", frozen=True):
    """A reader fetches blobs that this member's keeper has permitted for its request."""

    request_id: RequestId
    wanted: Wanted


class CopyBlobs(Record, tag="vault.copy/1", frozen=True):
    """Another vault repairs itself: blobs that it is to keep itself."""

    wanted: Wanted


class Blobs(Record, tag="vault.blobs/1", frozen=True):
    """What was wanted, in order, as far as one reply may go: the rest is asked for once more.

    None where a blob is not here, damaged, not for the asker, or was named before.
    """

    blobs: tuple[bytes | None, ...]


def kept_statement(
    *,
    chain: ChainId,
    vault: MemberId,
    author: MemberId,
    batch_id: BatchId,
    digests: tuple[Digest, ...],
    good_until: TimeMs,
) -> Digest:
    """What a vault signs for blobs it keeps."""
    return tagged("vault.kept", encode((chain, vault, author, batch_id, digests, good_until)))
