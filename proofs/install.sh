#!/usr/bin/env bash
# Install what the proofs need on a bare Debian 12 machine (Coq 8.16, MathComp 1.15). Quick when all of it is there.
set -euo pipefail
packages=(coq libcoq-mathcomp-algebra libcoq-mathcomp-algebra-tactics libcoq-coquelicot libcoq-interval
          libcoq-flocq libcoq-mathcomp-analysis make python3)

missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done
if [ ${#missing[@]} -eq 0 ]; then echo "proofs: everything is installed ($(coqc --print-version))"; exit 0; fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "proofs: not root and no sudo; install by hand: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; }
echo "proofs: installing ${missing[*]}"
# The package lists of a fresh image are empty or old: refresh them first, and try with the old ones when that fails.
"${as_root[@]}" apt-get update -q || echo "proofs: package lists could not be refreshed" >&2
install
echo "proofs: installed ($(coqc --print-version))"
