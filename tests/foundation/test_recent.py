"""Values that were computed last are found again, in bounded room."""

from __future__ import annotations

from hattriq_cirq.foundation.recent import Recent


class Counted:
    """Function that counts its calls."""

    def __init__(self, value: str = "") -> None:
        self.value, self.calls = value, 0

    def __call__(self) -> str:
        self.calls += 1
        return self.value


def test_values_of_equal_keys_are_computed_once() -> None:
    kept, compute = Recent[str](room=2), Counted("found")
    assert [kept.get(("a", 1), compute), kept.get(("a", 1), compute)] == ["found", "found"]
    assert compute.calls == 1


def test_the_value_that_was_not_used_for_longest_makes_room() -> None:
    kept, again = Recent[str](room=2), Counted()
    for key in ("a", "b", "a", "c"):  # b is older than a
        kept.get(key, Counted())
    kept.get("a", again)
    assert again.calls == 0
    kept.get("b", again)
    assert again.calls == 1


def test_sizes_of_values_together_take_no_more_than_the_room() -> None:
    kept, again = Recent[str](room=5), Counted("12")
    for key, value in (("a", "123"), ("b", "12"), ("c", "1")):  # a makes room for c
        kept.get(key, Counted(value), len)
    kept.get("b", again, len)
    assert again.calls == 0
    kept.get("a", again, len)
    assert again.calls == 1


def test_value_larger_than_the_room_is_not_kept_and_displaces_nothing() -> None:
    kept, again = Recent[str](room=2), Counted("123")
    kept.get("small", Counted("1"), len)
    kept.get("large", Counted("123"), len)
    kept.get("small", again, len)
    assert again.calls == 0
    kept.get("large", again, len)
    assert again.calls == 1


def test_nothing_is_kept_without_a_key_or_a_hash() -> None:
    kept, compute = Recent[str](room=2), Counted()
    for key in (None, None, ["no", "hash"], ["no", "hash"]):
        kept.get(key, compute)  # type: ignore[arg-type]
    assert compute.calls == 4
