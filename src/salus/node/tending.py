"""What one round of a member's housekeeping did."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tended:
    """Counts of what was due and is done."""

    log_roots: int = 0
    batches_made_durable: int = 0
    batches_dealt_again: int = 0

    def __add__(self, other: "Tended") -> "Tended":
        return Tended(
            self.log_roots + other.log_roots,
            self.batches_made_durable + other.batches_made_durable,
            self.batches_dealt_again + other.batches_dealt_again,
        )
