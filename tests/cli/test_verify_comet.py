"""`salus verify` with receipts of the CometBFT engine: from two or three files, and nothing else."""

import json
from pathlib import Path

import pytest

from salus.cli.main import main
from salus.core.wire import decode, encode, replace
from salus.engines.cometbft.checkpoints import CheckpointFile
from tests.engines.cometbft.receipt_cases import NET, OTHER, made, signed_checkpoint


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "genesis").write_bytes(encode(NET.genesis))
    (tmp_path / "one.receipt").write_bytes(encode(made()[0]))
    (tmp_path / "refused.receipt").write_bytes(encode(made()[2]))
    (tmp_path / "checkpoint").write_bytes(encode(CheckpointFile((signed_checkpoint(1),))))
    return tmp_path


def verified(
    folder: Path, receipt: str, capfd: pytest.CaptureFixture[str], *more: str
) -> tuple[int, dict[str, object]]:
    words = ["verify", str(folder / receipt), "--genesis", str(folder / "genesis"), *more, "--json"]
    code = main(words)
    shown: dict[str, object] = json.loads(capfd.readouterr().out)
    return code, shown


def test_a_receipt_of_another_network_does_not_hold(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (files / "genesis").write_bytes(encode(OTHER.genesis))
    assert verified(files, "one.receipt", capfd)[0] == 3


def test_a_changed_receipt_does_not_hold(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = (files / "one.receipt").read_bytes()
    for place in range(0, len(data), 97):
        (files / "bad.receipt").write_bytes(data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :])
        assert verified(files, "bad.receipt", capfd)[0] in (3, 4)


def test_a_receipt_holds_and_names_who_signed(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, shown = verified(files, "one.receipt", capfd)
    assert (code, shown["holds"], shown["result"], shown["height"]) == (0, True, "ok", 2)
    assert sorted(map(str, shown["signed_by"])) == sorted(party.member for party in NET.parties)  # type: ignore[call-overload]
    assert (shown["sponsor"], shown["messages"]) == ("st-luke", ["cells.create/1"])
    assert verified(files, "refused.receipt", capfd)[1]["result"] == "cells.exists"


def test_what_is_no_checkpoint_is_malformed(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, shown = verified(files, "one.receipt", capfd, "--checkpoint", str(files / "genesis"))
    assert (code, shown["error"]["code"]) == (4, "cli.not_a_checkpoint")  # type: ignore[index]


def test_a_checkpoint_is_trusted_only_if_the_members_of_the_genesis_signed_it(
    files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    more = ("--checkpoint", str(files / "checkpoint"))
    whole = decode(CheckpointFile, (files / "checkpoint").read_bytes()).checkpoints[-1]
    two = CheckpointFile(checkpoints=(replace(whole, signatures=whole.signatures[:2]),))
    (files / "two").write_bytes(encode(two))
    code, shown = verified(files, "one.receipt", capfd, "--checkpoint", str(files / "two"))
    assert (code, shown["error"]["code"]) == (3, "engine.checkpoint")  # type: ignore[index]
    assert verified(files, "one.receipt", capfd, *more)[0] == 0
