"""What CometBFT reads in a member's folder, written anew at each start from the genesis, keys and settings.

    members/mercy/engine/config/    config.toml, genesis.json, priv_validator_key.json, node_key.json
                         data/      CometBFT's blocks, its state, what it signed last: never to be copied or reset
                         abci.sock  where this member's application listens
                         rpc.sock   where CometBFT listens

The validator's key is the member's own, in CometBFT's form. A member that validates with one key on two machines signs
twice and is suspended; so what it signed last is founded once and then left alone.
"""

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from salus.contracts.members.messages import Genesis
from salus.core.errors import IntegrityError, UnavailableError
from salus.crypto.signatures import SigningKey
from salus.engines.cometbft.blocks import address_of
from salus.engines.cometbft.checking import LANE_PART, POOL_BYTES, POOL_TXS
from salus.engines.cometbft.founding import comet_genesis
from salus.engines.cometbft.handing import BATCH_TXS_MAX

ABCI_SOCKET: Final = "abci.sock"
RPC_SOCKET: Final = "rpc.sock"
HEARTBEAT_S: Final = 15.0
_SEED_BYTES: Final = 32
_NODE_KEY: Final = Path("config/node_key.json")
_SIGNED: Final = Path("data/priv_validator_state.json")


class EngineFolderError(UnavailableError):
    """The engine's folder cannot be written."""

    code = "engine.folder"


class NodeKeyError(IntegrityError):
    """The engine's node key is missing or damaged: peers know this member by it."""

    code = "engine.node_key"


@dataclass(frozen=True, slots=True)
class StateSync:
    """How a new member joins by a snapshot: whom to ask for light blocks, and which block to trust."""

    rpc_servers: tuple[str, ...]  # Two or more, as `http://host:port`.
    trust_height: int
    trust_hash: str  # Hexadecimal: the id of the block at that height, from a checkpoint or a receipt.


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How this member's CometBFT runs. Times as measured for four members: see decision 0018."""

    listen: str = "127.0.0.1:0"  # Where peers reach it.
    peers: tuple[str, ...] = ()  # `node id@host:port` of all others.
    rpc: str = f"unix://{RPC_SOCKET}"  # Or `tcp://127.0.0.1:port`, where others ask for light blocks.
    heartbeat_s: float = HEARTBEAT_S
    timeout_commit_ms: int = 10
    timeout_propose_ms: int = 800
    log_level: str = "error"
    is_local: bool = True  # All members on this machine, or in one network: private addresses are good ones.
    state_sync: StateSync | None = None
    more: Mapping[str, str | int | bool] = field(default_factory=dict)  # `section.key` to set besides, for drills.


def make_node_key(folder: Path, seed: bytes) -> str:
    """Make the key by which peers know this member's engine, unless it is there; its node id.

    Raises:
        EngineFolderError: the folder cannot be written.
    """
    if not (folder / _NODE_KEY).exists():
        key = SigningKey(seed)
        whole = b64encode(seed + key.public).decode()
        _write(folder / _NODE_KEY, _json({"priv_key": {"type": "tendermint/PrivKeyEd25519", "value": whole}}))
    return node_id(folder)


def node_id(folder: Path) -> str:
    """The id by which peers know this member's engine.

    Raises:
        NodeKeyError: its key is missing or damaged.
    """
    try:
        said = json.loads((folder / _NODE_KEY).read_bytes())
        whole = b64decode(said["priv_key"]["value"], validate=True)
        if len(whole) != 2 * _SEED_BYTES:
            raise NodeKeyError
        return address_of(SigningKey(whole[:_SEED_BYTES]).public).hex()
    except (OSError, ValueError, KeyError, TypeError):
        raise NodeKeyError from None


def rpc_address(folder: Path, settings: EngineSettings) -> Path | tuple[str, int]:
    """Where this member's CometBFT listens for calls: a socket, or a host and port."""
    kind, _, place = settings.rpc.partition("://")
    if kind == "unix":
        return folder / place
    host, _, port = place.rpartition(":")
    return host, int(port)


