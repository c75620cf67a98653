#!/usr/bin/env python3
"""Audit of the proofs: what check.sh runs before and after compilation. Standard library only.

Findings are one line each: what, then where. The audit trusts three things: Coq's kernel, Coq's own listing of the
constants of a file (the .glob that coqc writes, tied to the source by its digest), and Coq's `Print Assumptions`.

  1. tables      claims.tsv, notes.tsv, slugs.txt fit their formats and each other
  2. sources     no vernacular that assumes, skips a check or leaves a proof unfinished
  3. listing     the Theorems and Corollaries of the sources are exactly those of claims.tsv
  4. axioms      every constant rests on allowed axioms only; each listed theorem on those of its class
  5. pins        statements and definitions are the reviewed ones (pins/*.txt; --bless changes them)
  6. vacuity     every theorem with hypotheses has an example that they can hold together
  7. generated   WitnessNumbers.v and the generated parts of README.md are fresh
"""
import argparse
import concurrent.futures
import difflib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

CLASSES = ("none", "reals", "flocq", "analysis")
UNPROVED = ("empirical", "open")
FINDINGS = []


def finding(what, where=""):
    FINDINGS.append(f"proofs: {what}" + (f" [{where}]" if where else ""))


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


# ---------------------------------------------------------------- tables

def table(path, columns):
    rows = []
    for number, line in enumerate(read(path).split("\n"), 1):
        if number == 1:
            if not line.startswith("#"):
                finding("the first line must be a # header", path)
            continue
        if line == "":
            continue
        where = f"{path}:{number}"
        if line.startswith("#"):
            finding("only the first line may be a comment", where)
            continue
        cells = line.split("\t")
        if len(cells) != columns or any(c != c.strip() or c == "" for c in cells):
            finding(f"expected {columns} non-empty TAB-separated columns, found {len(cells)}: {line!r}", where)
            continue
        rows.append((where, *cells))
    return rows


def load_tables():
    slugs = [s for s in read("slugs.txt").split("\n") if s]
    claims = table("claims.tsv", 3)
    notes = table("notes.tsv", 3)
    # slugs.txt lists the claims of the theory in its order; a claim beyond these is announced by its own row.
    slugs += [slug for slug in dict.fromkeys(slug for _, slug, _, _ in claims) if slug not in slugs]
    listed, by_slug = {}, {}
    for where, slug, theorem, cls in claims:
        if slug not in slugs:
            finding(f"unknown claim slug {slug}", where)
        by_slug.setdefault(slug, []).append((theorem, cls))
        if cls in UNPROVED:
            if theorem != "-":
                finding(f"a row of class {cls} has '-' as its theorem, found {theorem}", where)
            continue
        if cls not in CLASSES:
            finding(f"unknown class {cls}; one of {', '.join(CLASSES + UNPROVED)}", where)
        if not re.fullmatch(r"Perpend(\.[A-Za-z_][A-Za-z0-9_']*){2,}", theorem):
            finding(f"not a fully qualified theorem Perpend.File.name: {theorem}", where)
            continue
        if theorem in listed and listed[theorem] != cls:
            finding(f"{theorem} is listed with two classes", where)
        if (theorem, cls) in by_slug[slug][:-1]:
            finding(f"{theorem} is listed twice under {slug}", where)
        listed[theorem] = cls
    noted = {}
    for where, slug, kind, reason in notes:
        if slug not in slugs:
            finding(f"unknown claim slug {slug}", where)
        if kind not in ("ahead",) + UNPROVED:
            finding(f"unknown kind {kind}; one of ahead, empirical, open", where)
        if len(reason.split()) < 4:
            finding(f"the reason for {slug} is not a sentence: {reason!r}", where)
        noted.setdefault(slug, set()).add(kind)
    for slug in slugs:
        rows = by_slug.get(slug, [])
        if not rows:
            finding(f"claim {slug} has no row: list a theorem, or 'empirical'/'open' with a reason in notes.tsv", "claims.tsv")
        for _, cls in rows:
            if cls in UNPROVED and cls not in noted.get(slug, ()):
                finding(f"claim {slug} is {cls} without a reason in notes.tsv", "claims.tsv")
        for kind in noted.get(slug, ()):
            if kind in UNPROVED and kind not in [c for _, c in rows]:
                finding(f"notes.tsv calls {slug} {kind}, claims.tsv has no such row", "notes.tsv")
    return slugs, by_slug, listed


