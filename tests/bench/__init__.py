"""How long a container's start takes, beside other people's programs: `make bench`."""
