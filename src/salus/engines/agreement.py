"""How the members of one process agree on a block, and who of them takes part.

Each member that takes part applies the block inside its own open write transaction and signs the header it computed;
with one header signed by more than two thirds of the validators, each keeps it with one fsync; otherwise nobody does.
Who validates is what the state says after the block before: members come and go, and change keys, while this runs.
A member that is held back, or whose disk failed, lags and adopts what it missed. A member whose own result contradicts
the network's halts alone. All of this happens without an `await`: no write transaction is open while others run.
"""

from collections.abc import Mapping

from salus.core.errors import IntegrityError, UnavailableError
from salus.core.ids import Digest, MemberId
from salus.crypto.signatures import SigningKey
from salus.engines.layout import StoredBlock
from salus.engines.ledger_copy import BrokenBlockError
from salus.engines.receipts import ReceiptError, Vote, is_quorum, keys_of
from salus.engines.replica import Replica
from salus.machine.block import Block, Header, header_id
from salus.machine.errors import UnknownRulesError


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

    def newest(self) -> Replica:
        """The replica that is furthest, whether it takes part or not."""
        return max(self.replicas.values(), key=lambda replica: replica.height)

    @property
    def validators(self) -> list[MemberId]:
        """Whose signatures make the next block final."""
        return [one.validator for one in self.newest().validators]

    def admit(self, member: MemberId, replica: Replica, key: SigningKey) -> None:
        """Let a member take part from now on, or with another key; it catches up before it votes."""
        self.replicas[member] = replica
        self._keys[member] = key

    def dismiss(self, member: MemberId) -> None:
        """Let a member's replica go. One that validates is then missing."""
        del self.replicas[member], self._keys[member]
        self._held.discard(member)
        self.halted.pop(member, None)

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
        """Validators among those whose key is here."""
        keys = keys_of(self.newest().validators)
        return [name for name in self.taking_part() if keys.get(name) == self._keys[name].public]

    def is_ready(self) -> bool:
        """Whether the members that are up can make a block final.

        Raises:
            NoQuorumError: so many have halted that they never will.
            UnknownRulesError: that is so because this program is too old for the rules in force.
        """
        validators = self.validators
        if not is_quorum(len([name for name in validators if name not in self.halted]), len(validators)):
            for error in self.halted.values():
                if isinstance(error, UnknownRulesError):
                    raise error
            raise NoQuorumError(halted=len(self.halted), members=len(validators))
        return is_quorum(len(self.voting()), len(validators))

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
            NoQuorumError: members contradict each other or have halted, and no header has enough votes.
            UnknownRulesError: as in `is_ready`.
        """
        try:
            headers = self._prepared(block)
            able = self.voting()
            header = self._elected({name: headers[name] for name in able if name in headers})
            voters = [name for name in able if headers.get(name) == header]
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
        for header in headers.values():
            votes.setdefault(header_id(header), []).append(header)
        most = max(votes.values(), key=len, default=[])
        if is_quorum(len(most), len(self.validators)):
            return most[0]
        if len(votes) > 1:
            raise NoQuorumError(members=len(headers), headers=len(votes))
        self.is_ready()  # Raises if those that halted at this very block are too many.
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
