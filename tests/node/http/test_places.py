"""Which part of a member a request goes to: as its doors are, so the table is."""

import os
from pathlib import Path

import pytest

from salus.contracts.members.messages import Endpoints
from salus.core.transport import Door
from salus.core.wire import Record, encode
from salus.node.http.places import Part, address_in, part_of, places_of, tag_of
from salus.node.http.trust import pins_of
from tests.node.http.wires import BEN, Question
from tests.node.stage import stage


class Asked(Door):
    """A door that only notes which requests it would answer."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[type[Record]] = []

    def answer(self, request: type[Record], handler: object) -> None:
        self.kinds.append(request)


async def test_every_request_goes_to_the_part_whose_door_answers_it(tmp_path: Path) -> None:
    async with stage(tmp_path, 1) as on:
        member = on["mercy"]
        for part, owners in (
            (Part.KEEPER, (member.keeper, member.vault)),
            (Part.GATEWAY, (member.desk, member.directory)),
        ):
            door = Asked()
            for owner in owners:
                owner.open_door(door)
            assert len(door.kinds) > 1
            for kind in door.kinds:
                tag = str(kind.__struct_config__.tag)
                assert part_of(b"\x92" + encode(tag) + b"\x00") is part, tag


async def test_addresses_and_keys_are_the_ledgers_unless_a_table_of_this_machine_says_otherwise(tmp_path: Path) -> None:
    async with stage(tmp_path, 2) as on:
        view = on["mercy"].replica
        pins = pins_of(view)
        assert pins.keys_of(on["st-luke"].name) == (on["st-luke"].secrets.tls.public,)
        assert pins.keys_of(BEN) == ()
        assert pins.members() == ("mercy", "st-luke")
        assert pins.height() == view.height
        places = places_of(view, {(on["st-luke"].name, Part.GATEWAY): "127.0.0.1:1"})
        assert places(on["st-luke"].name, Part.GATEWAY) == "127.0.0.1:1"
        assert places(on["st-luke"].name, Part.KEEPER) == places(BEN, Part.KEEPER) == ""


def test_the_keepers_and_the_gateways_addresses_are_two() -> None:
    both = Endpoints(keeper="a:1", gateway="b:2")
    assert [address_in(both, part) for part in Part] == ["a:1", "b:2"]


@pytest.mark.parametrize("size", [1, 20, 40, 200])
@pytest.mark.parametrize("fields", [1, 20])
def test_a_tag_is_read_without_the_rest(size: int, fields: int) -> None:
    assert tag_of(encode(["t" * size, *range(fields)]) + os.urandom(9)) == "t" * size


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x91", b"\xc1", b"\xdc", b"\xdc\x00", b"\x91\xd9", b"\x91\x01", b"a"])
def test_what_is_no_message_has_no_tag(data: bytes) -> None:
    assert tag_of(data) == ""
    assert part_of(data) is Part.KEEPER


def test_a_real_message_has_its_tag() -> None:
    assert tag_of(encode(Question(number=1))) == "test.question/1"
