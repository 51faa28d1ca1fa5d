"""`size`: what stays on every member's ledger for a record and for a change of consent.

Counted are transactions as they are kept, and what the state grows by: values with their keys, and pages of the tree.
What a block costs by itself (header, votes, results, index) is counted apart. Records in full batches; records that
arrive one a second, so that each makes a batch of its own; and changes of one patient's consent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from salus.cli.bench.figures import Figure, Options, Outcome, at_most
from salus.cli.bench.stage import MEMBERS, everything, stage
from salus.contracts.records.header import LEAVES_PER_BATCH
from salus.core.wire import encode, replace
from salus.crypto.shares import faulty, quorum
from salus.engines.layout import INDEX_PREFIX
from salus.engines.replica import Replica
from salus.node.member import Member
from salus.sdk import consent
from salus.state.key_value import Prefixed
from salus.state.state import PAGES_PREFIX, VALUES_PREFIX

NAME = "size"
TARGETS = {"full_batches_bytes_per_record": at_most(2), "bytes_per_consent_change": at_most(600)}


@dataclass(frozen=True, slots=True)
class _Bytes:
    """What lies on one member's ledger."""

    txs: int
    blocks: int  # All bytes of blocks but their transactions.
    values: int
    tree: int
    heights: int

    def since(self, before: "_Bytes") -> "_Bytes":
        """What came on top."""
        return _Bytes(
            self.txs - before.txs,
            self.blocks - before.blocks,
            self.values - before.values,
            self.tree - before.tree,
            self.heights - before.heights,
        )

    def per(self, count: int, name: str) -> dict[str, Figure]:
        """Split and whole, for each of so many things."""
        return {
            f"{name}": round((self.txs + self.values + self.tree) / count, 3),
            f"{name}_tx": round(self.txs / count, 3),
            f"{name}_state_values": round(self.values / count, 3),
            f"{name}_state_tree": round(self.tree / count, 3),
            f"{name}_block_overhead": round(self.blocks / count, 3),
        }


def measure(options: Options) -> Outcome:
    """Sizes follow from the format alone, so few runs suffice; `short` takes fewer still."""
    batches, others = (1, 4) if options.short else (8, 64)
    return asyncio.run(_measure(options.folder, batches=batches, singles=others, changes=others))


async def _measure(folder: Path | None, *, batches: int, singles: int, changes: int) -> Outcome:
    async with stage(folder) as scene:
        author = scene.network.members[0]
        patient = await scene.patient()

        async def fill_batches() -> None:
            await scene.seal(author, scene.documents(patient.subject, batches * LEAVES_PER_BATCH))

        async def seal_singly() -> None:
            for document in scene.documents(patient.subject, singles):
                await author.author.seal([document])

        async def change_consent() -> None:
            wallet = patient.wallet
            for number in range(changes):
                changed = replace(wallet, rules=everything(author.name) if number % 2 == 0 else ())
                await consent.change(author.gateway, wallet, changed)

        full = await _grown(author, fill_batches)
        single = await _grown(author, seal_singly)
        consented = await _grown(author, change_consent)
    figures = full.per(batches * LEAVES_PER_BATCH, "full_batches_bytes_per_record")
    figures |= single.per(singles, "one_a_second_bytes_per_record")
    figures |= consented.per(changes, "bytes_per_consent_change")
    figures["bytes_per_block"] = round(consented.blocks / max(1, consented.heights), 1)
    return Outcome(NAME, figures, TARGETS, _floors())


def _floors() -> dict[str, Figure]:
    """Digests, keys and signatures alone: what no encoding could leave out."""
    batch = 16 + 2 * 32 + (quorum(MEMBERS) + 1) * 64  # Id, both roots, receipts and the sponsor's signature.
    change = 16 + 3 * 32 + (faulty(MEMBERS) + 1 + 2) * 64  # Id, keys and commitment, receipts, owner and sponsor.
    return {
        "bare_full_batches_bytes_per_record": round(batch / LEAVES_PER_BATCH, 3),
        "bare_bytes_per_consent_change": change,
    }


async def _grown(member: Member, work: Callable[[], Awaitable[None]]) -> _Bytes:
    before = _on_ledger(member.replica)
    await work()
    return _on_ledger(member.replica).since(before)


def _on_ledger(replica: Replica) -> _Bytes:
    txs = blocks = 0
    for stored in replica.blocks():
        inside = sum(len(tx) for tx in stored.block.txs)
        txs += inside
        blocks += len(encode(stored)) - inside
    store = replica.values_and_tree
    values = sum(len(key) + len(value) for key, value in Prefixed(store, VALUES_PREFIX).scan(b""))
    tree = sum(len(key) + len(page) for key, page in Prefixed(store, PAGES_PREFIX).scan(b""))
    index = sum(len(key) + len(row) for key, row in Prefixed(store, INDEX_PREFIX).scan(b""))
    return _Bytes(txs, blocks + index, values, tree, replica.height)
