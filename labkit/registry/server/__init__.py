"""A registry: what `docker push` and `docker pull` talk to. Chapter 12.

connection      sockets, HTTP, TLS; a thread for each client
exchange        Request, Answer, Body
routes          Registry: which function answers which request
access          everybody, passwords, tokens
blobs           endpoints: get, push in one piece or in chunks, mount, delete
manifests       endpoints: get, push, delete, referrers
lists           endpoints: tags, repositories
uploads         a blob on its way in
storage         files: blobs, and for each repository links, tags
garbage         removing what no repository needs
refusals        the specification's errors

A request comes in at the top and ends in files at the bottom.
"""
