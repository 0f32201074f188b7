"""The check that a machine with nothing on it is enough."""
