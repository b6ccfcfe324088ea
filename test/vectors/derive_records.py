#!/usr/bin/env python3
"""Derives records-v1.json from schema/PROTOCOL.md with pyca/cryptography and nothing from this repository's code.

    python3 test/vectors/derive_records.py > test/vectors/records-v1.json

protocol-v1.json covers what the protocol began with; this covers what the specification added or left to its text:
tickets, receipts, notes, grants, key documents, policies, padding, encodings and the smaller hashes.
"""

import base64
import hashlib
import json
import math
import pathlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KNOWN = json.loads(pathlib.Path(__file__).with_name("protocol-v1.json").read_text())["outputs_hex_or_text"]


def seq(n, s):
    return bytes((s + i) & 0xFF for i in range(n))


def ds(label):
    return b"zeroreel/v1/" + label.encode() + b"\0"


def h(label, message):
    return hashlib.sha256(ds(label) + message).digest()


def u(bits, value):
    return value.to_bytes(bits // 8, "big")


def lp8(b):
    return u(8, len(b)) + b


def lp16(b):
    return u(16, len(b)) + b


def b64(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def hkdf(ikm, salt, info, length):
    return HKDF(hashes.SHA256(), length, salt, info).derive(ikm)


class Key:
    def __init__(self, seed):
        self.secret = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.secret.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, label, digest):
        return self.secret.sign(ds("sig/" + label) + digest)


CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32m(hrp, data):
    """BIP 350 without its length limit."""
    words, acc, bits = [], 0, 0
    for byte in data:
        acc, bits = (acc << 8) | byte, bits + 8
        while bits >= 5:
            bits -= 5
            words.append((acc >> bits) & 31)
    if bits:
        words.append((acc << (5 - bits)) & 31)

    def polymod(values):
        chk = 1
        for value in values:
            top = chk >> 25
            chk = (chk & 0x1FFFFFF) << 5 ^ value
            for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                chk ^= g if (top >> i) & 1 else 0
        return chk

    expanded = [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]
    check = polymod(expanded + words + [0] * 6) ^ 0x2BC830A3
    return hrp + "1" + "".join(CHARSET[w] for w in words + [(check >> 5 * (5 - i)) & 31 for i in range(6)])


def fingerprint(suite, pk):
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    value = int.from_bytes(h("fingerprint", u(16, suite) + pk)[:20], "big")
    text = "".join(digits[(value >> 5 * (31 - i)) & 31] for i in range(32))
    return "-".join(text[i : i + 4] for i in range(0, 32, 4))


exam, session = seq(16, 0x10), seq(16, 0x20)
owner, reader, seat, log = Key(seq(32, 0x33)), Key(seq(32, 0x34)), Key(seq(32, 0x70)), Key(seq(32, 0xF0))
recorder = Key(seq(32, 0x80))
core_hash = bytes.fromhex(KNOWN["open_core_hash"])
open_hash = bytes.fromhex(KNOWN["open_hash"])
wrap1 = bytes.fromhex(KNOWN["wrap1"])
key_id_1, key_id_2 = bytes.fromhex(KNOWN["key_id_s1"]), bytes.fromhex(KNOWN["key_id_s2"])
box_pk = X25519PrivateKey.from_private_bytes(seq(32, 0xA0)).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
assert h("key-id", u(16, 1) + box_pk)[:16] == key_id_1

out = {}

out["identity_text"] = bech32m("zrid", owner.public)
out["box_key_text"] = bech32m("zrbox", box_pk)
out["owner_fingerprint"] = fingerprint(0x00FF, owner.public)
out["box_fingerprint"] = fingerprint(1, box_pk)
out["owner_hash"] = h("fingerprint", u(16, 0x00FF) + owner.public).hex()
out["participant"] = h("participant", seq(16, 0x77) + lp16(b"https://lms.example.org") + lp16(b"0b7c-42")).hex()
out["notice_hash"] = h("notice", u(32, 5) + b"hello" + b"someone@example.org").hex()

ticket = (
    b"ZRTK" + u(8, 1) + exam + lp8(b"A-17") + seat.public + lp16(b'{"extra_minutes":15}') + u(64, 1790100000000)
)
ticket += owner.sign("ticket", h("ticket", ticket))
out["ticket"] = ticket.hex()
out["ticket_attestation"] = (ticket + seat.sign("ticket-use", core_hash)).hex()

receipt = (
    b"ZRRC" + u(8, 1) + u(8, 2) + u(16, 0) + session + u(32, 0) + u(32, 0) + bytes.fromhex(KNOWN["head_hash"])
    + u(64, 1790000007000) + u(64, 1792592000000) + u(64, 4097)
)
out["receipt"] = (receipt + log.sign("receipt", h("receipt", receipt))).hex()

note_salt = seq(32, 0xB1)
note_head = b"ZRNT" + u(8, 1) + u(8, 0) + u(16, 2) + session + u(32, 0) + note_salt
note_key = hkdf(bytes.fromhex(KNOWN["mk"]), note_salt, ds("note") + note_head, 76)
out["note"] = (note_head + note_key[44:] + AESGCM(note_key[:32]).encrypt(note_key[32:44], b"look at 12:30", None)).hex()

grant = (
    b"ZRGR" + u(8, 1) + u(8, 0) + session + u(32, 0) + u(8, 1) + u(16, 0) + owner.public + reader.public + key_id_1
    + bytes.fromhex(KNOWN["policy_hash"]) + u(64, 1790000008000) + u(64, 1792592000000) + hashlib.sha256(wrap1).digest()
)
out["grant"] = (grant + owner.sign("grant", h("grant", grant))).hex()

added = (
    b"ZRKD" + u(8, 1) + owner.public + u(16, 1) + lp16(box_pk) + u(64, 1790000000000) + u(64, 1821536000000)
    + bytes(16) + u(8, 1)
)
out["keydoc_add"] = (added + owner.sign("keydoc", h("keydoc", added))).hex()
rotated = (
    b"ZRKD" + u(8, 1) + reader.public + u(16, 1) + lp16(box_pk) + u(64, 1790000000000) + u(64, 1821536000000)
    + key_id_2 + u(8, 2)
)
digest = h("keydoc", rotated)
out["keydoc_rotate"] = (rotated + reader.sign("keydoc", digest) + owner.sign("keydoc", digest)).hex()

policy = {
    "v": 1,
    "exam_id": b64(exam),
    "title": "Algebra \u2014 midterm",
    "seq": 0,
    "prev_policy_hash": None,
    "owner": out["identity_text"],
    "not_before": 1789000000000,
    "not_after": 1791000000000,
    "admission": "ticket",
    "min_suite": 1,
    "tracks": [{"id": 1, "kind": 1, "required": True}, {"id": 2, "kind": 4, "required": False}],
    "recipients": [
        {
            "role": 1,
            "suite": 1,
            "pk": out["box_key_text"],
            "key_id": b64(key_id_1),
            "identity": out["identity_text"],
            "label": "Instructor",
        }
    ],
    "retention_days": 30,
    "practice": False,
    "capture": {"chunk_seconds": 10},
    "notice": {"text": "hello", "contact": "someone@example.org"},
    "log": {"origin": "log.example.org/zeroreel", "vkey": KNOWN["log_vkey"]},
}
body = json.dumps(policy, ensure_ascii=False, separators=(",", ":")).encode()
policy_hash = h("policy", body)
out["policy"] = (
    b"ZRPL" + u(8, 1) + u(32, len(body)) + body + u(8, 1) + owner.public + owner.sign("policy", policy_hash)
).hex()
out["policy_hash"] = policy_hash.hex()


def padded_length(length):
    framed = max(4 + length, 4096)
    exponent = math.floor(math.log2(framed))
    granule = 2 ** (exponent - (math.floor(math.log2(exponent)) + 1))
    return min(-(-framed // granule) * granule, 8 * 1024 * 1024)


out["padded_lengths"] = {str(n): padded_length(n) for n in (0, 1, 4092, 4093, 65532, 100000, 1000000, 4194304, 8388604)}

media = b'{"t":0,"event":"focus"}\n'
framed = (u(32, len(media)) + media).ljust(padded_length(len(media)), b"\0")
salt = seq(32, 0x61)
bound = (
    b"ZRCH" + u(8, 1) + u(8, 1) + u(16, 3) + session + u(32, 0) + u(16, 2) + u(16, 0) + u(32, 0) + u(32, len(framed))
    + u(64, 250) + u(32, 10000) + u(32, 0) + u(64, 1790000005000) + open_hash + salt
)
key = hkdf(bytes.fromhex(KNOWN["tk2"]), salt, ds("chunk") + bound, 76)
segment = AESGCM(key[:32]).encrypt(key[32:44], framed, u(32, 0) + u(8, 1))
table = hashlib.sha256(segment).digest()
entry = h("entry", bound + key[44:] + hashlib.sha256(table).digest())
out["padded_chunk_sha256"] = hashlib.sha256(
    bound + key[44:] + table + recorder.sign("chunk", entry) + segment
).hexdigest()
out["padded_chunk_entry"] = entry.hex()

print(json.dumps(out, indent=1))
