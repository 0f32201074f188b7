"""Registries: where images come from and go to. Chapter 12.

    server      a registry of your own: storage, endpoints, access, connection
    client      pull and push: transport, login, transfer
    commands    labkit pull, push, login, logout, registry

Both speak the OCI distribution specification over HTTP, and know nothing of each other.
"""
