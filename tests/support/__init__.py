"""What every test stands on: a state of its own, nothing left behind, loud skips."""
