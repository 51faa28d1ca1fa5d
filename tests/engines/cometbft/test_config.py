"""What CometBFT reads: its own words for our genesis and keys, and settings that were measured."""

import json
import tomllib
from base64 import b64decode
from pathlib import Path

import pytest

from salus.core.ids import MemberId
from salus.crypto.digests import derive, digest
from salus.engines.cometbft.config import (
    EngineFolderError,
    EngineSettings,
    NodeKeyError,
    StateSync,
    make_node_key,
    node_id,
    rpc_address,
    write_config,
)
from salus.engines.cometbft.founding import comet_genesis, is_founding_state
from salus.engines.cometbft.supervisor import BINARY_VARIABLE, NoEngineError, Supervisor, find_binary
from tests.support.network import network

SEED = derive(network(4).seed, "mercy", "validator")


def written(folder: Path, settings: EngineSettings | None = None) -> dict[str, object]:
    make_node_key(folder, bytes(32))
    write_config(folder, network(4).genesis, MemberId("mercy"), SEED, settings or EngineSettings())
    return tomllib.loads((folder / "config/config.toml").read_text())


def test_a_missing_or_damaged_node_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(NodeKeyError):
        node_id(tmp_path)
    with pytest.raises(NodeKeyError):
        write_config(tmp_path, network(4).genesis, MemberId("mercy"), SEED, EngineSettings())
    make_node_key(tmp_path, bytes(32))
    for damage in (b"", b"{}", b'{"priv_key": {"value": "AAAA"}}', b'{"priv_key": 1}', b"\xff"):
        (tmp_path / "config/node_key.json").write_bytes(damage)
        with pytest.raises(NodeKeyError):
            node_id(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "engine").write_bytes(b"")
    with pytest.raises(EngineFolderError):
        make_node_key(tmp_path / "engine", bytes(32))


def test_a_node_key_is_made_once(tmp_path: Path) -> None:
    first = make_node_key(tmp_path, bytes(32))
    assert make_node_key(tmp_path, bytes(31) + b"\1") == first == node_id(tmp_path)
    assert len(bytes.fromhex(first)) == 20


def test_keys_are_for_their_owner_alone_and_what_was_signed_last_is_never_reset(tmp_path: Path) -> None:
    written(tmp_path)
    signed = tmp_path / "data/priv_validator_state.json"
    signed.write_text('{"height": "7", "round": 0, "step": 3}')
    written(tmp_path)
    assert json.loads(signed.read_text())["height"] == "7"
    for file in tmp_path.rglob("*.*"):
        assert file.stat().st_mode & 0o077 == 0, file
    key = json.loads((tmp_path / "config/priv_validator_key.json").read_text())
    public = network(4).party("mercy").validator.public
    assert b64decode(key["priv_key"]["value"]) == SEED + public
    assert b64decode(key["pub_key"]["value"]) == public
    assert bytes.fromhex(key["address"]) == digest(public)[:20]


def test_the_genesis_is_the_same_everywhere_and_names_ours_by_digest() -> None:
    said = json.loads(comet_genesis(network(4).genesis))
    assert said["genesis_time"] == "2026-02-02T02:40:00.000Z"
    assert [each["power"] for each in said["validators"]] == ["1"] * 4
    state = json.dumps(said["app_state"]).encode()
    assert is_founding_state(state, network(4).genesis)
    assert not is_founding_state(state, network(4, chain="other").genesis)  # type: ignore[arg-type]
    assert not is_founding_state(state, network(3).genesis)


def test_settings_are_those_that_were_measured(tmp_path: Path) -> None:
    peers = ("ab@127.0.0.1:1", "cd@127.0.0.1:2")
    said: dict[str, dict[str, object]] = written(tmp_path, EngineSettings(peers=peers))  # type: ignore[assignment]
    assert said["tx_index"]["indexer"] == "null"
    assert said["mempool"]["keep-invalid-txs-in-cache"] is False
    assert said["consensus"]["create_empty_blocks_interval"] == "15000ms"
    assert said["consensus"]["timeout_commit"] == "10ms"
    assert said["consensus"]["peer_gossip_sleep_duration"] == "5ms"
    assert said["p2p"]["flush_throttle_timeout"] == "2ms"
    assert said["p2p"]["unconditional_peer_ids"] == "ab,cd"
    assert (said["p2p"]["pex"], said["p2p"]["addr_book_strict"]) == (False, False)
    assert said["statesync"] == {"enable": False}
    more = EngineSettings(more={"consensus.timeout_commit": "1s"}, state_sync=StateSync(("http://a:1",), 5, "AB"))
    said = written(tmp_path, more)  # type: ignore[assignment]
    assert said["consensus"]["timeout_commit"] == "1s"
    assert (said["statesync"]["enable"], said["statesync"]["trust_height"]) == (True, 5)


def test_calls_go_where_the_settings_say(tmp_path: Path) -> None:
    assert rpc_address(tmp_path, EngineSettings()) == tmp_path / "rpc.sock"
    assert rpc_address(tmp_path, EngineSettings(rpc="tcp://127.0.0.1:77")) == ("127.0.0.1", 77)


async def test_a_missing_engine_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BINARY_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(NoEngineError, match="make engine"):
        find_binary()
    monkeypatch.setenv(BINARY_VARIABLE, str(tmp_path))
    with pytest.raises(NoEngineError):
        find_binary()
    monkeypatch.delenv(BINARY_VARIABLE)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("GOPATH", str(tmp_path))
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    with pytest.raises(NoEngineError):
        find_binary()
    (tmp_path / "bin").mkdir()
    for name in ("cometbft", "salus-engine"):  # Our own goes first.
        (tmp_path / "bin" / name).write_bytes(b"")
        (tmp_path / "bin" / name).chmod(0o700)
        assert find_binary() == tmp_path / "bin" / name
    with pytest.raises(NoEngineError):
        await Supervisor(tmp_path, tmp_path / "nothing").start()
