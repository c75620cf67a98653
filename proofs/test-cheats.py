#!/usr/bin/env python3
"""Plant cheats in a copy of the proofs and require that the gate refuses each by name.

The copy holds the finite-precision files with their rows, pins and .vo files, so that all cheats take two to three minutes on idle cores. It
is green before a cheat is planted; the real folder is never touched. Standard library only.

    test-cheats.py [NAME ...]     all cheats, or the named ones
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOTS = ["FloatDotGrowth", "WitnessNumbers"]


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def replace(path, old, new):
    text = read(path)
    if text.count(old) != 1:
        sys.exit(f"test-cheats: {os.path.basename(path)} has {text.count(old)} places for the plant, expected 1: {old[:70]!r}")
    write(path, text.replace(old, new))


def append(path, text):
    write(path, read(path) + text)


# ---- the cheats: how each is planted, and what the refusal must say

def admitted(d):
    """A proof left out."""
    path = f"{d}/theories/FloatDotGradient.v"
    text = read(path)
    begin = text.index("Proof.", text.index("Theorem stored_gradient_residual"))
    end = text.index("Qed.", begin) + len("Qed.")
    write(path, text[:begin] + "Proof. Admitted." + text[end:])
    return [r"Admitted.*FloatDotGradient\.v:\d+", r"Perpend\.FloatDotGradient\.stored_gradient_residual has no proof"]


def global_variable(d):
    """An assumption in the clothes of a variable, and a theorem that rests on it."""
    path = f"{d}/theories/FloatDotGrowth.v"
    append(path, "\nVariable planted : 1 <= 0.\nLemma rests_on_it : 2 <= 0.\nProof. pose proof planted. lra. Qed.\n")
    return [r"an assumption outside a section: Variable planted.*FloatDotGrowth\.v:\d+",
            r"Perpend\.FloatDotGrowth\.planted is assumed", r"Perpend\.FloatDotGrowth\.rests_on_it rests on .*planted"]


def weakened_statement(d):
    """A theorem that holds in one dimension only, its proof and its example patched to fit."""
    path = f"{d}/theories/FloatDotGrowth.v"
    replace(path, "Theorem difference_of_squares_measured (q' : nat -> R) : INR (d + 2) * u < 1 ->",
            "Theorem difference_of_squares_measured (q' : nat -> R) : d = 1%nat -> INR (d + 2) * u < 1 ->")
    replace(path, "  intros H. destruct (dot_fl_factors rnd u ok u_lt1 d (fun i => rnd (q' i - q i))",
            "  intros _ H. destruct (dot_fl_factors rnd u ok u_lt1 d (fun i => rnd (q' i - q i))")
    text = read(path)
    start = text.index("Example difference_of_squares_measured_nonvacuous")
    write(path, text[:start] + text[start:].replace("(fun _ => 1) (fun _ => 1)).\n", "(fun _ => 1) (fun _ => 1)); [reflexivity|].\n", 1))
    return [r"statement Perpend\.FloatDotGrowth\.difference_of_squares_measured changed"]


def redefined_notion(d):
    """Arithmetic without rounding under the name of binary64."""
    path = f"{d}/theories/FloatDotGradient.v"
    replace(path, "Definition binary64_unbounded : R -> R := round radix2 (FLX_exp 53) ZnearestE.",
            "Definition binary64_unbounded : R -> R := fun x => x.")
    text = read(path)
    begin = text.index("Proof.", text.index("Lemma binary64_unbounded_rounding"))
    end = text.index("Qed.", begin) + len("Qed.")
    write(path, text[:begin] + """Proof.
  assert (0 <= u64) by apply bpow_ge_0.
  split; unfold binary64_unbounded; intros; try lra; unfold Rminus; rewrite Rplus_opp_r, Rabs_R0.
  - pose proof (Rabs_pos x). nra.
  - pose proof (Rabs_pos (x + y)). nra.
Qed.""" + text[end:])
    return [r"definition Perpend\.FloatDotGradient\.binary64_unbounded changed"]


def unlisted_theorem(d):
    """A theorem that no row of claims.tsv answers for."""
    append(f"{d}/theories/FloatDotGrowth.v", "\nTheorem planted_theorem : 0 <= 0.\nProof. lra. Qed.\n")
    return [r"theorem Perpend\.FloatDotGrowth\.planted_theorem is not listed.*FloatDotGrowth\.v:\d+"]


def missing_example(d):
    """A theorem whose hypotheses nobody has shown to hold."""
    path = f"{d}/theories/FloatDotGrowth.v"
    text = read(path)
    start = text.index("Example norm_growth_tolerance_nonvacuous")
    write(path, text[:start] + text[text.index("Example", start + 1):])
    return [r"theorem Perpend\.FloatDotGrowth\.norm_growth_tolerance has hypotheses and no example"]


def other_number(d):
    """A witness's number changed on one side only."""
    replace(f"{d}/witnesses.json", '"radial_at_eta": "64608/78125"', '"radial_at_eta": "64607/78125"')
    return [r"WitnessNumbers\.v is not what witnesses\.json gives"]


