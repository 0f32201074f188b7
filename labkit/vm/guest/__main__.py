"""The VM's first Python: imports everything, then is the agent."""

import os

from labkit.vm.guest.one_file import IMPORTS, LABKIT, imports_from


def main() -> None:
    """Import, say so, serve."""
    with imports_from(IMPORTS, LABKIT):
        from labkit.vm.guest import agent, zygote

        missing = zygote.import_all()
    os.unlink(LABKIT)  # it lies in memory, and nobody needs it again
    agent.main(missing)


if __name__ == "__main__":
    main()
