#!/usr/bin/env python3
"""Keeps the programs of an article true: they compile, and print what stands beside them.

    Tests/Documents/programs.py extract ARTICLE FOLDER
    Tests/Documents/programs.py run ARTICLE FOLDER

A program is a fenced block whose first line is a comment with a file's name: `extract` writes it to
that file. In a fenced block without a language a line that begins with `$ ` is a command, and the lines
after it are what it prints: `run` runs it in FOLDER. `...` stands for any characters. Lines are
compared without their order, since standard output and standard error come by different ways.
"""

import re
import subprocess
import sys

LIMIT_S = 60  # of a command: one of them is a pool that waits for ever, under `timeout`


def blocks(article):
    """Fenced blocks as pairs of language and text."""
    with open(article, encoding="utf-8") as file:
        return re.findall(r"^```(\w*)\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)


def programs(article):
    for language, text in blocks(article):
        name = re.match(r"(?:#|//|/\*) (\w+\.\w+)(?: \*/)?\n", text)
        if language and name:
            yield name[1], text


def commands(article):
    """Commands as pairs of the command and the lines that it should print."""
    for language, text in blocks(article):
        if not language and text.startswith("$ "):
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, *lines = part.splitlines()
                yield command, lines


def is_like(pattern, line):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("..."))), line) is not None


def differs(wanted, printed):
    """What is wanted and not printed, or printed and not wanted."""
    rest = list(printed)
    for pattern in wanted:
        found = next((line for line in rest if is_like(pattern, line)), None)
        if found is None:
            return f"does not print: {pattern}"
        rest.remove(found)
    return f"prints also: {rest[0]}" if rest else None


def run(article, folder):
    count = 0
    for command, wanted in commands(article):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
        )
        fault = differs(wanted, done.stdout.splitlines())
        if fault:
            sys.exit(f"{article}: {command}\n{fault}\nIt printed:\n{done.stdout}")
        count += 1
    return count


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("extract", "run"):
        sys.exit(__doc__)
    mode, article, folder = sys.argv[1:]
    if mode == "run":
        count = run(article, folder)
    else:
        found = list(programs(article))
        count = len(found)
        for name, text in found:
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
    if count == 0:
        sys.exit(f"{article}: no {'command' if mode == 'run' else 'program'} found")
    print(f"{article}: {count} {'commands run' if mode == 'run' else 'programs'}")


main()
