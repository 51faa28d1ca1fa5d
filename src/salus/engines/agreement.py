"""How the members of one process agree on a block, and who of them takes part.

Each member that takes part applies the block inside its own open write transaction and signs the header it computed;
with one header signed by more than two thirds of the validators, each keeps it with one fsync; otherwise nobody does.
A member that is held back, or whose disk failed, lags and adopts what it missed. A member whose own result contradicts
the network's halts alone. All of this happens without an `await`: no write transaction is open while others run.
"""

from collections.abc import Mapping

from salus.core.errors import IntegrityError, UnavailableError
from salus.core.ids import Digest, MemberId
from salus.crypto.signatures import SigningKey
from salus.engines.receipts import ReceiptError, Vote, is_quorum, validators_of
from salus.engines.replica import BrokenBlockError, Replica, StoredBlock
from salus.machine.block import Block, Header, header_id


class NotFinalError(UnavailableError):
    """Too few members are up to make a block final; the transaction may still become final before it runs out."""

    code = "engine.not_final"


class NoQuorumError(IntegrityError):
    """So many members have halted, or contradict each other, that no block can become final again."""

    code = "engine.no_quorum"


class Agreement:
    """The members of one process with their replicas. Not for two threads."""

    def __init__(self, replicas: Mapping[MemberId, Replica], keys: Mapping[MemberId, SigningKey]) -> None:
        self.replicas = dict(replicas)
        self.halted: dict[MemberId, IntegrityError] = {}
        self._keys = dict(keys)
        self._held: set[MemberId] = set()
        self._validators = [name for name, _ in validators_of(self.newest().genesis)]

    def newest(self) -> Replica:
        """The replica that is furthest, whether it takes part or not."""
        return max(self.replicas.values(), key=lambda replica: replica.height)

    def hold(self, member: MemberId) -> None:
        """Cut a member off."""
        self._held.add(member)

    def release(self, member: MemberId) -> None:
        """Let it take part again."""
        self._held.discard(member)

    def taking_part(self) -> list[MemberId]:
        """Members that stand at the newest block and can apply the next one."""
        height = self.newest().height
        return [name for name in self.replicas if self._is_up(name) and self.replicas[name].height == height]

    def voting(self) -> list[MemberId]:
        """Validators among those."""
        return [name for name in self.taking_part() if name in self._validators]

    def is_ready(self) -> bool:
        """Whether the members that are up can make a block final.

        Raises:
            NoQuorumError: so many have halted that they never will.
        """
        if not is_quorum(len([name for name in self._validators if name not in self.halted]), len(self._validators)):
            raise NoQuorumError(halted=len(self.halted), members=len(self._validators))
        return is_quorum(len(self.voting()), len(self._validators))

    def catch_up(self) -> None:
        """Bring every member that is up to the newest block that any such member has."""
        for name in self.replicas:
            while self._is_up(name) and self._lags(name):
                if not self._adopted(name):
                    break

    def agree(self, block: Block) -> StoredBlock:
        """Let every member apply the block, gather votes on one header, then let every member keep it.

        Whatever is raised, no write transaction stays open. The block is final and durable on return.

        Raises:
            NotFinalError: too few members could apply it, or none could keep it; nothing of it remains.
            NoQuorumError: members contradict each other, and no header has enough votes.
        """
        try:
            headers = self._prepared(block)
            header = self._elected(headers)
            voters = [name for name in self.voting() if headers.get(name) == header]
            votes = tuple(self.replicas[name].vote(self._keys[name]) for name in voters)
            return self._kept(list(headers), header, votes)
        finally:
            for replica in self.replicas.values():
                replica.abandon()

    def _prepared(self, block: Block) -> dict[MemberId, Header]:
        headers: dict[MemberId, Header] = {}
        for name in self.taking_part():
            try:
                headers[name] = self.replicas[name].prepare(block)
            except IntegrityError as error:
                self.halted[name] = error
            except UnavailableError:
                continue  # Its disk is away: it misses this block and adopts it before the next.
        return headers

    def _elected(self, headers: Mapping[MemberId, Header]) -> Header:
        votes: dict[Digest, list[Header]] = {}
        for name in self._validators:
            if name in headers:
                votes.setdefault(header_id(headers[name]), []).append(headers[name])
        most = max(votes.values(), key=len, default=[])
        if is_quorum(len(most), len(self._validators)):
            return most[0]
        if len(votes) > 1:
            raise NoQuorumError(members=len(headers), headers=len(votes))
        raise NotFinalError(members_up=len(most))

    def _kept(self, members: list[MemberId], header: Header, votes: tuple[Vote, ...]) -> StoredBlock:
        kept: StoredBlock | None = None
        for name in members:
            try:
                kept = self.replicas[name].finalise(header, votes)
            except IntegrityError as error:
                self.halted[name] = error
            except UnavailableError:
                continue
        if kept is None:
            raise NotFinalError(members_up=0)
        return kept

    def _adopted(self, name: MemberId) -> bool:
        """Let a member adopt all that the furthest member has; false where it cannot go on for now."""
        source = self._source()
        try:
            for stored in source.blocks(self.replicas[name].height + 1):
                self.replicas[name].adopt(stored)
        except (BrokenBlockError, ReceiptError) as error:
            broken = error if isinstance(error, IntegrityError) else BrokenBlockError(member=source.member)
            self.halted[source.member] = broken
        except IntegrityError as error:
            self.halted[name] = error
        except UnavailableError:
            return False
        return True

    def _source(self) -> Replica:
        return max((self.replicas[name] for name in self.replicas if self._is_up(name)), key=lambda r: r.height)

    def _lags(self, name: MemberId) -> bool:
        return self.replicas[name].height < self._source().height

    def _is_up(self, member: MemberId) -> bool:
        return member not in self._held and member not in self.halted
