#!/usr/bin/env python3
"""Verifies a log that is kept in files (`file:DIR`), without a line of the program that wrote it.

Written from docs/format.md alone, with the standard library and one package for signatures:

    pip install cryptography
    python verify_log.py .indelible/audit --vkey log.vkey [--mac-key mac.key]

It checks every entry: its hash, its place in the tree, the root that the log's key signed, the HMAC chain and the seals of
epochs if K_0 is given, what was disclosed, what was erased or purged and whether an entry says so, and who may sign after a
rotation. It does not check published checkpoints, ids beside the entries, or decisions, and it remembers nothing: to notice
a log that was rolled back, keep the size and root that it prints and pass them as --pin next time.

Exit codes: 0 verified, 1 findings, 2 usage, 3 could not tell.
"""

import argparse
import base64
import gzip
import hashlib
import hmac
import json
import os
import re
import sys
from datetime import datetime, timezone

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
except ImportError:
    print("error: pip install cryptography", file=sys.stderr)
    sys.exit(3)

LINE = re.compile(
    rb'\{"index":(0|[1-9]\d{0,15}),"epoch":(0|[1-9]\d{0,15}),"mac":"([\w-]{0,64})","leaf":"([\w-]{0,64})","entry":(\{.*\})\}\n',
    re.ASCII | re.DOTALL,
)
PAYLOAD = re.compile(r'\{"index":(0|[1-9]\d{0,15}),"name":("(?:[^"\\]|\\.)*"),"disclosure":(.*)\}\n', re.ASCII | re.DOTALL)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d{3}|\d{6})Z", re.ASCII)


class CouldNotTell(Exception):
    """Something is missing without which nothing can be said."""


class Bad(Exception):
    """What was looked at is not what it should be."""


# Encodings: one text per byte string, or it is refused.


