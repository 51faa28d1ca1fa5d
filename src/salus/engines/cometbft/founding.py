"""What CometBFT's genesis.json says of ours: who validates, and the digest of the genesis that each member holds."""

import json
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from salus.contracts.members.messages import Genesis
from salus.core.ids import Digest, PublicKey
from salus.core.wire import encode
from salus.crypto.digests import tagged
from salus.engines.cometbft.blocks import address_of
from salus.engines.receipts import validators_of

EVIDENCE_AGE_BLOCKS = 100_000  # A double signature older than both counts no more.
EVIDENCE_AGE_S = 14 * 24 * 3_600
_EVIDENCE_BYTES = 65_536
_KEY_TYPE = "tendermint/PubKeyEd25519"


@dataclass(frozen=True, slots=True)
class FoundingState:
    """What two members must agree on before the first block."""

    digest: Digest
    validators: tuple[PublicKey, ...]


def founding_state(genesis: Genesis) -> FoundingState:
    """The digest of a genesis, and who validates at the start."""
    keys = tuple(key for _, key in validators_of(genesis))
    return FoundingState(digest=tagged("engine.genesis", encode(genesis)), validators=keys)


def is_founding_state(data: bytes, genesis: Genesis) -> bool:
    """Whether CometBFT's `app_state` names this genesis."""
    try:
        said = json.loads(data)
    except ValueError:
        return False
    return bool(said == _app_state(genesis))


def comet_genesis(genesis: Genesis) -> bytes:
    """CometBFT's genesis.json: the same bytes on every member."""
    named = {
        "genesis_time": datetime.fromtimestamp(genesis.time / 1_000, UTC).isoformat(timespec="milliseconds")[:23] + "Z",
        "chain_id": genesis.chain,
        "initial_height": "1",
        "consensus_params": {
            # No limit of CometBFT's own: a proposer then sees its whole mempool, so that no import hides a revocation.
            "block": {"max_bytes": "-1", "max_gas": "-1"},
            "evidence": {
                "max_age_num_blocks": str(EVIDENCE_AGE_BLOCKS),
                "max_age_duration": str(EVIDENCE_AGE_S * 1_000_000_000),
                "max_bytes": str(_EVIDENCE_BYTES),
            },
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {"app": "0"},
            "abci": {"vote_extensions_enable_height": "0"},
        },
        "validators": [_validator(member, key) for member, key in validators_of(genesis)],
        "app_hash": "",
        "app_state": _app_state(genesis),
    }
    return json.dumps(named, indent=2).encode() + b"\n"


def _validator(member: str, key: PublicKey) -> dict[str, Any]:
    return {
        "address": address_of(key).hex().upper(),
        "pub_key": {"type": _KEY_TYPE, "value": b64encode(key).decode()},
        "power": "1",
        "name": member,
    }


def _app_state(genesis: Genesis) -> dict[str, str]:
    return {"genesis": founding_state(genesis).digest.hex()}
