#!/usr/bin/env python3
"""Checks the places that documents name: each file is there, and has the function that it is named for.

    Tests/Documents/places.py

A place is a code span with a path from the top of the repository. A name in a code span before it, as in
"`muster_join` (`CSources/member/join.c`)" or "`muster_join` in `CSources/member/join.c`", must stand in
the file. Links to files in README.md and in the articles must lead somewhere, and each article must be
linked from Muster.md.
"""

import glob
import os
import re
import sys

ARTICLES = "Sources/Muster/Muster.docc"
# A name and the place that it is said to be at; or a place alone.
NAMED = re.compile(r"`([^`\n]+)`(?:,? in|,? \()\s*`((?:CSources|Sources|Tests|include)/[^`\s]*)`")
PLACE = re.compile(r"`((?:CSources|Sources|Tests|include|\.ci)/[\w./+-]*)(?: [^`]*)?`")
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


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    wrong = [fault for path in documents() for fault in faults(path)] + list(unlinked())
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(list(documents()))} documents: all places and links are right")


main()
