#!/usr/bin/env bash
# systemd-creds encrypts a credential without a TPM2 under a key on the same disk, and says so in a notice alone.
#
# Guess (2026-11-29): `systemd-creds encrypt` without a TPM2 either refuses, or encrypts under something that is not
#   beside the credential; and a credential that is renamed no longer opens, as its name is part of it.
# Seen (systemd 252.39-1~deb12u2): exit 0. The first call makes /var/lib/systemd/credential.secret, unasked, and encrypts
#   under it; `--with-key=tpm2` alone refuses. Whoever copies the whole disk has both halves. The name is checked as guessed.
# What it means for DNS blocking: the key of a list that nobody must read is no safer than the disk on a host without
#   a TPM2. Such a host needs an encrypted disk; a provider's guide that only says `LoadCredentialEncrypted` misleads.
set -euo pipefail
[ "$(dpkg-query --show --showformat='${Version}' systemd)" = 252.39-1~deb12u2 ] || { echo "another systemd is installed" >&2; exit 2; }
systemd-creds has-tpm2 >/dev/null 2>&1 && { echo "this machine has a TPM2" >&2; exit 2; }
folder=$(mktemp --directory)
secret=/var/lib/systemd/credential.secret
[ -e "$secret" ] && own=no || own=yes
trap 'rm -rf "$folder"; if [ "$own" = yes ]; then rm -f "$secret"; fi' EXIT
printf 'the key of a list' >"$folder/key"

changed=0
systemd-creds encrypt --name=list "$folder/key" "$folder/list.cred" 2>"$folder/said" || changed=1
echo "encrypt: exit 0 is expected; it says: $(cat "$folder/said")"
[ -s "$secret" ] && echo "the key that opens it: $(stat --format='%n, %s octets, mode %a' "$secret")" || changed=1
[ "$(systemd-creds decrypt --name=list "$folder/list.cred" - 2>/dev/null)" = "the key of a list" ] || changed=1
if systemd-creds decrypt --name=other "$folder/list.cred" - >/dev/null 2>&1; then echo "opens under another name"; changed=1; fi
if systemd-creds encrypt --with-key=tpm2 --name=list "$folder/key" "$folder/tpm.cred" 2>/dev/null; then changed=1; fi
[ "$changed" = 0 ] || echo "this has changed" >&2
exit "$changed"
