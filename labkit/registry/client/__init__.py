"""The client of registries: pull and push. Chapter 12."""
