"""Changing what a cell stands for: deposit the next policy version with the keepers, then advance the cell.

    1. Each keeper of the committee gets the version, sealed to its seat, and signs that it holds it.
    2. With f+1 signatures the owner's one-time key moves the cell on; the ledger consumes the version.
    3. Writers get the version too, so that they decide by it when offline, and so do those that were writers until now;
       new ones get their link, and after a claim all get the key for the terms of new records.

From the block on, every keeper compares its policy with the cell's commitment: a keeper that missed step 1 fetches.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence

from salus.contracts.cells.messages import Advance, Close, Create, Freeze, SeatReceipt, Thaw
from salus.contracts.cells.reads import cell_of
from salus.contracts.cells.statements import held as held_statement
from salus.contracts.cells.tables import Cell
from salus.contracts.consent import PolicySet, Writer, commitment
from salus.contracts.members.messages import Committee, SeatHolder
from salus.contracts.members.reads import member_of
from salus.core.errors import MalformedError, RefusalError, SalusError
from salus.core.ids import MIB_BYTES, NO_DIGEST, CommitteeId, Digest, Height, MemberId, Seat
from salus.core.transport import PeerRefusalError, ask
from salus.core.wire import encode
from salus.crypto.hpke import seal
from salus.crypto.shares import faulty, quorum
from salus.crypto.signatures import verify
from salus.keeper.messages import (
    Cosignature,
    FirstPolicies,
    FirstPoliciesHeld,
    PolicyDeposit,
    PolicyHeld,
    SealedFirstPolicies,
    SealedPolicy,
    info,
    widening_statement,
)
from salus.sdk.enough import Asked
from salus.sdk.errors import NoSuchSubjectError, OldWalletError, TooFewSeatsError
from salus.sdk.gateway import Gateway, new_secret, seats_of
from salus.sdk.links import (
    Link,
    LinkPackage,
    NewTermKey,
    Received,
    SendLink,
    SendPolicy,
    SendTermKey,
    code_digest,
    term_key_statement,
)
from salus.sdk.views import Findings
from salus.sdk.wallet import Wallet

_CREATED_AT_ONCE = 64
_CREATED_BYTES_MAX = MIB_BYTES // 2  # Of their policies: an envelope holds one MiB.


async def create(gateway: Gateway, wallet: Wallet) -> PolicySet:
    """Open a patient's cell with the wallet's policy as its first version; final on return.

    Raises:
        TooFewSeatsError: fewer than f+1 keepers took the policy.
        LedgerRefusedError: the ledger refused the cell.
    """
    policy = wallet.policy(0, new_secret())
    committee = gateway.committee(wallet.committee)
    deposit = PolicyDeposit(policy=policy, evidence=None, cosignature=None)
    held = await _deposit(gateway, wallet.committee, deposit, Findings(), is_first=True)
    _enough(committee, len(held))
    await gateway.sponsor(_creating(wallet, policy))
    return policy


def _creating(wallet: Wallet, policy: PolicySet) -> Create:
    return Create(
        cell_id=wallet.cell,
        committee=wallet.committee,
        commitment=commitment(policy),
        owner=wallet.owner_digest(0),
        recovery=NO_DIGEST,
    )


async def create_many(gateway: Gateway, wallets: Sequence[Wallet]) -> list[PolicySet | SalusError]:
    """Open many cells of one committee, some dozens at a time so that they share envelopes and blocks.

    What became of each, in order.
    """
    opened = [(wallet, wallet.policy(0, new_secret())) for wallet in wallets]
    done: list[PolicySet | SalusError] = []
    for part in _parts(opened):
        refusals = await _deposit_first(gateway, part[0][0].committee, [policy for _, policy in part])
        made = [_made(gateway, *one, refusal) for one, refusal in zip(part, refusals, strict=True)]
        done += await asyncio.gather(*made)
    return done


def _parts(opened: Sequence[tuple[Wallet, PolicySet]]) -> Iterator[list[tuple[Wallet, PolicySet]]]:
    """As many as share an envelope and a block."""
    part: list[tuple[Wallet, PolicySet]] = []
    size_bytes = 0
    for wallet, policy in opened:
        size = len(encode(policy))
        if part and (len(part) == _CREATED_AT_ONCE or size_bytes + size > _CREATED_BYTES_MAX):
            yield part
            part, size_bytes = [], 0
        part.append((wallet, policy))
        size_bytes += size
    if part:
        yield part


async def _made(
    gateway: Gateway, wallet: Wallet, policy: PolicySet, refusal: SalusError | None
) -> PolicySet | SalusError:
    """Open a cell whose policy is deposited."""
    if refusal is not None:
        return refusal
    try:
        await gateway.sponsor(_creating(wallet, policy))
    except SalusError as error:
        return error
    return policy


async def _deposit_first(
    gateway: Gateway, committee_id: CommitteeId, policies: Sequence[PolicySet]
) -> list[SalusError | None]:
    """Leave first versions with every seat that answers in time; for each why it may not be created, if it may not."""
    committee = gateway.committee(committee_id)
    body = encode(FirstPolicies(policies=tuple(policies)))

    async def leave(seat: Seat, holder: SeatHolder) -> FirstPoliciesHeld:
        sealed = SealedFirstPolicies(seat=seat, sealed=seal(holder.sealing, body, info(gateway.chain, "policy")))
        return await ask(gateway.transport, holder.member, sealed, FirstPoliciesHeld)

    asked = Asked({seat: leave(seat, holder) for seat, holder in seats_of(committee)})

    def held(replies: Mapping[Seat, FirstPoliciesHeld | SalusError]) -> list[dict[int, str]]:
        """Per seat that answered for itself, the codes of what it refused."""
        sound = ((s, reply) for s, reply in replies.items() if isinstance(reply, FirstPoliciesHeld) and reply.seat == s)
        return [dict(reply.refused) for _, reply in sound]

    await asked.until(lambda replies: len(held(replies)) >= quorum(len(committee.seats)))
    answers = held(asked.replies)
    asked.go_on(gateway.late)
    return [_refusal(committee, answers, place) for place in range(len(policies))]


def _refusal(committee: Committee, answers: Sequence[Mapping[int, str]], place: int) -> SalusError | None:
    codes = [codes[place] for codes in answers if place in codes]
    count = len(answers) - len(codes)
    if count > faulty(len(committee.seats)):
        return None
    if codes:
        return PeerRefusalError(codes[0])
    return TooFewSeatsError(answered=count, needed=faulty(len(committee.seats)) + 1)


async def change(
    gateway: Gateway,
    holder: Wallet,
    changed: Wallet,
    evidence: Digest | None = None,
    cosigner: Gateway | None = None,
    policy: PolicySet | None = None,
    findings: Findings | None = None,
) -> tuple[PolicySet, Height]:
    """Put the changed wallet's policy in force. `holder` owns the cell now; after a claim `changed` owns it next.

    `evidence` and `cosigner` are a custodian's, when it widens. `policy` is the very version that keepers were told of
    a day ago; without it a fresh one is drawn. Keepers whose receipts do not hold are named in the `findings`.

    Raises:
        NoSuchSubjectError: the cell is not on the ledger.
        OldWalletError: the holder's key is not the one the cell expects.
        PeerRefusalError: keepers refused the version, and too few are left.
        TooFewSeatsError: fewer than f+1 keepers took it.
        LedgerRefusedError: the ledger refused to advance.
    """
    cell = owned_cell(gateway, holder)
    policy = policy or changed.policy(cell.version + 1, new_secret())
    named = commitment(policy)
    cosignature = None
    if cosigner is not None and evidence is not None:
        statement = widening_statement(gateway.chain, named, evidence)
        cosignature = Cosignature(member=cosigner.member, signature=cosigner.key.sign(statement))
    committee = gateway.committee(holder.committee)
    deposit = PolicyDeposit(policy=policy, evidence=evidence, cosignature=cosignature)
    receipts = await _deposit(gateway, holder.committee, deposit, findings or Findings())
    _enough(committee, len(receipts))
    message = Advance(
        cell_id=holder.cell,
        version=cell.version,
        owner_key=holder.owner_key(cell.version).public,
        next_owner=changed.owner_digest(cell.version + 1),
        commitment=named,
        receipts=tuple(receipts[: faulty(len(committee.seats)) + 1]),
    )
    _, height = await gateway.sponsor(message, witnesses=(holder.owner_key(cell.version),))
    await tell_writers(gateway, changed, policy, former=holder.writers)
    return policy, height


async def freeze(gateway: Gateway, wallet: Wallet) -> Height:
    """Stop every use but the patient's own and break-glass, at once and without any keeper."""
    return await _turn(gateway, wallet, Freeze)