def b64(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("not canonical base64")
    return data


def b64url(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64url_text(data) != text:
        raise ValueError("not canonical base64url")
    return data


def b64url_text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def u64(value):
    return value.to_bytes(8, "big")


def sha256(data):
    return hashlib.sha256(data).digest()


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(ikm, info):
    return mac(mac(b"\0" * 32, ikm), info + b"\x01")


# The tree, RFC 6962 section 2.1: the roots of its perfect subtrees, largest first.


class Tree:
    def __init__(self):
        self.size = 0
        self.frontier = []

    def append(self, leaf):
        node, index = leaf, self.size
        while index % 2 == 1:
            node = sha256(b"\x01" + self.frontier.pop() + node)
            index //= 2
        self.frontier.append(node)
        self.size += 1

    def root(self):
        if not self.frontier:
            return sha256(b"")
        root = self.frontier[-1]
        for left in reversed(self.frontier[:-1]):
            root = sha256(b"\x01" + left + root)
        return root


# Signed notes and keys.


class Vkey:
    def __init__(self, text):
        try:
            self.name, key_id, data = text.strip().split("+", 2)
            raw = b64(data)
            self.id = bytes.fromhex(key_id)
        except ValueError as error:
            raise CouldNotTell(f"not a vkey: {text.strip()!r}") from error
        self.type, self.public = raw[0], raw[1:]
        if sha256(self.name.encode() + b"\n" + raw)[:4] != self.id:
            raise CouldNotTell(f"the id of the vkey of {self.name} is wrong")
        if self.type not in (1, 2):
            raise CouldNotTell(f"a key of type {self.type} signs no log")
        self.text = text.strip()

    def verifies(self, message, signature):
        try:
            if self.type == 1:
                ed25519.Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
            else:
                key = serialization.load_der_public_key(self.public)
                key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
            return True
        except (InvalidSignature, ValueError):
            return False


def open_note(note, keys):
    """The text of a note, and which of the keys signed it."""
    text, separator, lines = note.rpartition("\n\n")
    if not separator or not lines.endswith("\n"):
        raise Bad("not a signed note")
    text += "\n"
    signed = []
    for line in lines[:-1].split("\n"):
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014":
            raise Bad("not a signature line")
        raw = b64(parts[2])
        for key in keys:
            if key.name != parts[1] or key.id != raw[:4] or key in signed:
                continue
            if not key.verifies(text.encode(), raw[4:]):
                raise Bad(f"signature by {key.name} is wrong")
            signed.append(key)
    return text, signed


def parse_checkpoint(text):
    lines = text.split("\n")
    if len(lines) < 4 or not re.fullmatch(r"0|[1-9]\d{0,15}", lines[1], re.ASCII):
        raise Bad("not a checkpoint")
    return lines[0], int(lines[1]), b64(lines[2])


# The folder.


def read_head(folder):
    try:
        with open(os.path.join(folder, "head"), "rb") as file:
            data = file.read()
        with open(os.path.join(folder, "layout.json"), "rb") as file:
            layout = json.load(file)
    except (OSError, ValueError) as error:
        raise CouldNotTell(f"no log in {folder}: {error}") from error
    if layout.get("format") != "indelible/file-store@1":
        raise CouldNotTell(f"layout {layout.get('format')} is not known")
    best = None
    for slot in (data[:32768], data[32768:]):
        label, _, rest = slot.partition(b"\n")[0].partition(b" ")
        checksum, _, text = rest.partition(b" ")
        if label == b"indelible/file-head@1" and hashlib.sha256(text).hexdigest().encode() == checksum:
            found = json.loads(text)
            best = found if best is None or found["commit"] > best["commit"] else best
    if best is None or best["head"] is None:
        raise Bad("log_missing: the head says nothing")
    return best


def read_segments(folder):
    try:
        with open(os.path.join(folder, "segments.json"), "rb") as file:
            return json.load(file)["segments"]
    except (OSError, ValueError, KeyError) as error:
        raise CouldNotTell(f"segments.json cannot be read: {error}") from error


def lines_of(path, end):
    """Lines of a file up to `end`, None for all of it; compressed or not. Nothing if the file is not there."""
    if os.path.exists(path):
        opened = open(path, "rb")
    elif os.path.exists(path + ".gz"):
        opened = gzip.open(path + ".gz", "rb")
    else:
        return
    with opened as file:
        at = 0
        while end is None or at < end:
            try:
                line = file.readline() if end is None else file.readline(end - at)
            except (OSError, EOFError):
                return
            if not line:
                return
            at += len(line)
            yield line


def entry_lines(folder, segments, head):
    """Entries by index, in order; a line that does not belong where it is makes itself and the next one count as missing."""
    size, ends = head["head"]["size"], head["ends"]
    for i, segment in enumerate(segments):
        is_newest = i == len(segments) - 1
        end = ends["lines"] - segment["skip"]["lines"] if is_newest else None
        to = size if is_newest else segments[i + 1]["from"]
        last, tainted = segment["from"] - 1, False
        held = None
        for line in lines_of(os.path.join(folder, segment["file"]), end):
            match = LINE.fullmatch(line)
            index = int(match[1]) if match else -1
            in_order = last < index < to
            if held is not None:
                yield held
            held = (index, match) if in_order and not tainted else None
            last = index if in_order else last
            tainted = not in_order
        if held is not None and not tainted:
            yield held


def payload_lines(folder, segments, head):
    for i, segment in enumerate(segments):
        is_newest = i == len(segments) - 1
        end = head["ends"]["payloads"] - segment["skip"]["payloads"] if is_newest else None
        for line in lines_of(os.path.join(folder, "payloads", segment["file"]), end):
            match = PAYLOAD.fullmatch(line.decode("utf-8", "replace"))
            if match:
                value = match[3] if match[3].startswith("[") else json.loads(match[3])
                yield int(match[1]), json.loads(match[2]), value


class StoredLeaves:
    def __init__(self, folder):
        path = os.path.join(folder, "tree", "0")
        self.file = open(path, "rb") if os.path.exists(path) else None

    def at(self, index):
        if self.file is None:
            return b""
        self.file.seek(index * 32)
        return self.file.read(32)


# Entries.


def canonical(data):
    """Whether bytes can be canonical JSON: what Python's own parser and writer can tell of RFC 8785."""

    def no_twice(pairs):
        keys = [key for key, _ in pairs]
        if keys != sorted(set(keys), key=lambda key: key.encode("utf-16-be", "surrogatepass")):
            raise ValueError("members repeated or not sorted")
        return dict(pairs)

    return json.loads(data.decode("utf-8"), object_pairs_hook=no_twice)


def parse_entry(data):
    if len(data) > 65535:
        raise ValueError("over 65,535 bytes")
    entry = canonical(data)
    if entry.get("schema") != "indelible/entry@1":
        raise ValueError("of another schema")
    for member in ("id", "time", "observed", "type", "actor", "outcome", "assurance"):
        if member not in entry:
            raise ValueError(f"without {member}")
    if not TIME.fullmatch(entry["observed"]):
        raise ValueError("observed is no time")
    return entry


def milliseconds(time):
    moment = datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    delta = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (delta.days * 86400 + delta.seconds) * 1000 + delta.microseconds // 1000


class MacKey:
    def __init__(self, text):
        try:
            parts = text.strip().split("+", 6)
            assert parts[:2] == ["INDELIBLE", "MAC"]
            self.origin, self.start, self.seconds = parts[2], milliseconds(parts[3]), int(parts[4])
            self.key = b64(parts[6])
        except (AssertionError, ValueError, IndexError) as error:
            raise CouldNotTell("not a mac verification key") from error
        self.id = mac(self.key, b"indelible/mac-id@1\n" + self.origin.encode())
        if self.id[:4].hex() != parts[5]:
            raise CouldNotTell("the id of the mac verification key is wrong")


class Ratchet:
    """K_e, moved forward only."""

    def __init__(self, key):
        self.epoch, self.key, self.origin = 0, key.key, key.origin

    def mac_key(self, epoch):
        while self.epoch < epoch:
            self.epoch += 1
            self.key = hkdf(self.key, b"indelible/ratchet@1\n" + u64(self.epoch))
        if self.epoch > epoch:
            return None
        return hkdf(self.key, b"indelible/mac-key@1\n" + sha256(self.origin.encode()) + u64(epoch))


# Purges: entries that are gone, and an entry that says so.


CARRIED = {
    "audit.opened", "audit.key.rotated", "audit.identity.added", "audit.identity.revoked",
    "audit.hold.placed", "audit.hold.released", "audit.purge.intent",
}


def purge_id(kind, origin, below, n):
    digest = sha256(json.dumps(["indelible/purge-id@1", kind, origin, below, n], separators=(",", ":"), ensure_ascii=False).encode())
    text = digest.hex()
    variant = "89ab"[int(text[16], 16) % 4]
    return f"{text[:8]}-{text[8:12]}-7{text[12:15]}-{variant}{text[17:20]}-{text[20:32]}"


def decode_epochs(text, count):
    """Runs of (entries, epoch), or None unless they are of `count` entries."""
    numbers, value, shift = [], 0, 0
    try:
        for byte in b64url(text):
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                numbers.append(value)
                value, shift = 0, 0
    except (ValueError, TypeError):
        return None
    runs, epoch = [], 0
    for entries, step in zip(numbers[::2], numbers[1::2]):
        epoch += step
        runs.append((entries, epoch))
    whole = shift == 0 and len(numbers) % 2 == 0 and sum(entries for entries, _ in runs) == count
    return runs if whole else None


class Purges:
    """What the log says of what is gone below `min_index`. A copy counts if its hash is the leaf that stayed."""

    def __init__(self, origin, statements, leaves, min_index):
        self.origin, self.leaves = origin, leaves
        self.by_id = {entry["id"]: (index, entry) for index, entry in statements}
        self.by_index = dict(statements)
        self.carried, self.runs, self.certified, self.mac = {}, [], False, None
        intents = {}
        last, below = self.intent(min_index), min_index
        if last is None:
            return
        self.certified, self.mac, intents[min_index] = True, last["mac"], last
        while below > 0:
            intent = intents.get(below) or self.intent(below)
            if intent is None:
                self.runs = None
                return
            for index, entry in self.copies(intent):
                self.carried[index] = entry
                if entry["type"] == "audit.purge.intent" and is_intent(entry.get("audit")):
                    intents[entry["audit"]["below"]] = entry["audit"]
            runs = decode_epochs(intent["epochs"], below - intent["from"])
            if runs is None:
                self.runs = None
                return
            self.runs = runs + self.runs
            below = intent["from"]

    def intent(self, below):
        """The last attempt's, unless it was called off."""
        found, n = None, 0
        while True:
            index, entry = self.by_id.get(purge_id("intent", self.origin, below, n), (None, None))
            if entry is None:
                return found
            _, done = self.by_id.get(purge_id("done", self.origin, below, n), (None, {}))
            audit = entry.get("audit")
            lawful = entry["type"] == "audit.purge.intent" and is_intent(audit) and audit["below"] == below <= index
            off = done.get("type") == "audit.purge.done" and (done.get("audit") or {}).get("cancelled") is True
            found = audit if lawful and not off else None
            n += 1

    def copies(self, intent):
        for at in intent["carried"]:
            entry = self.by_index.get(at) or {}
            if entry.get("type") != "audit.purge.carried":
                continue
            for copy in (entry.get("audit") or {}).get("entries") or []:
                try:
                    index, text = copy
                    data = text.encode()
                    if 0 <= index < intent["below"] and self.leaves.at(index) == sha256(b"\0" + data):
                        statement = parse_entry(data)
                        if statement["type"] in CARRIED:
                            yield index, statement
                except (ValueError, TypeError, AttributeError, RecursionError):
                    continue

    def epochs(self):
        for entries, epoch in self.runs or []:
            for _ in range(entries):
                yield epoch


def is_intent(audit):
    def edge(value):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0 and value % 256 == 0

    return (
        isinstance(audit, dict)
        and edge(audit.get("from"))
        and edge(audit.get("below"))
        and audit["from"] < audit["below"]
        and isinstance(audit.get("epochs"), str)
        and isinstance(audit.get("mac"), str)
        and isinstance(audit.get("carried"), list)
        and all(isinstance(index, int) for index in audit["carried"])
    )


class Verification:
    def __init__(self, folder, vkeys, mac_key, pin):
        self.folder, self.mac_key, self.pin = folder, mac_key, pin
        self.keys = {key.text: [key, None] for key in vkeys}  # until which size it counts
        self.origin = vkeys[0].name
        self.findings, self.notes = [], []

    def find(self, code, message):
        self.findings.append((code, message))

    def run(self):
        self.whole = read_head(self.folder)
        self.head = self.whole["head"]
        segments = read_segments(self.folder)
        size = self.head["size"]
        try:
            _, claimed, self.claimed_root = parse_checkpoint(self.head["checkpoint"])
        except (Bad, ValueError):
            claimed, self.claimed_root = size, b""
        if claimed != size:
            self.find("size_mismatch", f"head says {size} entries, its checkpoint {claimed}")
        if self.pin and self.pin[0] > size:
            self.find("rolled_back", f"log has {size} entries, the pin {self.pin[0]}")
        self.tree, self.leaves = Tree(), StoredLeaves(self.folder)
        self.parts, self.ids, self.erased = {}, {}, set()
        self.previous, self.epoch, self.sealed_to, self.observed = b"\0" * 32, 0, 0, ""
        self.ratchet = Ratchet(self.mac_key) if self.mac_key else None
        self.clock = (self.mac_key.start, self.mac_key.seconds) if self.mac_key else None
        self.seal_run = None
        self.purges = Purges(self.origin, list(self.purge_statements(segments)), self.leaves, self.head["min_index"])
        self.purged_epochs = self.purges.epochs()
        missing = []
        for index, match in entry_lines(self.folder, segments, self.whole):
            self.skip_to(index, missing)
            self.entry(index, match)
        self.skip_to(size, missing)
        self.finish(missing, segments)

    def purge_statements(self, segments):
        """Entries about purges. That they are in the tree is found out like that of any other entry."""
        if self.head["min_index"] == 0:
            return
        for index, match in entry_lines(self.folder, segments, self.whole):
            if b'"type":"audit.purge.' not in match[5]:
                continue
            try:
                yield index, parse_entry(match[5])
            except (ValueError, RecursionError):
                continue

    def purged(self, index, leaf):
        """What is known of an entry that was purged: what it stated, if that is needed still, and its mac."""
        if index in self.purges.carried:
            entry = self.purges.carried[index]
            if index == 0:
                self.opened(entry, entry.get("audit") or {})
            if entry["type"] == "audit.key.rotated":
                self.rotated(index, entry.get("audit") or {})
        epoch = next(self.purged_epochs, None)
        self.sealed_to = self.seal_run = None
        if not self.ratchet or self.previous is None or epoch is None or epoch < self.ratchet.epoch:
            self.previous = None
            return
        self.epoch = epoch
        key = self.ratchet.mac_key(epoch) if epoch - self.ratchet.epoch < 1_000_000 else b""
        self.previous = mac(key, b"indelible/mac@1\n" + u64(epoch) + u64(index) + self.previous + leaf)
        if index == self.head["min_index"] - 1 and b64url_text(self.previous) != self.purges.mac:
            self.find("purge_invalid", "the purge states another mac than its entries make")

    def skip_to(self, index, missing):
        """Entries that are gone: their leaf hashes are taken from the tree, and the root tells whether they are true."""
        while self.tree.size < index:
            at = self.tree.size
            self.check_pin()
            if at >= self.head["min_index"]:
                self.find("entry_missing", f"entry {at} is missing")
            missing.append(at)
            leaf = self.leaves.at(at)
            if len(leaf) != 32:
                self.find("tile_missing", f"leaf hash {at} is missing")
            if at < self.head["min_index"]:
                self.purged(at, leaf)
            else:
                self.previous = self.sealed_to = self.seal_run = None
            self.tree.append(leaf)

    def entry(self, index, match):
        self.check_pin()
        _, epoch, mac_text, leaf_text, data = match.groups()
        epoch = int(epoch)
        leaf = sha256(b"\0" + data)
        stored = self.leaves.at(index)
        if stored != leaf:
            self.find("entry_altered", f"entry {index} does not have the leaf hash that the tree has")
        elif leaf_text.decode() != b64url_text(leaf):
            self.find("leaf_altered", f"entry {index} has another leaf hash on its line")
        root_before = None
        try:
            entry = parse_entry(data)
        except (ValueError, RecursionError) as error:
            self.find("entry_unreadable", f"entry {index}: {error}")
            entry = None
        if entry and entry["type"] == "audit.epoch.sealed":
            root_before = self.tree.root()
        self.tree.append(leaf)
        if entry:
            self.statement(index, entry)
            epoch = self.time(index, epoch, entry, root_before)
        try:
            found = b64url(mac_text.decode())
        except ValueError:
            found = b""
        if self.ratchet and self.previous is not None:
            key = self.ratchet.mac_key(epoch) if epoch - self.ratchet.epoch < 1_000_000 else None
            expected = key and mac(key, b"indelible/mac@1\n" + u64(epoch) + u64(index) + self.previous + leaf)
            if expected != found:
                self.find("mac_mismatch", f"entry {index} does not carry the mac that its epoch's key makes")
        self.previous = found

    def statement(self, index, entry):
        audit = entry.get("audit") or {}
        if entry["id"] in self.ids:
            self.find("id_repeated", f"entry {index} has the id of entry {self.ids[entry['id']]}")
        self.ids[entry["id"]] = index
        for name, part in (entry.get("parts") or {}).items():
            self.parts[index, name] = (entry["id"], part.get("commit"))
        if index == 0:
            self.opened(entry, audit)
        if entry["type"] == "audit.key.rotated":
            self.rotated(index, audit)
        if entry["type"] == "audit.erased":
            for part in audit.get("parts") or []:
                if isinstance(part, list) and len(part) > 1 and isinstance(part[0], int) and part[0] < index:
                    self.erased.update((part[0], name) for name in part[1:] if isinstance(name, str))

    def opened(self, entry, audit):
        if entry["type"] != "audit.opened" or audit.get("origin") != self.origin:
            self.find("opened_invalid", "entry 0 does not open this log")
            return
        clock = (milliseconds(audit["epoch_start"]), audit["epoch_seconds"])
        if self.mac_key and audit.get("mac_id") != b64url_text(self.mac_key.id):
            raise CouldNotTell("the mac key is not the one that this log was opened with")
        if self.mac_key and clock != self.clock:
            self.find("opened_invalid", "entry 0 states other epochs than the verification key")
        self.clock = self.clock or clock

    def rotated(self, index, audit):
        try:
            statement = audit["statement"]
            lines = statement.split("\n")
            if lines[0] != "indelible/key-rotation@1" or lines[1] != self.origin:
                raise Bad("not a rotation of this log")
            old, new = Vkey(lines[2]), Vkey(lines[3])
            if len(open_note(statement, [old, new])[1]) != 2:
                raise Bad("not signed by both keys")
        except (Bad, CouldNotTell, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            self.find("rotation_invalid", f"entry {index}: {error}")
            return
        if old.text in self.keys:
            if self.keys[old.text][1] is not None:
                self.find("rotation_invalid", f"entry {index}: the old key counted no more")
                return
            self.keys[old.text][1] = index
            self.keys.setdefault(new.text, [new, None])
        elif new.text not in self.keys:
            self.notes.append(f"rotation at entry {index} is between keys that were not given")

    def time(self, index, epoch, entry, root_before):
        """Time, epochs and seals. Returns the epoch that the entry counts in."""
        observed = entry["observed"]
        if (observed[:23] + "000Z" if len(observed) == 24 else observed) < self.observed:
            self.find("time_decreased", f"entry {index} was accepted before the one ahead of it")
        self.observed = observed[:23] + "000Z" if len(observed) == 24 else observed
        if self.clock:
            expected = (milliseconds(observed) - self.clock[0]) // (self.clock[1] * 1000)
            if expected != epoch:
                self.find("epoch_mismatch", f"entry {index} stands in epoch {epoch}, its time is in {expected}")
                epoch = max(self.epoch, min(expected, epoch))
        if epoch < self.epoch:
            self.find("epoch_decreased", f"entry {index} stands in epoch {epoch}, after one of {self.epoch}")
            return epoch
        self.epoch = epoch
        if entry["type"] == "audit.epoch.sealed":
            self.sealed(index, epoch, entry.get("audit") or {}, root_before)
        if self.sealed_to is None:
            self.sealed_to = epoch
        if entry["type"] != "audit.epoch.sealed" and self.sealed_to < epoch:
            self.find("seal_missing", f"epochs {self.sealed_to} to {epoch - 1} ended unsealed before entry {index}")
            self.sealed_to = epoch
        return epoch

    def sealed(self, index, epoch, audit, root_before):
        def bad(why):
            self.find("seal_invalid", f"seal at entry {index} {why}")

        first, size, seals = audit.get("first_epoch"), audit.get("size"), audit.get("seals")
        if not isinstance(first, int) or not isinstance(size, int) or not isinstance(seals, list) or not seals:
            return bad("has not the members of one")
        if self.sealed_to is not None and first != self.sealed_to:
            return bad(f"begins with epoch {first}, expected {self.sealed_to}")
        if first + len(seals) > epoch:
            bad("covers an epoch that had not ended")
        run = self.seal_run if self.seal_run and self.seal_run[2] == index else (index, root_before, index)
        self.seal_run = (run[0], run[1], index + 1)
        if (size, audit.get("root")) != (run[0], b64url_text(run[1])) and self.sealed_to is not None:
            bad("is over another tree")
        for at, seal in enumerate(seals):
            key = self.ratchet.mac_key(first + at) if self.ratchet and first + at < epoch else None
            if key is None:
                continue
            expected = mac(key, b"indelible/seal@1\n" + u64(first + at) + u64(size) + b64url(audit["root"]))
            if b64url_text(expected) != seal:
                bad(f"does not carry the mac of epoch {first + at}")
        self.sealed_to = min(first + len(seals), epoch)

    def check_pin(self):
        if self.pin and self.pin[0] == self.tree.size and self.pin[1] != self.tree.root():
            self.find("split_view", f"the tree of {self.pin[0]} entries has another root than the pin")

    def finish(self, missing, segments):
        size = self.head["size"]
        self.check_pin()
        if self.sealed_to is not None and self.sealed_to < self.epoch:
            self.find("seal_missing", f"epochs {self.sealed_to} to {self.epoch - 1} ended unsealed")
        if self.previous is not None and b64(self.head["mac"]) != self.previous:
            self.find("mac_head_mismatch", "head holds another mac than the last entry")
        if [b64(node) for node in self.head["frontier"]] != self.tree.frontier:
            self.find("frontier_altered", "the frontier in the head is not that of the entries")
        self.checkpoint(size)
        self.disclosures(segments)
        purged = [index for index in missing if index < self.head["min_index"]]
        if self.head["min_index"] > 0 and not self.purges.certified:
            self.find("purge_uncertified", f"no entry allows a purge below {self.head['min_index']}")
        elif self.mac_key and self.purges.runs is None:
            self.find("purge_invalid", "the purge does not say in which epochs its entries stood")
        self.purged = len(purged)

    def checkpoint(self, size):
        keys = [key for key, _ in self.keys.values()]
        try:
            text, signed = open_note(self.head["checkpoint"], keys)
            origin, _, root = parse_checkpoint(text)
            if origin != self.origin:
                raise Bad(f"it is of {origin}")
        except (Bad, ValueError) as error:
            return self.find("checkpoint_invalid", f"latest checkpoint: {error}")
        if not signed:
            return self.find("checkpoint_unverified", "latest checkpoint is signed by none of the keys given")
        if all(self.keys[key.text][1] is not None and size > self.keys[key.text][1] for key in signed):
            return self.find("checkpoint_superseded", "latest checkpoint is signed by a key that was replaced")
        if root != self.tree.root():
            self.find("root_mismatch", "the entries do not make the root that was signed")

    def disclosures(self, segments):
        sealed = 0
        for index, name, disclosure in payload_lines(self.folder, segments, self.whole):
            entry_id, commit = self.parts.pop((index, name), (None, None))
            if entry_id is None:
                if index >= self.head["min_index"]:
                    self.find("disclosure_unexpected", f"entry {index} commits to no part {name}, or has two of it")
                continue
            if disclosure.startswith("indelible/sealed@1 "):
                sealed += 1
                continue
            try:
                label, origin, of, part = json.loads(disclosure)[:4]
            except ValueError:
                label = origin = of = part = None
            is_own = (label, origin, of, part) == ("indelible/part@1", self.origin, entry_id, name)
            if not is_own or b64url_text(sha256(disclosure.encode())) != commit:
                self.find("disclosure_altered", f"part {name} of entry {index} is not what the entry commits to")
        if sealed:
            self.notes.append(f"{sealed} disclosures are encrypted")
        for index, name in self.parts:
            if (index, name) not in self.erased:
                self.find("disclosure_missing", f"part {name} of entry {index} is gone, and no entry says that it was erased")
        self.gone = len(self.parts)


def text_or_file(value):
    if os.path.exists(value):
        with open(value, encoding="utf-8") as file:
            return file.read()
    return value


def main():
    parser = argparse.ArgumentParser(description="verify a log that is kept in files")
    parser.add_argument("folder", help="of the log, such as .indelible/audit")
    parser.add_argument("--vkey", required=True, action="append", help="key of the log, got from elsewhere; text or file")
    parser.add_argument("--mac-key", help="mac verification key; text or file")
    parser.add_argument("--pin", nargs=2, metavar=("SIZE", "ROOT"), help="checkpoint that was accepted before")
    args = parser.parse_args()
    try:
        vkeys = [Vkey(line) for value in args.vkey for line in text_or_file(value).split("\n") if line.strip()]
        mac_key = MacKey(text_or_file(args.mac_key)) if args.mac_key else None
        if mac_key and mac_key.origin != vkeys[0].name:
            raise CouldNotTell(f"the mac key is of {mac_key.origin}, not of {vkeys[0].name}")
        pin = (int(args.pin[0]), b64(args.pin[1])) if args.pin else None
        check = Verification(args.folder, vkeys, mac_key, pin)
        check.run()
    except Bad as error:
        print(f"failed\n  {error}")
        return 1
    except (CouldNotTell, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    if check.findings:
        print(f"failed: {check.origin}, {len(check.findings)} findings")
        for code, message in check.findings[:100]:
            print(f"  {code}: {message}")
        return 1
    size, root = check.head["size"], base64.b64encode(check.tree.root()).decode()
    print(f"verified: {check.origin}, {size} entries, root {root}")
    if check.purged:
        print(f"  {check.purged} entries were purged, as an entry says")
    if check.gone:
        print(f"  {check.gone} disclosures were erased, as entries say")
    for note in check.notes:
        print(f"  {note}")
    if not mac_key:
        print("  not checked: HMAC chain and seals, for want of the mac key")
    return 0


if __name__ == "__main__":
    sys.exit(main())
