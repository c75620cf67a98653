#!/usr/bin/env python3
"""Write theories/WitnessNumbers.v from witnesses.json, so that the Coq proofs and the Rust tests use the same numbers.

    witnesses.py            write the file when it is stale
    witnesses.py --check    exit 1 when it is stale, write nothing

Every entry of a witness becomes a definition <id>_<entry> over an arbitrary real field: a number, a vector (2 or 4
coordinates), a 2x2 matrix, or a polynomial in the learning rate. Standard library only.
"""
import json
import os
import re
import sys
from fractions import Fraction

HEADER = """(** * WitnessNumbers: the exact numbers of the necessity witnesses

    Written by witnesses.py from witnesses.json, which the Rust tests read too; never edited by hand.
    [<id>_<entry> R] is the entry of the witness <id>, over any real field R; a polynomial in the
    learning rate takes the rate as a further argument. [<id>_numbers] unfolds the entries of a witness. *)
From mathcomp Require Import all_ssreflect all_algebra.
From Perpend Require Import Vec.
Import GRing.Theory.
Local Open Scope ring_scope.

Definition vec4 (R : realFieldType) (a b c d : R) : 'cV[R]_4 :=
  \\col_(i < 4) nth 0 [:: a; b; c; d] i.
Arguments vec4 {R} a b c d.
"""


def natural(n):
    """A numeral without a long unary constant: base 1000."""
    if n < 1000:
        return f"{n}" if n < 2 else f"{n}%:R"
    high, low = divmod(n, 1000)
    return f"({natural(high)} * 1000%:R + {natural(low)})" if low else f"({natural(high)} * 1000%:R)"


def number(text):
    if not isinstance(text, str) or not re.fullmatch(r"-?\d+(/[1-9]\d*)?", text):
        raise ValueError(f"not a fraction in a string: {text!r}")
    value = Fraction(text)
    if str(value) != text:
        raise ValueError(f"not in lowest terms: {text!r}")
    size = natural(abs(value.numerator))
    if value.denominator != 1:
        size = f"({size} / {natural(value.denominator)})"
    return f"(- {size})" if value < 0 else size


def polynomial(coefficients):
    terms = []
    for power, c in enumerate(coefficients):
        if Fraction(c) == 0:
            number(c)
            continue
        terms.append(number(c) + ("", " * eta")[power == 1] if power < 2 else f"{number(c)} * eta ^+ {power}")
    return " + ".join(terms) or "0"


def definition(name, value):
    if isinstance(value, dict):
        if set(value) != {"eta"}:
            raise ValueError(f"unknown kind of entry: {value!r}")
        return f"Definition {name} (R : realFieldType) (eta : R) : R := {polynomial(value['eta'])}."
    if isinstance(value, list):
        if len(value) == 2 and all(isinstance(row, list) and len(row) == 2 for row in value):
            cells = " ".join(number(x) for row in value for x in row)
            return f"Definition {name} (R : realFieldType) : 'M[R]_2 := mat2 {cells}."
        if len(value) in (2, 4):
            return f"Definition {name} (R : realFieldType) : 'cV[R]_{len(value)} := vec{len(value)} {' '.join(number(x) for x in value)}."
        raise ValueError(f"a vector has 2 or 4 coordinates, a matrix is 2x2: {value!r}")
    return f"Definition {name} (R : realFieldType) : R := {number(value)}."


def generate(document):
    if document.get("schema") != "perpend-witnesses/v1":
        raise ValueError("the schema must be perpend-witnesses/v1")
    out, seen = [HEADER], set()
    for witness in document["witnesses"]:
        ident = witness["id"]
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", ident):
            raise ValueError(f"not a slug: {ident!r}")
        out.append(f"(** {ident}: {witness['what']} *)")
        mine = []
        for part in ("given", "expected"):
            for key, value in witness[part].items():
                name = f"{ident}_{key}".replace("-", "_")
                if name in seen:
                    raise ValueError(f"{name} is defined twice")
                seen.add(name)
                mine.append(name)
                try:
                    out.append(definition(name, value))
                except ValueError as e:
                    raise ValueError(f"{ident}, {key}: {e}") from None
        out.append(f"Ltac {ident.replace('-', '_')}_numbers := rewrite " + " ".join(f"/{n}" for n in mine) + ".")
        out.append("")
    return "\n".join(out)


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    try:
        with open("witnesses.json", encoding="utf-8") as f:
            text = generate(json.load(f))
    except (ValueError, KeyError) as e:
        print(f"proofs: witnesses.json: {e}", file=sys.stderr)
        return 1
    path = "theories/WitnessNumbers.v"
    old = open(path, encoding="utf-8").read() if os.path.exists(path) else None
    if old == text:
        return 0
    if "--check" in sys.argv[1:]:
        return 1
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    print(f"proofs: wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