# ---------------------------------------------------------------- sources

def sentences(text):
    """Yield (line number, sentence) of a Coq source, comments removed, strings kept."""
    i, line, start_line, out, depth = 0, 1, None, [], 0
    n = len(text)
    while i < n:
        c = text[i]
        if depth == 0 and c == '"':
            j = i + 1
            while j < n and text[j] != '"':
                j += 1
            out.append(text[i:j + 1])
            line += text.count("\n", i, j + 1)
            i = j + 1
            continue
        if text.startswith("(*", i):
            depth += 1
            i += 2
            continue
        if depth and text.startswith("*)", i):
            depth -= 1
            i += 2
            if depth == 0:
                out.append(" ")
            continue
        if depth == 0:
            if start_line is None and not c.isspace():
                start_line = line
            out.append(c)
            if c == "." and (i + 1 == n or text[i + 1].isspace() or text.startswith("(*", i + 1)):
                yield start_line, " ".join("".join(out).split())
                out, start_line = [], None
        if c == "\n":
            line += 1
        i += 1
    if "".join(out).strip():
        yield start_line, " ".join("".join(out).split())


PREFIX = r"(?:(?:#\[[^\]]*\]|Local|Global|Polymorphic|Monomorphic|Cumulative|NonCumulative|Private|Time|Fail|Timeout \d+)\s+)*"
FORBIDDEN = [
    (r"(?:Admitted|Admit Obligations?\b.*)\.", "an unfinished proof (Admitted)"),
    (r"Abort\b.*", "an abandoned proof (Abort)"),
    (r"(?:Axioms?|Parameters?|Conjectures?|Primitive|Declare Instance)\b.*", "an assumption (Axiom, Parameter, ...)"),
    (r"(?:Unset|Set) (?:Guard|Positivity|Universe) Checking.*", "a kernel check switched off"),
    (r"(?:Declare ML Module|Load|Add LoadPath|Add ML Path|Drop|Redirect|Extraction)\b.*", "code from outside the sources"),
    (r"(?:Program|Next Obligation|Obligation|Solve (?:All )?Obligations?)\b.*", "Program (its obligations are theorems in hiding)"),
    (r"Module Type\b.*|Declare Module\b.*", "a module type (a place for parameters)"),
]
INSIDE = [
    (r"\b(?:admit|give_up|exact_no_check|vm_cast_no_check|native_cast_no_check|change_no_check|convert_concl_no_check)\b",
     "a tactic that leaves a hole or skips a check"),
    (r"#\[[^\]]*\b(?:bypass_check|program)\b", "an attribute that switches a check off"),
]


def scan_source(path):
    text = read(path)
    depth, modules = [], []
    for line, sentence in sentences(text):
        where = f"{path}:{line}"
        body = re.sub(r"^[-+*{}\s]+", "", sentence)
        if re.match(r"(?:Time |Fail )", body):
            finding(f"leftover of an experiment: {sentence[:60]}", where)
        head = re.sub("^" + PREFIX, "", body)
        for pattern, what in FORBIDDEN:
            if re.fullmatch(pattern, head):
                finding(f"{what}: {sentence[:80]}", where)
        for pattern, what in INSIDE:
            if re.search(pattern, re.sub(r'"[^"]*"', '""', sentence)):
                finding(f"{what}: {sentence[:80]}", where)
        m = re.match(r"(Section|Module|End)\s+(?:Import\s+|Export\s+)?([A-Za-z_][\w']*)", head)
        if m and not (m[1] == "Module" and ":=" in head):
            if m[1] == "End":
                if depth:
                    depth.pop()
            else:
                depth.append(m[1])
        if re.match(r"(?:Variables?|Hypothesis|Hypotheses|Context|Let)\b", head) and "Section" not in depth:
            finding(f"an assumption outside a section: {sentence[:80]}", where)
    if not re.match(r"\(\*\* \* ", text):
        finding("the file does not open with a coqdoc comment '(** * Title: ...'", path)