async def thaw(gateway: Gateway, wallet: Wallet) -> Height:
    """Open a frozen cell again."""
    return await _turn(gateway, wallet, Thaw)


async def _turn(gateway: Gateway, wallet: Wallet, kind: type[Freeze] | type[Thaw]) -> Height:
    cell = owned_cell(gateway, wallet)
    key = wallet.owner_key(cell.version)
    message = kind(
        cell_id=wallet.cell,
        version=cell.version,
        owner_key=key.public,
        next_owner=wallet.owner_digest(cell.version + 1),
    )
    return (await gateway.sponsor(message, witnesses=(key,)))[1]


async def close(gateway: Gateway, wallet: Wallet) -> Height:
    """End the cell for good."""
    cell = owned_cell(gateway, wallet)
    key = wallet.owner_key(cell.version)
    message = Close(cell_id=wallet.cell, version=cell.version, owner_key=key.public)
    return (await gateway.sponsor(message, witnesses=(key,)))[1]


def owned_cell(gateway: Gateway, wallet: Wallet) -> Cell:
    """The wallet's cell, if its next key is the wallet's.

    Raises:
        NoSuchSubjectError: the ledger has no such cell.
        OldWalletError: another seed owns it now.
    """
    cell = cell_of(gateway.view.state, wallet.cell)
    if cell is None:
        raise NoSuchSubjectError(member=gateway.member)
    if cell.owner != wallet.owner_digest(cell.version):
        raise OldWalletError(version=cell.version)
    return cell