CHEATS = [admitted, global_variable, weakened_statement, redefined_notion, unlisted_theorem, missing_example, other_number]


# ---- the copy

def cone():
    need, todo = set(), list(ROOTS)
    while todo:
        name = todo.pop()
        if name in need:
            continue
        need.add(name)
        for line in re.findall(r"^From Perpend Require Import ([^.]*)\.", read(f"{HERE}/theories/{name}.v"), flags=re.M):
            todo += line.split()
    return need


def make_copy(target):
    names = cone()
    os.makedirs(f"{target}/theories")
    for f in ("Makefile", "check.sh", "gate.py", "witnesses.py", "axioms.allow", "README.md"):
        shutil.copy2(f"{HERE}/{f}", target)
    # The witnesses' theorems stay behind; their numbers do not depend on them.
    write(f"{target}/witnesses.json", re.sub(r'"claims": \[[^\]]*\]', '"claims": []', read(f"{HERE}/witnesses.json")))
    for name in names:
        for ext in (".v", ".vo", ".glob"):
            if os.path.exists(f"{HERE}/theories/{name}{ext}"):
                shutil.copy2(f"{HERE}/theories/{name}{ext}", f"{target}/theories")
    rows = [l for l in read(f"{HERE}/claims.tsv").split("\n") if l.startswith("#") or any(f"\tPerpend.{n}." in l for n in names)]
    slugs = {l.split("\t")[0] for l in rows[1:]}
    write(f"{target}/claims.tsv", "\n".join(rows) + "\n")
    write(f"{target}/slugs.txt", "".join(s + "\n" for s in read(f"{HERE}/slugs.txt").split() if s in slugs))
    notes = [l for l in read(f"{HERE}/notes.tsv").split("\n") if l.startswith("#") or l.split("\t")[0] in slugs and "\tahead\t" in l]
    write(f"{target}/notes.tsv", "\n".join(notes) + "\n")
    os.makedirs(f"{target}/pins")
    for kind in ("statements", "definitions"):
        head, *blocks = re.split(r"^(?=@ )", read(f"{HERE}/pins/{kind}.txt"), flags=re.M)
        write(f"{target}/pins/{kind}.txt", head + "".join(b for b in blocks if b.split()[1].split(".")[1] in names))
    subprocess.run(["make", "-s", "-j2"], cwd=target, check=True)
    subprocess.run([sys.executable, "gate.py", "--write"], cwd=target, capture_output=True)


def gate(folder):
    run = subprocess.run(["./check.sh"], cwd=folder, capture_output=True, text=True)
    return run.returncode, run.stdout + run.stderr


def main():
    wanted = sys.argv[1:] or [c.__name__ for c in CHEATS]
    unknown = set(wanted) - {c.__name__ for c in CHEATS}
    if unknown:
        sys.exit(f"test-cheats: no cheat named {', '.join(sorted(unknown))}")
    failed = 0
    with tempfile.TemporaryDirectory() as tmp:
        clean = f"{tmp}/clean"
        make_copy(clean)
        code, said = gate(clean)
        if code != 0:
            sys.exit(f"test-cheats: the copy is not green before any cheat is planted:\n{said}")
        for cheat in CHEATS:
            if cheat.__name__ not in wanted:
                continue
            copy = f"{tmp}/{cheat.__name__}"
            shutil.copytree(clean, copy)
            expected = cheat(copy)
            code, said = gate(copy)
            missing = [e for e in expected if not re.search(e, said)]
            if code != 0 and not missing:
                print(f"refused   {cheat.__name__}: " + " | ".join(re.search("proofs: (.*" + e + ".*)", said)[1][:150] for e in expected[:1]))
                continue
            failed += 1
            why = "accepted" if code == 0 else "refused without naming it (" + "; ".join(missing) + ")"
            print(f"FAILED    {cheat.__name__}: {why}\n{said}")
    print(f"test-cheats: {len(wanted) - failed} of {len(wanted)} planted cheats refused by name")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