# ---------------------------------------------------------------- what Coq says a file contains

class Entry:
    def __init__(self, kind, name, word, path, offset):
        self.kind, self.name, self.word, self.path, self.offset = kind, name, word, path, offset


def glob_entries(path):
    """Constants of one source file from the .glob written by coqc, with the keyword that introduced each."""
    glob = path[:-2] + ".glob"
    if not os.path.exists(glob) or not os.path.exists(path + "o"):
        finding("not compiled", path)
        return []
    raw = open(path, "rb").read()
    lines = read(glob).split("\n")
    if lines[0] != "DIGEST " + hashlib.md5(raw).hexdigest():
        finding("compiled from another version of the source (touch it and run make)", path)
        return []
    library = lines[1][1:]
    out = []
    for line in lines[2:]:
        m = re.match(r"(\w+) (\d+):(\d+) (\S+) (\S+)$", line)
        if not m or m[1] in ("binder", "sec", "var", "lib", "mod", "modtype", "constr") or re.match(r"R\d", line):
            continue
        kind, start, module, name = m[1], int(m[2]), m[4], m[5]
        word = re.search(rb"([A-Za-z_]+)\s+$", raw[:start])
        full = ".".join([library] + ([module] if module != "<>" else []) + [name])
        out.append(Entry(kind, full, word[1].decode() if word else "", path, start))
    return out


STATED = ("Theorem", "Corollary")
HELPER = ("Lemma", "Fact", "Remark", "Proposition", "Property", "Example", "Definition", "Instance", "Let", "Canonical")


def check_listing(entries, listed):
    theorems = {}
    for e in entries:
        if e.kind == "prf":
            line = open(e.path, "rb").read()[: e.offset].count(b"\n") + 1
            if e.word in STATED:
                theorems[e.name] = f"{e.path}:{line}"
            elif e.word not in HELPER:
                finding(f"{e.name} is introduced by {e.word!r}; use Theorem, Corollary, Lemma, Fact, Remark or Example", f"{e.path}:{line}")
        elif e.kind in ("ax", "defax", "prfax"):
            line = open(e.path, "rb").read()[: e.offset].count(b"\n") + 1
            finding(f"{e.name} is assumed, not proved", f"{e.path}:{line}")
    for name, where in theorems.items():
        if name not in listed:
            finding(f"theorem {name} is not listed in claims.tsv (a helper is a Lemma)", where)
    for name in listed:
        if name not in theorems:
            finding(f"claims.tsv lists {name}, but there is no such Theorem or Corollary", "claims.tsv")
    return theorems


# ---------------------------------------------------------------- asking Coq

def coq(session, requires, body):
    """Run one batch file; return {marker: text printed after it}."""
    with tempfile.TemporaryDirectory() as tmp:
        path = os.path.join(tmp, "Audit.v")
        with open(path, "w", encoding="utf-8") as f:
            f.write(requires + body)
        run = subprocess.run(["coqc", "-q", "-w", "none", "-Q", "theories", "Perpend", path],
                             capture_output=True, text=True)
        if run.returncode != 0:
            finding(f"the audit of {session} did not run: {(run.stderr + run.stdout[-300:]).strip()[:600]}")
    parts = re.split(r"^@@ (.*)\n", run.stdout, flags=re.M)
    return {parts[i]: parts[i + 1].strip() for i in range(1, len(parts) - 1, 2)}


def mark(label):
    return f'Goal True. idtac "@@ {label}". Abort.\n'


def require(paths):
    return "".join(f"Require Perpend.{os.path.basename(p)[:-2]}.\n" for p in paths)


def axioms_in(text):
    return sorted({m[1] for m in re.finditer(r"^([A-Za-z_][\w.']*)(?=\s*(?::|$))", text, flags=re.M)} - {"Axioms", "Section", "Closed"})


