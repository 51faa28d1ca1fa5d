"""A wallet: one 32-byte seed, from which a patient's owner keys, device key and term keys follow.

The hospital that keeps a wallet for who has no device is its custodian; the policy says so, and keepers treat its keys
accordingly. What a wallet must remember besides its seed can be had again: the version from the ledger, the rules from
the policy's sealed memo.
"""

import os

from salus.contracts.consent import (
    ClearRule,
    Device,
    PolicySet,
    TermKeys,
    Writer,
    blind_rule,
)
from salus.contracts.consent.policy import subject_handle
from salus.core.ids import CellId, ChainId, CommitteeId, Digest, MemberId, Name, Salt, SubjectId, Version
from salus.core.wire import Record, decode, encode, replace
from salus.crypto.digests import derive, digest
from salus.crypto.sealing_at_rest import NONCE_BYTES, unwrap, wrap
from salus.crypto.signatures import SigningKey


class Rules(Record, tag="wallet.rules/1", frozen=True):
    """A patient's rules in clear: they stay with the wallet, and travel only sealed for it."""

    rules: tuple[ClearRule, ...]


class Wallet(Record, tag="wallet/1", frozen=True):
    """All that the holder keeps. Secret as a whole."""

    chain: ChainId
    seed: Digest
    cell: CellId
    committee: CommitteeId
    handle_salt: Salt
    jurisdiction: str
    custodian: Name | None
    rules: tuple[ClearRule, ...]
    writers: tuple[Writer, ...]
    older_term_seeds: tuple[Digest, ...]  # Of holders before a claim: older records keep their tokens.

    @property
    def subject(self) -> SubjectId:
        """The patient's handle."""
        return subject_handle(self.cell, self.handle_salt)

    @property
    def term_seed(self) -> Digest:
        """From which the term keys of new records follow."""
        return derive(self.seed, "terms", self.cell)

    def owner_key(self, version: Version) -> SigningKey:
        """The one-time key that moves the cell on from this version."""
        return SigningKey(derive(self.seed, "owner", self.cell, version))

    def owner_digest(self, version: Version) -> Digest:
        """What the cell holds of that key until it is used."""
        return digest(self.owner_key(version).public)

    def device_key(self) -> SigningKey:
        """The key with which this device reads as the patient; pairwise with the subject."""
        return SigningKey(derive(self.seed, "device", self.cell))

    def term_key(self, author: MemberId) -> bytes:
        """The key under which an author blinds the terms of new records of this patient."""
        return author_term_key(self.term_seed, author)

    def term_keys(self) -> TermKeys:
        """For every writer, the keys of all its records: today's and those of earlier holders."""
        seeds = (self.term_seed, *self.older_term_seeds)
        return {w.member: tuple(author_term_key(seed, w.member) for seed in seeds) for w in self.writers}

    def policy(self, version: Version, salt: Salt) -> PolicySet:
        """The policy set that this wallet stands for, as a version of its cell."""
        keys = self.term_keys()
        device = Device(key=self.device_key().public, handle=digest(self.device_key().public)[:16])
        return PolicySet(
            chain=self.chain,
            cell=self.cell,
            version=version,
            salt=salt,
            subject=self.subject,
            rules=tuple(blind_rule(rule, keys) for rule in self.rules),
            writers=self.writers,
            devices=() if self.custodian is not None else (device,),
            proxies=(),
            guardians=(),
            custodian=self.custodian,
            jurisdiction=self.jurisdiction,
            memo=self._memo(),
            handle_salt=self.handle_salt,
        )

    def with_rules_of(self, policy: PolicySet) -> "Wallet":
        """The wallet with rules and writers as a policy version that it sealed itself has them.

        Raises:
            UnopenableError: another wallet wrote the memo.
        """
        rules = decode(Rules, unwrap(self._memo_key(), policy.memo, self.cell))
        return replace(self, rules=rules.rules, writers=policy.writers)

    def _memo(self) -> bytes:
        return wrap(self._memo_key(), os.urandom(NONCE_BYTES), encode(Rules(rules=self.rules)), self.cell)

    def _memo_key(self) -> bytes:
        return derive(self.seed, "memo", self.cell)


def author_term_key(term_seed: Digest, author: MemberId) -> bytes:
    """`k[subject, author]`: one hospital cannot read another's terms."""
    return derive(term_seed, "author", author)


def new_wallet(
    chain: ChainId,
    committee: CommitteeId,
    jurisdiction: str,
    writers: tuple[MemberId, ...],
    custodian: MemberId | None = None,
) -> Wallet:
    """A fresh wallet for a new patient of these writers."""
    return Wallet(
        chain=chain,
        seed=os.urandom(32),
        cell=os.urandom(16),
        committee=committee,
        handle_salt=os.urandom(32),
        jurisdiction=jurisdiction,
        custodian=custodian,
        rules=(),
        writers=tuple(Writer(member=member) for member in writers),
        older_term_seeds=(),
    )


def claimed(wallet: Wallet) -> Wallet:
    """The same patient under a fresh seed: owner, devices and new terms are the patient's own from now on."""
    return replace(
        wallet, seed=os.urandom(32), custodian=None, older_term_seeds=(wallet.term_seed, *wallet.older_term_seeds)
    )
