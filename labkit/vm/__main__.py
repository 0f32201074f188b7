"""`python -m labkit.vm -f CONNECTION_FILE` is a notebook's kernel in the VM."""

from __future__ import annotations

import sys

from labkit.vm.connection import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))