def bundle(label, members):
    """One question about the axioms of many constants."""
    return (f"Definition bundle_{label} : unit :=\n" + "".join(f"  let _ := @{n} in\n" for n in members) + "  tt.\n"
            + mark(label) + f"Print Assumptions bundle_{label}.\n")


def check_axioms(entries, listed, groups):
    allow = {}
    for line in read("axioms.allow").split("\n"):
        if line and not line.startswith("#"):
            cls, axiom = line.split("\t")
            allow.setdefault(cls, set()).add(axiom)
    any_class = set().union(*allow.values())
    jobs = []
    for group, paths in groups.items():
        mine = [e for e in entries if e.path in paths and e.kind in
                ("prf", "def", "ex", "inst", "coe", "canonstruc", "scheme", "ind", "rec", "class", "proj", "thm")]
        names = sorted({e.name for e in mine})
        sets = {"all": names}
        for cls in CLASSES:
            sets[cls] = [n for n in names if listed.get(n) == cls]
        body = "".join(bundle(label, members) for label, members in sets.items() if members)
        jobs.append((group, paths, body, sets))

    def one(job):
        group, paths, body, sets = job
        answers = coq(f"axioms ({group})", require(paths), body)
        bad = []
        for label, members in sets.items():
            if not members:
                continue
            text = answers.get(label, "")
            if text == "Closed under the global context":
                continue
            allowed = any_class if label == "all" else allow.get(label, set())
            if not text or set(axioms_in(text)) - allowed:
                bad.append(label)
        if not bad:
            return
        # Find the culprits: bundles of a few first, then one by one inside the bad ones (an answer takes half a second).
        suspects = sorted({n for label in bad for n in sets[label]})
        chunks = {f"chunk_{i}": suspects[i:i + 25] for i in range(0, len(suspects), 25)}
        answers = coq(f"axioms in bundles ({group})", require(paths), "".join(bundle(k, v) for k, v in chunks.items()))
        suspects = [n for k, v in chunks.items() for n in v
                    if answers.get(k) != "Closed under the global context" and
                    (not answers.get(k) or set(axioms_in(answers[k])) - set.intersection(*(allow.get(c, set()) for c in {listed.get(m, "analysis") for m in v})))]
        answers = coq(f"axioms one by one ({group})", require(paths),
                      "".join(mark(n) + f"Print Assumptions {n}.\n" for n in suspects))
        for n in suspects:
            text = answers.get(n, "")
            if text == "Closed under the global context":
                continue
            cls = listed.get(n)
            extra = sorted(set(axioms_in(text)) - (allow.get(cls, set()) if cls else any_class))
            for axiom in extra:
                if n == axiom or n.endswith("." + axiom):
                    finding(f"{n} has no proof (Admitted or assumed)", "axioms")
                else:
                    finding(f"{n} rests on {axiom}, not allowed for " + (f"class {cls}" if cls else "any class"), "axioms")
            if not text:
                finding(f"no answer about the axioms of {n}", "axioms")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(one, jobs))


# ---------------------------------------------------------------- pins

PREAMBLE = {
    "mathcomp": "From mathcomp Require Import all_ssreflect all_algebra.\nRequire Import Perpend.Vec.\nOpen Scope ring_scope.\n",
    "reals": "From Coq Require Import Reals List.\nOpen Scope R_scope.\n",
}


def source_sentence(entry):
    """The vernacular sentence around an offset (for notations, which Coq does not print back)."""
    raw = open(entry.path, "rb").read()
    start = max(raw.rfind(k, 0, entry.offset) for k in (b"Notation", b"Infix"))
    end, quoted = start, False
    while end < len(raw):
        if raw[end:end + 1] == b'"':
            quoted = not quoted
        if not quoted and raw[end:end + 1] == b"." and raw[end + 1:end + 2].isspace():
            break
        end += 1
    return " ".join(raw[start:end + 1].decode().split())


