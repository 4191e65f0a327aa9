#!/usr/bin/env bash
# SoftHSM has X25519, under the mechanism and the key type of other curves.
#
# Guess: SoftHSM 2.6 derives by X25519 as PKCS#11 3.0 has it (CKM_EC_MONTGOMERY_KEY_PAIR_GEN, CKK_EC_MONTGOMERY), or not at all.
# Seen:  SoftHSM 2.6.1 offers no CKM_EC_MONTGOMERY_KEY_PAIR_GEN. CKM_EC_EDWARDS_KEY_PAIR_GEN with the parameters of X25519 makes an X25519
#        key, and where its type is asked for as CKK_EC, CKM_ECDH1_DERIVE gives the shared secret of RFC 7748. python-pkcs11 0.10.1 knows
#        neither name of Montgomery keys, and derives with keys of type CKK_EC alone.
# For DNS blocking: a program that is tested with SoftHSM and works meets no hardware token that follows the standard, and the
#        reverse. A key for lists under X25519 is better kept where no token's dialect counts: under a TPM, as a credential.
# Date:  2026-11-29. Needs Python 3 with venv, and Debian's softhsm2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet python-pkcs11==0.10.1 cryptography==50.0.2
mkdir tokens
printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$folder" > softhsm2.conf
export SOFTHSM2_CONF=$folder/softhsm2.conf
softhsm2-util --init-token --free --label lists --pin 1234 --so-pin 1234 > made
env/bin/python - <<'PYTHON'
import glob, sys
import pkcs11
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pkcs11 import Attribute, KeyType, Mechanism
from pkcs11.mechanisms import KDF

MONTGOMERY_KEY_PAIR_GEN, X25519 = 0x1056, bytes.fromhex("06032b656e")
token = pkcs11.lib(glob.glob("/usr/lib/*/softhsm/libsofthsm2.so")[0]).get_token(token_label="lists")
offered = any(int(one) == MONTGOMERY_KEY_PAIR_GEN for one in token.slot.get_mechanisms())
peer = X25519PrivateKey.generate()
raw = peer.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
with token.open(rw=True, user_pin="1234") as session:
    parameters = session.create_domain_parameters(KeyType.EC, {Attribute.EC_PARAMS: X25519}, local=True)
    public, private = parameters.generate_keypair(mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN)
    shared = private.derive_key(
        KeyType.GENERIC_SECRET, 256, mechanism=Mechanism.ECDH1_DERIVE, mechanism_param=(KDF.NULL, None, raw),
        template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True})
    same = shared[Attribute.VALUE] == peer.exchange(X25519PublicKey.from_public_bytes(bytes(public[Attribute.EC_POINT])[-32:]))
print("CKM_EC_MONTGOMERY_KEY_PAIR_GEN is offered:", offered)
print("an X25519 key by CKM_EC_EDWARDS_KEY_PAIR_GEN, as CKK_EC, derives the secret of RFC 7748:", same)
if offered or not same:
    sys.exit("this has changed")
PYTHON
