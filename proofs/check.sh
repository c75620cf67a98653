#!/usr/bin/env bash
# The gate of the proofs: compile what is out of date, then audit. Exit 0 only when everything is in order.
#   check.sh            build, then audit: one line per finding (what, where)
#   check.sh --bless    take the present statements and definitions as the pinned ones (on purpose, after review)
#   check.sh --write    rewrite what is generated: theories/WitnessNumbers.v and the generated parts of README.md
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
for tool in coqc make python3; do
  command -v "$tool" >/dev/null || { echo "proofs: $tool is not installed (run proofs/install.sh); nothing was checked" >&2; exit 1; }
done
mode=${1:-}
case "$mode" in ''|--bless|--write) ;; *) echo "usage: check.sh [--bless | --write]" >&2; exit 2 ;; esac
if [ "$mode" = --write ]; then python3 witnesses.py; fi
green=0
# First what can be said without compiling, so that a cheat is named even where it breaks the build.
python3 gate.py --before-build || green=1
make --no-print-directory -j"${PROOF_JOBS:-2}" || { echo "proofs: refused, the sources do not compile" >&2; exit 1; }
python3 gate.py $mode || green=1
exit $green
