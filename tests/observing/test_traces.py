"""Traces: one id from step to step, nothing beside the allow-list, within bounds."""

import asyncio
import re
from collections.abc import Iterator

import pytest

from salus.engines.trace import carried, carrying, sound
from salus.keeper.errors import PersonError
from salus.node.observing import traces
from salus.node.observing.traces import Tracer, first_step, step

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    yield traces.begin(Tracer())
    traces._current = None


@pytest.mark.parametrize(
    "said",
    [
        "",
        "jane doe",
        GOOD.upper(),
        GOOD + "0",
        GOOD.replace("00-", "01-", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        GOOD + "\n",
    ],
)
def test_what_has_not_the_one_form_is_no_trace(said: str) -> None:
    assert sound(said) == ""


def test_a_trace_in_the_one_form_is_carried_on() -> None:
    assert sound(GOOD) == GOOD


def test_a_step_without_a_trace_is_not_noted(tracer: Tracer) -> None:
    with step("answer", member="mercy"):
        pass
    assert not tracer.spans


def test_a_first_step_begins_a_trace_and_the_next_ones_belong_to_it(tracer: Tracer) -> None:
    with first_step("read", member="mercy", part="gateway"), step("call", peer="st-luke"):
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", carried.get())
    assert carried.get() == ""
    inner, outer = tracer.spans
    assert (inner.trace, inner.parent) == (outer.trace, outer.span)
    assert outer.parent == ""
    assert inner.fields == {"peer": "st-luke"}


async def test_tasks_that_a_step_begins_belong_to_it(tracer: Tracer) -> None:
    async def call(peer: str) -> None:
        with step("call", peer=peer):
            await asyncio.sleep(0)

    with first_step("read"):
        await asyncio.gather(*(asyncio.create_task(call(peer)) for peer in ("st-luke", "lakeside")))
    assert len({span.trace for span in tracer.spans}) == 1
    assert [span.name for span in tracer.spans] == ["call", "call", "read"]


def test_a_step_of_another_process_goes_on_with_its_trace(tracer: Tracer) -> None:
    with carrying(GOOD), step("answer"):
        pass
    (span,) = tracer.spans
    assert (span.trace, span.parent) == (GOOD[3:35], GOOD[36:52])


def test_a_step_says_how_it_ended_by_code(tracer: Tracer) -> None:
    for error in (PersonError(reason="Jane Doe"), ValueError("Jane Doe"), asyncio.CancelledError()):
        with pytest.raises(type(error)), first_step("read"):
            raise error
    assert [span.code for span in tracer.spans] == ["keeper.person", "fault", "cancelled"]


def test_a_step_has_no_field_and_no_name_that_is_not_allowed(tracer: Tracer) -> None:
    with first_step("read Jane Doe", subject="00ff", reason="Jane Doe", member="mercy"):
        pass
    (span,) = tracer.spans
    assert span.name == "other"
    assert span.fields == {"member": "mercy"}
    assert "Jane" not in str(span.as_json)


def test_only_the_newest_are_kept() -> None:
    tracer = Tracer(kept=3)
    for _ in range(10):
        with tracer.noting("read", {}):
            pass
    assert len(tracer.spans) == 3
