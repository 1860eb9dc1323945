"""Whose is it: everything that a tenant writes, sets or says carries its mark, and every byte that
comes back is searched for marks of others."""
import re

# Tenants of the walk are called wr01, ws02, wd03 by isolation; bytea shows the mark in hex.
SLUG = re.compile(r"w[rsd]\d\d")
ANY = re.compile(rb"@(w[rsd]\d\d)@|40(77(?:72|73|64)3\d3\d)40")


def mark_of(slug):
    assert SLUG.fullmatch(slug), slug
    return f"@{slug}@"


def owners(data):
    """The slugs whose marks stand in these bytes."""
    found = set()
    for plain, in_hex in ANY.findall(data):
        found.add((plain or bytes.fromhex(in_hex.decode())).decode())
    return found
