#!/usr/bin/env python3
"""Holds the page of errors against the sources: each text that an error can have is explained there.

    Tests/Documents/errors.py [--list]

Reads what the Swift and C sources hand to the calls that make errors (MAKERS). The first words of each
text must stand in Troubleshooting.md, or in EXEMPT with a reason. `--list` prints all texts with their
places.
"""

import glob
import os
import re
import sys

ARTICLE = "Sources/Muster/Muster.docc/Troubleshooting.md"

# Calls whose texts reach a user: Swift, and C. ValidationError is left out: with exit status 64 the
# line names the option and the values that it takes.
MAKERS = re.compile(
    r"(?:\bMusterError|\.system|\bNPYError|\bFailure|\binvalid|\berror|\brefusal"
    r"|\bfailure|\bfail|\bmisuse|\bOutput\.error|\bOutput\.note|\.cannotRun|\.wrong|\bcheckCall"
    r"|\bcheckMemory|\bsupervisorError)\("
)
# In these files errors are put together: every text counts.
WHOLE = ("Verdict.swift", "StrayAccess.swift", "Member.swift", "RunReport.swift", "Fault.swift")
START = re.compile(r"\A")
C_MAKERS = re.compile(r"\badvice = |\breturn (?=\")|\bsnprintf\(text, size(?:_bytes)?, ")
C_FILES = ("status.c", "join.c", "uses.c", "environment.c", "limit.c", "refusal.c")

SHORTEST = 10  # bytes of a part: less says nothing
ENOUGH = 20  # of the first part that is taken before a longer one
WORDS = 40  # most that an entry has to quote

# Texts that need no entry, each with its reason; the key is a part of the text.
EXEMPT = {
    "no other launcher": "is no error: muster run says so in a report",
    "each exactly once": "is no error: the audit of a loop that went well",
    "index out of bounds": "is Swift's own, and in no source of ours",
}


def skip_string(text, at):
    """The end of the Swift string literal that begins at `at`, and its parts without what is computed."""
    fence = '"""' if text.startswith('"""', at) else '"'
    parts, at, part = [], at + len(fence), ""
    while not text.startswith(fence, at):
        if text.startswith("\\(", at):
            depth, at = 1, at + 2
            while depth:
                if text[at] == '"':
                    at, _ = skip_string(text, at)
                    continue
                depth += {"(": 1, ")": -1}.get(text[at], 0)
                at += 1
            parts.append(part)
            part = ""
        elif text[at] == "\\":
            part += {"n": "\n", "t": "\t"}.get(text[at + 1], text[at + 1])
            at += 2
        else:
            part += text[at]
            at += 1
    return at + len(fence), [*parts, part]


SPACE = re.compile(r"(?:\s+|//[^\n]*\n|/\*.*?\*/)*", re.DOTALL)


def skip_space(text, at):
    return SPACE.match(text, at).end()


def texts_of_call(text, at):
    """The texts in the call whose `(` is before `at`: literals that + or nothing joins are one text."""
    depth, joined = 1, None
    while depth and (at := skip_space(text, at)) < len(text):
        character = text[at]
        if character == '"':
            start = at
            at, parts = skip_string(text, at)
            if joined is None:
                joined = (start, parts)
            else:
                joined = (joined[0], joined[1][:-1] + [joined[1][-1] + parts[0]] + parts[1:])
            following = skip_space(text, at)
            if text[following : following + 1] == "+":
                following = skip_space(text, following + 1)
            if text[following : following + 1] == '"':
                at = following
                continue
            yield joined
            joined = None
            continue
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(character, 0)
        at += 1


def sources():
    for folder, _, files in sorted(os.walk("Sources")):
        for name in sorted(files):
            if name.endswith(".swift"):
                yield os.path.join(folder, name), START if name in WHOLE else MAKERS
    for name in C_FILES:
        found = sorted(glob.glob(f"CSources/*/{name}"))
        if not found:
            sys.exit(f"Tests/Documents/errors.py: there is no {name}, which it reads for texts of errors")
        yield from ((path, C_MAKERS) for path in found)


def key(parts):
    """What the page must have of a text: its first words that are not computed, WORDS bytes at most."""
    parts = [piece for part in parts for piece in re.split(r"%(?:[a-z]|ll|\.\*)*[sud]|`", part)]
    parts = [" ".join(part.split()).strip(" :;,.()[]%\"'") for part in parts]
    part = next((part for part in parts if len(part) >= ENOUGH), max(parts, key=len))
    return part if len(part) <= WORDS else part[: part.rindex(" ", 0, WORDS + 1)].rstrip(" :;,.(")


def templates():
    """Each text as path, line, the longest part of it, and all of it."""
    seen = set()
    for path, makers in sources():
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for call in makers.finditer(text):
            if "//" in text[text.rfind("\n", 0, call.start()) + 1 : call.start()]:
                continue  # in a comment
            for start, parts in texts_of_call(text, call.end()):
                if start not in seen and len(key(parts)) >= SHORTEST:
                    yield path, text.count("\n", 0, start) + 1, key(parts), "…".join(parts)
                seen.add(start)
        seen.clear()


def entries(article):
    """The texts in the first column of the page's tables."""
    for row in re.findall(r"^\| (`.*?) (?<!\\)\|", article, re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", row)


def corpus():
    """All source text with the pieces of a literal joined."""
    for folder in ("Sources", "CSources"):
        for place, _, files in os.walk(folder):
            for name in files:
                if name.endswith((".swift", ".c", ".h")):
                    with open(os.path.join(place, name), encoding="utf-8") as file:
                        yield re.sub(r'"\s*(?:\+\s*)?"', "", file.read()).replace("\n", " ")


def findings():
    """Names of what `muster doctor` looks for."""
    for path, _ in sources():
        if path.endswith("/Diagnosis.swift"):
            with open(path, encoding="utf-8") as file:
                yield from re.findall(r'\("([a-z-]+)", [a-zA-Z]+\)', file.read())


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    found = list(templates())
    if sys.argv[1:] == ["--list"]:
        for path, line, _, whole in found:
            print(f"{path}:{line}: {whole}")
        return
    with open(ARTICLE, encoding="utf-8") as file:
        article = file.read()
    prose = " ".join(article.replace("`", "").replace("\\|", "|").split())
    known = "".join(corpus()).replace("`", "")
    wrong = [
        f"{path}:{line}: no entry in {ARTICLE} has: {part}"
        for path, line, part, _ in found
        if part not in prose and part not in EXEMPT
    ]
    looked_for = list(findings())
    wrong += [f"{ARTICLE}: no entry {name}" for name in looked_for if f"| `{name}` |" not in article]
    wrong += [] if looked_for else ["no findings of muster doctor found in the sources"]
    wrong += [
        f"{ARTICLE}: no source has: {part.strip()} (of the entry {entry})"
        for entry in entries(article)
        for part in re.split("…|: ", entry.replace("\\|", "|"))  # a subject may stand before it
        if len(part.strip()) >= SHORTEST and part.strip(" (),:;.") not in known
        if part.strip() not in EXEMPT
    ]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(found)} texts of errors have an entry in {ARTICLE}")


main()