async def send_link(gateway: Gateway, wallet: Wallet, policy: PolicySet, writer: MemberId, code: str) -> None:
    """Send a new writer its link, to be opened with the code the patient shows."""
    package = LinkPackage(link=link_of(wallet, writer), policy=policy)
    member = member_of(gateway.view.state, writer)
    if member is None:
        raise NoSuchSubjectError(member=writer)
    sealed = seal(member.keys.gateway, encode(package), info(gateway.chain, "link"))
    await ask(gateway.transport, writer, SendLink(code=code_digest(gateway.chain, code), sealed=sealed), Received)


def link_of(wallet: Wallet, writer: MemberId) -> Link:
    """A writer's tie to the wallet's patient."""
    return Link(subject=wallet.subject, cell=wallet.cell, committee=wallet.committee, term_key=wallet.term_key(writer))


async def tell_writers(gateway: Gateway, wallet: Wallet, policy: PolicySet, former: Iterable[Writer] = ()) -> None:
    """Send every writer the version in force, and former ones too: they hold records. Who is away asks when it reads.

    Nobody is waited for beyond a moment; calls that are late go on by themselves.
    """
    writers = {writer.member for writer in policy.writers}
    told: dict[MemberId, Coroutine[object, object, None]] = {
        member: _tell(gateway, member, wallet if member in writers else None, policy)
        for member in sorted(writers | {writer.member for writer in former})
    }
    asked = Asked(told)
    await asked.until(lambda _: True)
    asked.go_on(gateway.late)


