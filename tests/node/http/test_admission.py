"""What a peer may use at once and in a while."""

import pytest

from salus.core.transport import REQUEST_BYTES_MAX
from salus.node.http.admission import Admission, Limits, TokenBucket
from salus.node.http.errors import OverloadedError, TooLongError, TooManyError
from tests.node.http.wires import ANNA, BEN


def test_a_bucket_gives_its_reserve_then_its_rate() -> None:
    now = [0.0]
    bucket = TokenBucket(2.0, 3, lambda: now[0])
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]
    now[0] = 0.5
    assert [bucket.take(), bucket.take()] == [0, 0.5]
    now[0] = 100
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 0.5]


def test_each_limit_refuses_in_its_turn_and_all_is_given_back() -> None:
    limits = Limits(requests_at_once_max=1, requests_at_once_max_all=2, bytes_at_once_max=10, bytes_at_once_max_all=15)
    admission = Admission(limits, lambda: 0.0)
    with admission.admit(ANNA) as first:
        with pytest.raises(TooManyError), admission.admit(ANNA):
            pass
        with pytest.raises(TooLongError):
            first.declare(REQUEST_BYTES_MAX + 1)
        with pytest.raises(TooManyError):
            first.declare(11)
        first.declare(10)
        first.declare(4)  # Holds ten already.
        with pytest.raises(TooManyError):
            first.reply(1)
        with admission.admit(BEN) as second:
            second.arrive(9)
            assert admission.size_bytes == 9  # Ten are declared, and none of them is here.
            with pytest.raises(OverloadedError):
                first.arrive(7)
            first.arrive(6)
            first.arrive(6)
            second.reply(1)
            assert (admission.size_bytes, admission.account(BEN).size_bytes) == (15, 10)
        assert (admission.requests, admission.size_bytes, admission.account(ANNA).size_bytes) == (1, 6, 10)
    assert (admission.requests, admission.size_bytes, admission.account(ANNA).size_bytes) == (0, 0, 0)


def test_all_peers_together_have_a_limit_too() -> None:
    admission = Admission(Limits(requests_at_once_max_all=1), lambda: 0.0)
    with admission.admit(ANNA), pytest.raises(OverloadedError), admission.admit(BEN):
        pass


def test_the_largest_request_fits_into_a_peers_share() -> None:
    admission = Admission(Limits(), lambda: 0.0)
    with admission.admit(ANNA) as hold:
        hold.arrive(REQUEST_BYTES_MAX)
        hold.reply(REQUEST_BYTES_MAX)
        assert admission.size_bytes == REQUEST_BYTES_MAX
