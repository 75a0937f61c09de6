#!/usr/bin/env python3
"""Computes chain.json: the HMAC chain of DESIGN section 3, written a second time from its text, with hashlib and hmac alone.

    python3 vectors/chain.py > vectors/chain.json
"""

import base64
import hashlib
import hmac
import json


def mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def hkdf(ikm: bytes, info: bytes, length: int = 32) -> bytes:
    """RFC 5869 with SHA-256 and an empty salt, which stands for 32 zero bytes (section 2.2)."""
    prk = mac(bytes(32), ikm)
    block, out, counter = b"", b"", 1
    while len(out) < length:
        block = mac(prk, block, info, bytes([counter]))
        out += block
        counter += 1
    return out[:length]


def u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def ratchet(key: bytes, epoch: int) -> bytes:
    return hkdf(key, b"indelible/ratchet@1\n" + u64(epoch))


def mac_key(key: bytes, origin: str, epoch: int) -> bytes:
    return hkdf(key, b"indelible/mac-key@1\n" + hashlib.sha256(origin.encode()).digest() + u64(epoch))


def entry_mac(key: bytes, epoch: int, index: int, previous: bytes, leaf: bytes) -> bytes:
    return mac(key, b"indelible/mac@1\n", u64(epoch), u64(index), previous, leaf)


def seal(key: bytes, epoch: int, size: int, root: bytes) -> bytes:
    return mac(key, b"indelible/seal@1\n", u64(epoch), u64(size), root)


def mac_id(first_key: bytes, origin: str) -> bytes:
    return mac(first_key, b"indelible/mac-id@1\n", origin.encode())


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(root(leaves[:split]), root(leaves[split:]))


def hexes(key: bytes, epochs: range) -> dict[str, str]:
    out = {}
    for epoch in range(epochs.stop):
        if epoch in epochs:
            out[str(epoch)] = key.hex()
        key = ratchet(key, epoch + 1)
    return out


def key_at(first_key: bytes, epoch: int) -> bytes:
    key = first_key
    for at in range(1, epoch + 1):
        key = ratchet(key, at)
    return key


def main() -> None:
    first_key = bytes(range(32))
    origin = "example.com/log"
    other = "\u00fcbung.example/\u65e5\u5fd7"
    entries = [(0, b"first"), (0, b"second"), (1, b""), (4, b"after a sleep"), (4, bytes(range(256)))]
    chain, previous = [], bytes(32)
    for index, (epoch, entry) in enumerate(entries):
        leaf = leaf_hash(entry)
        previous = entry_mac(mac_key(key_at(first_key, epoch), origin, epoch), epoch, index, previous, leaf)
        chain.append({"epoch": epoch, "entry": entry.hex(), "leaf": leaf.hex(), "mac": previous.hex()})
    leaves = [leaf_hash(entry) for _, entry in entries]
    seals = [
        {
            "epoch": epoch,
            "size": size,
            "root": root(leaves[:size]).hex(),
            "seal": seal(mac_key(key_at(first_key, epoch), origin, epoch), epoch, size, root(leaves[:size])).hex(),
        }
        for epoch, size in [(0, 2), (1, 3), (2, 3), (3, 3), (4, 5)]
    ]
    large = 2**53 - 1
    big = entry_mac(bytes(range(32, 64)), large, large, bytes([1]) * 32, bytes([2]) * 32)
    key_id = mac_id(first_key, origin)[:4].hex()
    text = "+".join(
        ["INDELIBLE+MAC", origin, "2026-06-01T09:00:00.000Z", "3600", key_id, base64.b64encode(first_key).decode()]
    )
    vectors = {
        "source": "computed by vectors/chain.py, which has hashlib and hmac only, from the text of DESIGN section 3 "
        "(HMAC chain and epochs) and RFC 5869; not from this project's code",
        "first_key": first_key.hex(),
        "origin": origin,
        "ratchet": hexes(first_key, range(0, 6)),
        "ratchet_1000": key_at(first_key, 1000).hex(),
        "mac_keys": [
            {"origin": name, "epoch": epoch, "key": mac_key(key_at(first_key, epoch), name, epoch).hex()}
            for name in (origin, other)
            for epoch in (0, 1, 5)
        ],
        "chain": chain,
        "seals": seals,
        "large": {
            "key": bytes(range(32, 64)).hex(),
            "epoch": str(large),
            "index": str(large),
            "previous": (bytes([1]) * 32).hex(),
            "leaf": (bytes([2]) * 32).hex(),
            "mac": big.hex(),
        },
        "mac_ids": [{"origin": name, "id": mac_id(first_key, name).hex()} for name in (origin, other)],
        "verification_key": {"text": text, "start_ms": 1780304400000, "seconds": 3600},
    }
    print(json.dumps(vectors, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