async def _tell(gateway: Gateway, to: MemberId, wallet: Wallet | None, policy: PolicySet) -> None:
    member = member_of(gateway.view.state, to)
    if member is None:
        return
    sealed = seal(member.keys.gateway, encode(policy), info(gateway.chain, "policy for writer"))
    try:
        await ask(gateway.transport, to, SendPolicy(sealed=sealed), Received)
        if wallet is not None and wallet.older_term_seeds and wallet.custodian is None:  # Claimed, now or before.
            package = encode(_new_term_key(wallet, to))
            sealed = seal(member.keys.gateway, package, info(gateway.chain, "term key"))
            await ask(gateway.transport, to, SendTermKey(sealed=sealed), Received)
    except SalusError:
        return  # Away: its copy is older, and what it decides offline is marked stale.


def _new_term_key(wallet: Wallet, writer: MemberId) -> NewTermKey:
    """A writer's key for new records, signed by the device that the policy in force names."""
    link, device = link_of(wallet, writer), wallet.device_key()
    signature = device.sign(term_key_statement(wallet.chain, writer, link))
    return NewTermKey(link=link, device=device.public, signature=signature)


async def deposit_with(gateway: Gateway, seat: Seat, holder: SeatHolder, deposit: PolicyDeposit) -> PolicyHeld:
    """Leave a policy version with one seat."""
    sealed = seal(holder.sealing, encode(deposit), info(gateway.chain, "policy"))
    return await ask(gateway.transport, holder.member, SealedPolicy(seat=seat, sealed=sealed), PolicyHeld)


async def _deposit(
    gateway: Gateway, committee_id: CommitteeId, deposit: PolicyDeposit, findings: Findings, *, is_first: bool = False
) -> list[SeatReceipt]:
    """Leave a version with every seat that answers in time; receipts that the ledger will take, by rising seat."""
    committee = gateway.committee(committee_id)
    seats = seats_of(committee)
    asked = Asked({seat: deposit_with(gateway, seat, holder, deposit) for seat, holder in seats})
    statement = held_statement(
        chain=gateway.chain,
        cell_id=deposit.policy.cell,
        version=deposit.policy.version,
        commitment=commitment(deposit.policy),
        committee=committee_id,
        epoch=committee.epoch,
    )
    sound: dict[Seat, SeatReceipt] = {}

    def is_enough(replies: Mapping[Seat, PolicyHeld | SalusError]) -> bool:
        for seat, reply in replies.items():
            if isinstance(reply, PolicyHeld) and seat not in sound:
                _take(sound, seat, reply)
        may_come = len(sound) + len(asked.waiting_for)
        return len(sound) >= quorum(len(seats)) or may_come <= faulty(len(seats))

    def _take(sound: dict[Seat, SeatReceipt], seat: Seat, reply: PolicyHeld) -> None:
        holder = committee.seats[seat - 1]
        if is_first and reply.seat == seat and reply.signature is None:
            sound[seat] = SeatReceipt(seat=seat, signature=bytes(64))  # `create` needs no receipt.
        elif reply.seat == seat and reply.signature and verify(holder.key, statement, reply.signature):
            sound[seat] = SeatReceipt(seat=seat, signature=reply.signature)
        else:
            findings.accuse_once(holder.member, "bad_receipt")

    await asked.until(is_enough)
    is_enough(asked.replies)
    asked.go_on(gateway.late)
    if len(sound) <= faulty(len(seats)):
        _raise_refusal(asked.replies.values())
    return [sound[seat] for seat in sorted(sound)]


def _raise_refusal(replies: Iterable[object]) -> None:
    """What a rule or a form forbids is said by its code; an absence is only that there are too few."""
    for reply in replies:
        if isinstance(reply, RefusalError | MalformedError):
            raise reply


def _enough(committee: Committee, count: int) -> None:
    if count <= faulty(len(committee.seats)):
        raise TooFewSeatsError(answered=count, needed=faulty(len(committee.seats)) + 1)