def current_pins(entries, listed, groups):
    """{file: {name: (hash of the fully explicit print, readable print)}} for statements and definitions."""
    pins = {"statements": {}, "definitions": {}}
    jobs = []
    for group, paths in groups.items():
        mine = [e for e in entries if e.path in paths]
        wanted = [("statements", e.name, f"Check @{e.name}.") for e in mine if e.name in listed]
        seen = set()
        for e in mine:
            if e.kind in ("def", "inst", "coe", "canonstruc", "ind", "rec", "class", "scheme") and e.word != "Example" and e.name not in seen:
                seen.add(e.name)
                wanted.append(("definitions", e.name, f"Print {e.name}."))
            if e.kind in ("not", "abbrev"):
                text = source_sentence(e)
                pins["definitions"][e.name] = (hashlib.sha256(text.encode()).hexdigest()[:16], text)
        for explicit in (True, False):
            head = require(paths) if explicit else require(paths) + PREAMBLE[group]
            body = ("Set Printing All.\n" if explicit else "") + "Set Printing Width 100.\n" + "".join(mark(n) + q + "\n" for _, n, q in wanted)
            jobs.append((group, explicit, head, body, wanted))

    def one(job):
        group, explicit, head, body, wanted = job
        return coq(f"pins ({group})", head, body)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(one, jobs))
    for i in range(0, len(jobs), 2):
        for kind, name, _ in jobs[i][4]:
            explicit, readable = answers[i].get(name, ""), answers[i + 1].get(name, "")
            readable = re.sub(r"\n\nArguments .*", "", readable, flags=re.S)
            explicit = re.sub(r"\n\nArguments .*", "", explicit, flags=re.S)
            if not explicit:
                finding(f"Coq did not print {name}", "pins")
            pins[kind][name] = (hashlib.sha256(" ".join(explicit.split()).encode()).hexdigest()[:16], readable)
    return pins


def pin_path(kind):
    return os.path.join("pins", kind + ".txt")


def write_pins(pins):
    os.makedirs("pins", exist_ok=True)
    for kind, members in pins.items():
        with open(pin_path(kind), "w", encoding="utf-8") as f:
            f.write(f"# The reviewed {kind}, as Coq prints them. The code beside a name is the hash of the print with every\n"
                    "# implicit part shown. Written by check.sh --bless, never by hand.\n")
            for name in sorted(members):
                digest, text = members[name]
                f.write(f"\n@ {name} {digest}\n{text}\n")


def read_pins(kind):
    if not os.path.exists(pin_path(kind)):
        finding(f"no pinned {kind} (check.sh --bless writes them)", pin_path(kind))
        return {}
    parts = re.split(r"^@ (\S+) (\S+)\n", read(pin_path(kind)), flags=re.M)
    return {parts[i]: (parts[i + 1], parts[i + 2].rstrip("\n")) for i in range(1, len(parts) - 2, 3)}


def check_pins(pins):
    for kind, members in pins.items():
        noun = kind[:-1]
        pinned = read_pins(kind)
        for name in sorted(set(pinned) | set(members)):
            if name not in members:
                finding(f"pinned {noun} {name} is gone", pin_path(kind))
            elif name not in pinned:
                finding(f"{noun} {name} is not pinned yet (review it, then check.sh --bless)", pin_path(kind))
            elif pinned[name][0] != members[name][0]:
                old, new = (" ".join(pinned[name][1].split()), " ".join(members[name][1].split()))
                if old == new:
                    change = "in its implicit parts"
                else:
                    change = short_change(old, new)
                finding(f"{noun} {name} changed: {change}", pin_path(kind))


def short_change(old, new):
    a, b = old.split(), new.split()
    out = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag != "equal":
            out.append(f"'{' '.join(a[i1:i2])}' became '{' '.join(b[j1:j2])}'")
    text = "; ".join(out)
    return text if len(text) < 400 else text[:400] + " ..."


# ---------------------------------------------------------------- vacuity

# The audit's own copy of NonVacuous.v's construction, so that changing that file changes nothing here.
REFUTE = r"""
Ltac audit_refute T :=
  lazymatch T with
  | forall x : ?A, @?B x =>
      let _ := match goal with _ => let s := type of A in lazymatch s with Prop => idtac "premise" | _ => idtac end end in
      let y := fresh "y" in
      constr:(forall y : A, ltac:(
        let b := eval cbv beta in (B y) in
        let r := audit_refute b in exact r))
  | _ => constr:(False)
  end.
Ltac audit_statement thm := let T := type of thm in let T := eval cbv zeta in T in audit_refute T.
"""


