#!/usr/bin/env python3
"""Holds the errors that Swift functions document against the errors that a test has provoked.

    Tests/Documents/throws.py HOST      HOST: a build's muster-test-host
    Tests/Documents/throws.py --list    each function with the codes that it documents

Reads the public functions and initializers of Sources/Muster that throw a MusterError or an NPYError, and
the codes in the `- Throws:` field of their comments. The scenario `throws` of HOST provokes them and prints
one pair a line, "FUNCTION CODE". It fails by itself if a code does not come.

A function is named by its type and labels, `Team.cancel()`. If several have one name, the type of the
parameter in which they differ follows: `Team.statistics(of:schedule:)-NPYNumbers`.

Faults: a public function that throws and has no such field; a documented pair that is not provoked, unless
UNPROVOKED has its reason; a provoked pair that is not documented. A field that says "as" of another
function takes over all of its codes. Those are provoked there. Of the function itself, one is enough.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile

SECONDS = 300
MIRRORS = "only if a rank dies within its copy to a second node, which no test can time"
UNPROVOKED = {
    ("SharedArray.mirror()", "memory"): MIRRORS,
    ("SharedArray.mirror()", "start"): MIRRORS,
    ("SharedArray.mirror()", "threads"): MIRRORS,
}

TYPE = re.compile(r"( *)(?:[\w@()]+ )*(?:struct|class|enum|extension|protocol) ([\w.]+)")
FUNCTION = re.compile(r"( *)(?:@\w+ )*public (?:[\w()@]+ )*?(func (\w+)|init)\b")
THROWS = re.compile(r"\bthrows\((MusterError|NPYError)\)")


class Function:
    """A public function that throws, as its source has it."""

    def __init__(self, place, owner, name, signature, comment):
        self.place, self.owner, self.base = place, owner, name
        inner = re.sub(r"= [^,()]*(?=[,)])", "", signature)  # default values
        self.parameters = parameters(inner[inner.index("(") + 1 :])
        self.name = f"{owner}.{name}({''.join(label + ':' for label, _ in self.parameters)})"
        field = re.search(r"- Throws:(.*?)(?=\n\s*- \w+:|\n\n|\Z)", comment, re.DOTALL)
        self.field = " ".join(field[1].split()) if field else None
        self.error = THROWS.findall(signature)[-1]
        # Between double backquotes stands a symbol, between single ones a code.
        bare = re.sub(r"``.*?``", "", self.field or "")
        dot = r"\." if self.error == "MusterError" else r"(?=[a-z])"
        self.codes = set(re.findall(rf"`{dot}(\w+)`", bare))
        self.heirs = self.references()

    def references(self):
        """The functions that "as ``x``" and "and ``x``" name."""
        found = re.findall(r"\b(?:[Aa]s(?: of [\w ]+ as)?|and) ``([^`]+)``", self.field or "")
        return [name.replace("/", ".") if "/" in name else f"{self.owner}.{name}" for name in found]


def parameters(text):
    """Labels and types of the parameters that begin `text`."""
    depth, part, parts = 1, "", []
    for character, before in zip(text, " " + text):
        depth += character in "([{<"
        depth -= character in ")]}" or (character == ">" and before != "-")
        if depth == 0 or (character == "," and depth == 1):
            parts.append(part)
            part = ""
            if depth == 0:
                break
        else:
            part += character
    pairs = [part.split(":", 1) for part in parts if ":" in part]
    return [(names.split()[0], kind.split("=")[0].strip()) for names, kind in pairs]


def declaration(lines):
    """What stands before the body of the function that begins there. A default value may be a closure."""
    depth, found = 0, ""
    for character in " ".join(line.strip() for line in lines):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "{" and depth == 0:
            break
        found += character
    return found


def functions():
    for path in sorted(glob.glob("Sources/Muster/**/*.swift", recursive=True)):
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
        owners = []  # indentation and name of each type around this line
        comment = []
        for number, line in enumerate(lines):
            text = line.strip()
            if text.startswith("///"):
                comment.append(text[3:].removeprefix(" "))
                continue
            if text.startswith("@") and "public" not in text:
                continue
            indent = len(line) - len(line.lstrip())
            if text:
                owners = [owner for owner in owners if owner[0] < indent]
            if match := FUNCTION.match(line):
                signature = declaration(lines[number : number + 30])
                if THROWS.search(signature):
                    owner = owners[-1][1] if owners else ""
                    name = match[3] or "init"
                    yield Function(f"{path}:{number + 1}", owner, name, signature, "\n".join(comment))
            elif match := TYPE.match(line):
                owners.append((len(match[1]), match[2]))
            comment = []


def documented():
    """All functions by name, with the codes of those that they are "as" in `all_codes`."""
    by_name = {}
    for function in functions():
        by_name.setdefault(function.name, []).append(function)
    found = {}
    for name, same in by_name.items():
        for function in same:
            for position, (_, kind) in enumerate(function.parameters):
                if len(same) > 1 and len({f.parameters[position][1] for f in same}) > 1:
                    word = re.sub(r"borrowing |inout |<.*>", "", kind)
                    function.name = f"{name}-{word}"
                    break
            found[function.name] = function

    def codes(name, path=()):
        if name in path:
            sys.exit(f"{name} is as itself")
        if name not in found:
            sys.exit(f"{found[path[-1]].place}: there is no {name}, which it is said to throw as")
        function = found[name]
        return function.codes.union(*(codes(heir, (*path, name)) for heir in function.heirs))

    for name, function in found.items():
        function.all_codes = codes(name)
    return found


def provoked(host):
    """The pairs that the scenario has shown, and what it said of those that did not come."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)  # some act as another user
        done = subprocess.run(
            [host, "throws", folder], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    pairs = {tuple(line.rsplit(" ", 1)) for line in done.stdout.splitlines()}
    return pairs, [] if done.returncode == 0 else done.stderr.splitlines() or ["the scenario has died"]


def faults(found, pairs):
    shown = {name for name, _ in pairs}
    for name, function in sorted(found.items()):
        if not function.all_codes:
            yield f"{function.place}: {name} throws, and its comment has no code after \"- Throws:\""
        if function.all_codes and name not in shown:
            yield f"{function.place}: {name}: no error of it is provoked"
        for code in sorted(function.codes):
            if (name, code) in pairs and (name, code) in UNPROVOKED:
                yield f"{function.place}: {name}: {code} is provoked, and an exception here"
            elif (name, code) not in pairs and (name, code) not in UNPROVOKED:
                yield f"{function.place}: {name}: {code} is documented, and no test provokes it"
    for name, code in sorted(pairs):
        if name not in found:
            yield f"{name}: there is no such public function that throws"
        elif code not in found[name].all_codes:
            yield f"{found[name].place}: {name}: {code} was thrown, and is not documented"
    for name, code in sorted(UNPROVOKED):
        if name not in found or code not in found[name].codes:
            yield f"{name}: {code} is an exception here, and is not documented"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    host = os.path.abspath(sys.argv[1])
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    found = documented()
    if sys.argv[1] == "--list":
        for name, function in sorted(found.items()):
            print(f"{name}: {', '.join(sorted(function.all_codes)) or 'none'}")
        return
    pairs, said = provoked(host)
    wrong = said + list(faults(found, pairs))
    if wrong:
        sys.exit("\n".join(wrong))
    count = sum(len(function.codes) for function in found.values())
    print(f"{count} documented errors of {len(found)} functions, {len(pairs)} pairs provoked")


main()
