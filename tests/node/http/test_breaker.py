"""The circuit breaker, on a clock that the test turns."""

from salus.node.http.breaker import OPEN_S_MAX, Breaker


def breaker(now: list[float]) -> Breaker:
    return Breaker(lambda: now[0], failures_max=3, open_s=1.0)


def opened(now: list[float]) -> Breaker:
    one = breaker(now)
    for _ in range(3):
        assert one.admits()
        one.failed()
    return one


def test_failures_that_are_not_in_a_row_open_nothing() -> None:
    one = breaker([0.0])
    for _ in range(9):
        one.failed()
        one.failed()
        one.succeeded()
    assert one.admits()
    assert one.state == "closed"


def test_enough_failures_in_a_row_open_it_for_a_while() -> None:
    now = [0.0]
    one = opened(now)
    assert (one.state, one.admits()) == ("open", False)
    now[0] = 0.49
    assert not one.admits()
    now[0] = 1.0
    assert one.state == "half-open"


def test_one_call_tries_and_the_others_wait_for_how_it_goes() -> None:
    now = [0.0]
    one = opened(now)
    now[0] = 1.0
    assert [one.admits(), one.admits(), one.admits()] == [True, False, False]
    one.succeeded()
    assert [one.admits(), one.admits()] == [True, True]
    assert one.state == "closed"


def test_a_try_that_fails_opens_it_for_longer_each_time_up_to_a_limit() -> None:
    now = [0.0]
    one = opened(now)
    waits = []
    for _ in range(6):
        begun = now[0]
        while not one.admits():
            now[0] += 0.05
        waits.append(now[0] - begun)
        one.failed()
    assert waits[0] <= 1.05
    assert max(waits[3:]) > waits[0]
    assert max(waits) <= OPEN_S_MAX + 0.05


def test_a_try_that_nobody_waits_for_any_more_leaves_room_for_another() -> None:
    now = [0.0]
    one = opened(now)
    now[0] = 1.0
    assert one.admits()
    one.given_up()
    assert one.admits()
