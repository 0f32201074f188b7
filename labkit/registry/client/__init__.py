"""The client of registries: pull and push. Chapter 12.

    pull, push      a whole image: its documents and, side by side, its blobs
    login           keeping and forgetting a password
    together        several blobs side by side
    download        one blob in, from where it broke off
    upload          one blob out, whole or in chunks
    referrers       who is about a manifest, where no registry keeps a list
    repository      the specification's endpoints as methods
    session         a request that is authorized, redirected and tried again
    tokens          answering a challenge
    challenge       reading one
    credentials     Docker's config.json
    wire            one request and its answer; proxies, TLS, how long to wait
    refusals        what an answer means that wasn't hoped for
    progress        who watches, and how it is drawn

A password goes to the registry that it is for and to where that one says tokens come
from; to no other place that an answer may lead to.
"""
