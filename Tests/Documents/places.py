#!/usr/bin/env python3
"""Checks the places that documents name: each file is there, and has the function that it is named for.

    Tests/Documents/places.py

A place is a code span with a path from the top of the repository. A name in a code span before it, as in
"`muster_join` (`CSources/member/join.c`)" or "`muster_join` in `CSources/member/join.c`", must stand in
the file. A name of C's, as `muster_join` or `MUSTER_RANK`, must stand somewhere in the sources. Links to
files in README.md and in the articles must lead somewhere, and each article must be linked from
Muster.md.
"""

import glob
import os
import re
import sys

ARTICLES = "Sources/Muster/Muster.docc"
# A name and the place that it is said to be at; or a place alone.
NAMED = re.compile(r"`([^`\n]+)`(?:,? in|,? \()\s*`((?:CSources|Sources|Tests|include)/[^`\s]*)`")
PLACE = re.compile(r"`((?:CSources|Sources|Tests|include|\.ci)/[\w./+-]*)(?: [^`]*)?`")
C_NAME = re.compile(r"\b(?:muster_|MUSTER_)\w*[A-Za-z0-9]\b")
LINK = re.compile(r"\]\(([\w./-]+\.\w+)(?:#[\w-]*)?\)")


def documents():
    yield "README.md"
    yield "Tests/README.md"
    yield from sorted(glob.glob(f"{ARTICLES}/*.md"))


def faults(path):
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"^```.*?^```$", "", file.read(), flags=re.MULTILINE | re.DOTALL)
    for place in sorted(set(PLACE.findall(text))):
        if not os.path.exists(place):
            yield f"{path}: there is no {place}"
    for name, place in NAMED.findall(text):
        word = re.findall(r"\w+", name.split("(")[0])
        if not os.path.isfile(place) or not word:
            continue
        with open(place, encoding="utf-8") as file:
            if not re.search(rf"\b{word[-1]}", file.read()):
                yield f"{path}: {place} has no {name}"
    for target in LINK.findall(text):
        if not os.path.exists(os.path.join(os.path.dirname(path), target)):
            yield f"{path}: the link to {target} leads nowhere"


def unknown():
    """Names of C's that no source has; a name that ends in _ or … stands for several."""
    known = set()
    for top in ("CSources", "include", "Sources", "Tests"):
        for folder, _, files in os.walk(top):
            for name in files:
                if name.endswith((".c", ".h", ".swift", ".sh", ".py")) or "." not in name:
                    with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                        known.update(C_NAME.findall(file.read()))
    for path in documents():
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for match in C_NAME.finditer(text):
            if match[0] not in known and text[match.end() : match.end() + 1] not in ("_", "…", "*"):
                yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: no source has {match[0]}"


def unlinked():
    with open(f"{ARTICLES}/Muster.md", encoding="utf-8") as file:
        linked = set(re.findall(r"<doc:(\w+)>", file.read())) | {"Muster"}
    for path in documents():
        with open(path, encoding="utf-8") as file:
            for name in re.findall(r"<doc:(\w+)>", file.read()):
                if not os.path.exists(f"{ARTICLES}/{name}.md"):
                    yield f"{path}: there is no article {name}"
        name = os.path.splitext(os.path.basename(path))[0]
        if path.startswith(ARTICLES) and name not in linked:
            yield f"{path}: Muster.md does not link it"


def folders():
    """The table of Tests/README.md has each folder of tests, and no other."""
    with open("Tests/README.md", encoding="utf-8") as file:
        cells = re.findall(r"^\| (`[\w`, ]+`) \|", file.read(), re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    there = {name for name in os.listdir("Tests") if os.path.isdir(f"Tests/{name}")}
    for name in sorted(told ^ there):
        yield f"Tests/README.md: {name} {'is no folder' if name in told else 'has no row'} of Tests"


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    wrong = [fault for path in documents() for fault in faults(path)] + [*unlinked(), *unknown(), *folders()]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(list(documents()))} documents: all places and links are right")


main()