def write_config(folder: Path, genesis: Genesis, member: str, seed: bytes, settings: EngineSettings) -> None:
    """Write all that CometBFT reads; `seed` is that of the member's validator key. `make_node_key` comes before.

    Raises:
        EngineFolderError: the folder cannot be written.
        NodeKeyError: there is no node key.
    """
    node_id(folder)
    _write(folder / "config/genesis.json", comet_genesis(genesis))
    _write(folder / "config/priv_validator_key.json", _validator_key(seed))
    if not (folder / _SIGNED).exists():
        _write(folder / _SIGNED, _json({"height": "0", "round": 0, "step": 0}))
    _write(folder / "config/config.toml", _toml(_config(member, settings)).encode())


def _validator_key(seed: bytes) -> bytes:
    key = SigningKey(seed)
    return _json(
        {
            "address": address_of(key.public).hex().upper(),
            "pub_key": {"type": "tendermint/PubKeyEd25519", "value": b64encode(key.public).decode()},
            "priv_key": {"type": "tendermint/PrivKeyEd25519", "value": b64encode(seed + key.public).decode()},
        }
    )


def _config(member: str, settings: EngineSettings) -> dict[str, dict[str, str | int | bool]]:
    """Sections with their keys; what is not named keeps CometBFT's own default."""
    pool = POOL_TXS + POOL_TXS // LANE_PART + 1_024  # More than `Checker` lets in, so that it is never full.
    sections: dict[str, dict[str, str | int | bool]] = {
        "": {
            "proxy_app": f"unix://{ABCI_SOCKET}",
            "moniker": member,
            "abci": "socket",
            "log_level": settings.log_level,
        },
        "rpc": {
            "laddr": settings.rpc,
            "max_body_bytes": 4 << 20,
            "max_open_connections": 900,
            "max_request_batch_size": BATCH_TXS_MAX,
        },
        "p2p": {
            "laddr": f"tcp://{settings.listen}",
            "persistent_peers": ",".join(settings.peers),
            "unconditional_peer_ids": ",".join(peer.partition("@")[0] for peer in settings.peers),
            "persistent_peers_max_dial_period": "2s",
            "addr_book_strict": not settings.is_local,
            "allow_duplicate_ip": settings.is_local,
            "pex": False,
            "flush_throttle_timeout": "2ms",
            "send_rate": 64 << 20,
            "recv_rate": 64 << 20,
        },
        "mempool": {
            "size": pool,
            "max_txs_bytes": POOL_BYTES + POOL_BYTES // LANE_PART + (1 << 20),
            "cache_size": 2 * pool,
            "keep-invalid-txs-in-cache": False,
            "recheck": False,  # A block refuses what has become wrong, or has run out, since its check.
            "experimental_max_gossip_connections_to_persistent_peers": 0,
        },
        "consensus": {
            "timeout_propose": f"{settings.timeout_propose_ms}ms",
            "timeout_propose_delta": "200ms",
            "timeout_prevote": "400ms",
            "timeout_prevote_delta": "200ms",
            "timeout_precommit": "400ms",
            "timeout_precommit_delta": "200ms",
            "timeout_commit": f"{settings.timeout_commit_ms}ms",
            "create_empty_blocks": True,
            "create_empty_blocks_interval": f"{round(settings.heartbeat_s * 1_000)}ms",
            "peer_gossip_sleep_duration": "5ms",
            "block_time_tolerance": "5m",
        },
        "tx_index": {"indexer": "null"},
        "statesync": _state_sync(settings.state_sync),
    }
    for name, value in settings.more.items():
        section, _, key = name.rpartition(".")
        sections[section][key] = value
    return sections


def _state_sync(wanted: StateSync | None) -> dict[str, str | int | bool]:
    if wanted is None:
        return {"enable": False}
    return {
        "enable": True,
        "rpc_servers": ",".join(wanted.rpc_servers),
        "trust_height": wanted.trust_height,
        "trust_hash": wanted.trust_hash,
        "trust_period": "168h",
        "discovery_time": "5s",
    }


def _toml(sections: dict[str, dict[str, str | int | bool]]) -> str:
    """JSON's text, numbers and truth values are TOML's."""
    lines: list[str] = []
    for section, keys in sections.items():
        lines += [f"\n[{section}]"] if section else []
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


def _write(path: Path, data: bytes) -> None:
    """Write a file for its owner alone, durable and whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_name(path.name + ".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise EngineFolderError(errno=error.errno or 0) from None
