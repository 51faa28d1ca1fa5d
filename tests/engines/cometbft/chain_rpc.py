"""A chain's blocks in the JSON of CometBFT's RPC, where validators change in ways that one real node cannot show."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from salus.engines.cometbft.blocks import BlockId, Header, LightBlock, Validator, address_of, header_hash
from salus.engines.cometbft.encoding import SECOND_NS
from salus.engines.cometbft.rpc import EngineSaidError
from salus.machine.block import ACCEPTED
from tests.engines.cometbft.chain import Chain


class ChainRpc:
    """Answers as a node at this height would."""

    def __init__(self, chain: Chain, height: int | None = None) -> None:
        self.chain = chain
        self.height = len(chain.blocks) if height is None else height
        self.asked: list[tuple[str, int]] = []

    async def call(self, method: str, **parameters: object) -> Any:
        if method == "status":
            return {"sync_info": {"latest_block_height": str(self.height)}}
        height = int(str(parameters["height"]))
        self.asked.append((method, height))
        if not 1 <= height <= self.height:
            raise EngineSaidError("no such height", method=method)
        block = self.chain.at(height)
        if method == "commit":
            return commit_of(block)
        if method == "validators":
            page, size = int(str(parameters["page"])), int(str(parameters["per_page"]))
            shown = block.validators[(page - 1) * size : page * size]
            return {"validators": [_validator(one) for one in shown], "total": str(len(block.validators))}
        txs, codes = self.chain.txs[height - 1], self.chain.codes[height - 1]
        if method == "block":
            data = {"txs": [_base64(tx) for tx in txs] or None}
            return {"block": {"header": _header(block.header), "data": data}}
        assert method == "block_results"
        results = [{"code": int(code != ACCEPTED), "data": _base64(code.encode())} for code in codes]
        return {"txs_results": results or None}


def commit_of(block: LightBlock) -> dict[str, Any]:
    """What a node answers who is asked for the commit of this block."""
    return {"signed_header": {"header": _header(block.header), "commit": _commit(block)}, "canonical": True}


def _header(header: Header) -> dict[str, Any]:
    return {
        "version": {"block": str(header.block_version), "app": str(header.app_version)},
        "chain_id": header.chain,
        "height": str(header.height),
        "time": _time(header.time),
        "last_block_id": _block_id(header.previous),
        "last_commit_hash": header.last_commit.hex().upper(),
        "data_hash": header.data.hex().upper(),
        "validators_hash": header.validators.hex().upper(),
        "next_validators_hash": header.next_validators.hex().upper(),
        "consensus_hash": header.consensus.hex().upper(),
        "app_hash": header.app_hash.hex().upper(),
        "last_results_hash": header.last_results.hex().upper(),
        "evidence_hash": header.evidence.hex().upper(),
        "proposer_address": header.proposer.hex().upper(),
    }


def _commit(block: LightBlock) -> dict[str, Any]:
    votes = {vote.validator: vote for vote in block.votes}
    absent = {"block_id_flag": 1, "validator_address": "", "timestamp": "0001-01-01T00:00:00Z", "signature": None}
    shown = []
    for validator in block.validators:
        vote = votes.get(address_of(validator.key))
        named = address_of(validator.key).hex().upper()
        shown.append(
            {
                "block_id_flag": 2,
                "validator_address": named,
                "timestamp": _time(vote.time),
                "signature": _base64(vote.signature),
            }
            if vote
            else absent
        )
    of = BlockId(header_hash(block.header), block.parts, block.parts_root)
    return {
        "height": str(block.header.height),
        "round": block.round,
        "block_id": _block_id(of),
        "signatures": shown,
    }


def _block_id(of: BlockId) -> dict[str, Any]:
    return {"hash": of.header.hex().upper(), "parts": {"total": of.parts, "hash": of.parts_root.hex().upper()}}


def _validator(of: Validator) -> dict[str, Any]:
    key = {"type": "tendermint/PubKeyEd25519", "value": _base64(of.key)}
    return {"address": address_of(of.key).hex().upper(), "pub_key": key, "voting_power": str(of.power)}


def _time(time_ns: int) -> str:
    seconds, nanos = divmod(time_ns, SECOND_NS)
    shown = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{shown}.{nanos:09}".rstrip("0").rstrip(".") + "Z"


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