def check_vacuity(entries, listed, groups):
    names = {e.name for e in entries if e.word == "Example"}
    by_short = {}
    for n in names:
        by_short.setdefault(n.rsplit(".", 1)[1], []).append(n)

    def example(theorem):
        own = theorem + "_nonvacuous"
        if own in names:
            return own
        _, file, *_, short = theorem.split(".")
        found = by_short.get(f"{file}_{short}_nonvacuous", [])
        return found[0] if found else None

    jobs = []
    for group, paths in groups.items():
        mine = [n for n in sorted(listed) if any(p == f"theories/{n.split('.')[1]}.v" for p in paths)]
        every = sorted(set(paths) | {f"theories/{example(n).split('.')[1]}.v" for n in mine if example(n)})
        body = REFUTE
        for n in mine:
            body += mark(n) + f"Goal True. let r := audit_statement (@{n}) in idtac. Abort.\n"
            if example(n):
                body += (f'Goal True. first [ let r := audit_statement (@{n}) in let e := constr:({example(n)} : ~ r) in idtac "shown" '
                         f'| idtac "other" ]. Abort.\n')
        jobs.append((group, every, body, mine))

    def one(job):
        group, every, body, mine = job
        return coq(f"vacuity ({group})", require(every), body)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(one, jobs))
    laden = 0
    for job, answer in zip(jobs, answers):
        for n in job[3]:
            words = answer.get(n, "").split()
            if "premise" not in words:
                continue
            laden += 1
            if not example(n):
                finding(f"theorem {n} has hypotheses and no example {n.rsplit('.', 1)[1]}_nonvacuous", "README.md, non-vacuity convention")
            elif "shown" not in words:
                finding(f"{example(n)} does not state that the hypotheses of {n} can hold (nonvacuous {n.rsplit('.', 1)[1]})", "vacuity")
    return laden


# ---------------------------------------------------------------- README

def opening_comment(path):
    m = re.match(r"\(\*\* \* (.*?)\*\)", read(path), flags=re.S)
    if not m:
        return "", ""
    text = m[1]
    title, _, rest = text.partition("\n")
    # A title that runs over the first line: up to the first blank line or full stop.
    rest = "\n".join(line.strip() if not line.startswith("      ") else "    " + line.strip() for line in rest.split("\n"))
    rest = re.sub(r"\[([^\[\]\n]+)\]", r"`\1`", rest)
    rest = re.sub(r"^\*\* ", "#### ", rest, flags=re.M)
    return title.strip(), rest.strip()


def generated_readme(slugs, by_slug, listed):
    kinds = {}
    for line in read("notes.tsv").split("\n")[1:]:
        if line:
            slug, kind, reason = line.split("\t")
            kinds.setdefault(slug, []).append((kind, reason))
    proved = [s for s in slugs if any(c in CLASSES for _, c in by_slug.get(s, []))]
    status = [f"{len(proved)} of {len(slugs)} claims have machine-checked theorems, {len(listed)} theorems in all, "
              f"{sum(c == 'none' for c in listed.values())} of them without any axiom.", "",
              "| claim | status | theorems (file: names) | class |", "|---|---|---|---|"]
    for slug in slugs:
        rows = by_slug.get(slug, [])
        theorems = [(t, c) for t, c in rows if c in CLASSES]
        files = {}
        for t, _ in theorems:
            files.setdefault(t.split(".")[1], []).append(t.rsplit(".", 1)[1])
        cells = "<br>".join(f"[{f}](theories/{f}.v): " + ", ".join(f"`{n}`" for n in names) for f, names in files.items())
        words = [f"proved ({len(theorems)})"] if theorems else []
        for kind, reason in kinds.get(slug, []):
            words.append(("ahead of the code" if kind == "ahead" else kind) + f": {reason}")
        status.append(f"| `{slug}` | {'; '.join(words)} | {cells or '–'} | {', '.join(sorted({c for _, c in theorems}, key=CLASSES.index)) or '–'} |")
    words, told = [], set()
    for slug in slugs:
        files = list(dict.fromkeys(t.split(".")[1] for t, c in by_slug.get(slug, []) if c in CLASSES))
        if not files:
            continue
        words.append(f"### `{slug}`")
        for f in files:
            title, rest = opening_comment(f"theories/{f}.v")
            if f in told:
                words.append(f"See [{f}](theories/{f}.v) above.")
            else:
                words.append(f"**[{f}](theories/{f}.v)**: {title}\n\n{rest}".rstrip())
            told.add(f)
    return {"status": "\n".join(status), "words": "\n\n".join(words)}


