# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a client proves with NTLMv2 ([MS-NLMP] 3.3.2), computed apart from the server's code."""

import hashlib
import hmac
import os
import struct


def md4(data):
    """RFC 1320; OpenSSL 3 has it no longer."""
    def rotate(value, n):
        value &= 0xffffffff
        return (value << n | value >> (32 - n)) & 0xffffffff

    rounds = (
        (lambda x, y, z: x & y | ~x & z, 0, range(16), (3, 7, 11, 19)),
        (lambda x, y, z: x & y | x & z | y & z, 0x5a827999,
         (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), (3, 5, 9, 13)),
        (lambda x, y, z: x ^ y ^ z, 0x6ed9eba1,
         (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), (3, 9, 11, 15)))
    state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476]
    padded = data + b'\x80' + bytes(-(len(data) + 9) % 64) + struct.pack('<Q', 8 * len(data))
    for at in range(0, len(padded), 64):
        words = struct.unpack('<16I', padded[at:at + 64])
        a, b, c, d = state
        for function, constant, order, shifts in rounds:
            for i, k in enumerate(order):
                a, b, c, d = d, rotate(a + (function(b, c, d) & 0xffffffff) + words[k] + constant, shifts[i % 4]), b, c
        state = [(old + new) & 0xffffffff for old, new in zip(state, (a, b, c, d))]
    return struct.pack('<4I', *state)


def rc4(key, data):
    box = list(range(256))
    j = 0
    for i in range(256):
        j = (j + box[i] + key[i % len(key)]) % 256
        box[i], box[j] = box[j], box[i]
    i = j = 0
    result = bytearray()
    for byte in data:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        result.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(result)


def hmac_md5(key, data):
    return hmac.new(key, data, hashlib.md5).digest()


def nt_hash(password):
    return md4(password.encode('utf-16-le'))


def v2_hash(password, user, domain=''):
    return hmac_md5(nt_hash(password), (user.upper() + domain).encode('utf-16-le'))


def proof(password, user, domain='', key_exchange=True, temp=b'temp'):
    """What ProveNtlm takes behind the names: proof value, session key, MIC, MIC value."""
    key = v2_hash(password, user, domain)
    value = os.urandom(8) + temp
    session = hmac_md5(key, hmac_md5(key, value))
    encrypted = bytes(16)
    if key_exchange:
        exported = os.urandom(16)
        encrypted, session = rc4(session, exported), exported
    messages = b'NEGOTIATE CHALLENGE AUTHENTICATE' + os.urandom(8)
    return [value, encrypted, hmac_md5(session, messages), messages]


assert md4(b'').hex() == '31d6cfe0d16ae931b73c59d7e0c089c0'
assert nt_hash('Password').hex() == 'a4f49c406510bdcab6824ee7c30fd852'
assert rc4(b'Key', b'Plaintext').hex() == 'bbf316e8d940af0ad3'