def with_generated(text, parts):
    for key, content in parts.items():
        begin, end = f"<!-- {key}: generated by check.sh --write -->", f"<!-- end of {key} -->"
        if begin not in text or end not in text:
            finding(f"README.md lost the markers of the generated part '{key}'", "README.md")
            continue
        a, rest = text.split(begin, 1)
        b = rest.split(end, 1)[1]
        text = f"{a}{begin}\n{content}\n{end}{b}"
    return text


# ---------------------------------------------------------------- witnesses

def check_witnesses(slugs, by_slug):
    if subprocess.run([sys.executable, "witnesses.py", "--check"]).returncode != 0:
        finding("theories/WitnessNumbers.v is not what witnesses.json gives (check.sh --write)", "witnesses.json")
        return
    for w in json.loads(read("witnesses.json"))["witnesses"]:
        for slug in w["claims"]:
            if w["theorem"] not in [t for t, _ in by_slug.get(slug, [])]:
                finding(f"witness {w['id']} names {w['theorem']}, which claims.tsv does not list under {slug}", "witnesses.json")


# ---------------------------------------------------------------- main

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--before-build", action="store_true")
    parser.add_argument("--bless", action="store_true")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    paths = sorted(f"theories/{f}" for f in os.listdir("theories") if f.endswith(".v"))
    slugs, by_slug, listed = load_tables()
    if args.before_build:
        for p in paths:
            scan_source(p)
        check_witnesses(slugs, by_slug)
        return report()
    FINDINGS.clear()  # said before the build
    entries = [e for p in paths for e in glob_entries(p)]
    if FINDINGS:  # nothing below makes sense for a file that is not compiled
        return report()
    theorems = check_listing(entries, listed)
    known = {n: c for n, c in listed.items() if n in theorems}
    groups = {"mathcomp": [], "reals": []}
    for p in paths:
        groups["mathcomp" if re.search(r"\bmathcomp\b", read(p)) else "reals"].append(p)
    groups = {g: ps for g, ps in groups.items() if ps}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        axioms = pool.submit(check_axioms, entries, known, groups)
        pins = pool.submit(current_pins, entries, known, groups)
        axioms.result()
        pins = pins.result()
    if args.bless:
        write_pins(pins)
        print(f"proofs: pinned {len(pins['statements'])} statements and {len(pins['definitions'])} definitions")
    check_pins(pins)
    laden = check_vacuity(entries, known, groups)
    readme = with_generated(read("README.md"), generated_readme(slugs, by_slug, listed))
    if args.write:
        with open("README.md", "w", encoding="utf-8") as f:
            f.write(readme)
    elif readme != read("README.md"):
        finding("the generated parts of README.md are stale (check.sh --write)", "README.md")
    proved = sum(any(c in CLASSES for _, c in by_slug.get(s, [])) for s in slugs)
    return report(f"proofs: green. {proved} of {len(slugs)} claims proved by {len(listed)} theorems "
                  f"({sum(c == 'none' for c in listed.values())} without axioms), {laden} with hypotheses, each shown non-vacuous; "
                  f"{len(pins['definitions'])} definitions pinned.")


def report(success=None):
    for line in dict.fromkeys(FINDINGS):
        print(line, file=sys.stderr)
    if FINDINGS:
        print(f"proofs: refused, {len(dict.fromkeys(FINDINGS))} finding(s)", file=sys.stderr)
        return 1
    if success:
        print(success)
    return 0


if __name__ == "__main__":
    sys.exit(main())
