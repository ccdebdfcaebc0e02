#!/usr/bin/env python3
"""abi.py - prints abi.c: the layout of every public struct and the value of every enumerator, as
this compiler has them, as static asserts. With `core`, layout.c: the same of what lies in shared
memory and of all else that only the library and its tests see.

    Tests/Install/abi.py >Tests/Install/abi.c
    Tests/Install/abi.py core >Tests/Install/layout.c

Tests/Install/check compares each with its file, so that no layout changes unnoticed and no struct is
left out.
"""

import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "CSources", "install"))
import headers as c  # noqa: E402

OPENING = """/* {name} - sizes, offsets and values that {who} depend on. Made by abi.py: a
 * difference is a change of {what}. */
#include <muster/{umbrella}>

#ifdef __cplusplus
#define ASSERT(condition) static_assert(condition, #condition)
#else
#define ASSERT(condition) _Static_assert(condition, #condition)
#endif
#define SIZE(type, bytes)      ASSERT(sizeof(struct type) == (bytes))
#define AT(type, field, bytes) ASSERT(offsetof(struct type, field) == (bytes))
#define VALUE(name, value)     ASSERT((long long)(name) == (value))
"""


def bodies(header, kind):
    """(name, body without comments) of each struct or enum."""
    for _, source in header.types:
        match = re.match(rf"{kind} (\w+)\s*\{{(.*)\}}\s*;\s*$", source, flags=re.S)
        if match:
            yield match[1], re.sub(r"/\*.*?\*/", "", match[2], flags=re.S)


def fields(body):
    for declaration in filter(None, (part.strip() for part in body.split(";"))):
        pointer = re.search(r"\(\*(\w+)\)\(", declaration)
        if pointer:
            yield pointer[1]
            continue
        for declarator in declaration.split(","):
            yield re.search(r"(\w+)(?:\[[^\]]*\])*\s*$", declarator)[1]


def probe(header):
    """C that prints a header's part of abi.c."""
    yield f'puts("\\n/* {header.name} */");'
    for name, body in bodies(header, "struct"):
        yield f'printf("SIZE({name}, %zu);\\n", sizeof(struct {name}));'
        for field in fields(body):
            yield f'printf("AT({name}, {field}, %zu);\\n", offsetof(struct {name}, {field}));'
    for _, body in bodies(header, "enum"):
        for name in re.findall(r"\b(MUSTER_\w+)\b(?=\s*(?:[=,]|$))", body):
            yield f'printf("VALUE({name}, %lld);\\n", (long long){name});'


PUBLIC = {"name": "abi.c", "who": "compiled programs", "what": "the interface", "umbrella": "muster.h"}
CORE = {"name": "layout.c", "who": "ranks of one team", "umbrella": "core/core.h",
        "what": "MUSTER_LAYOUT_VERSION if the struct lies in shared memory"}


def main():
    folder = os.path.join(ROOT, "include", "muster")
    part_of = CORE if sys.argv[1:] == ["core"] else PUBLIC
    umbrella = part_of["umbrella"]
    lines = [f"#include <muster/{umbrella}>", "#include <stdio.h>", "int main(void) {"]
    for path in c.included(os.path.join(folder, umbrella)):
        part = list(probe(c.read(path)))
        lines += part if len(part) > 1 else []
    lines += ["return 0; }"]
    with tempfile.TemporaryDirectory() as work:
        source, program = os.path.join(work, "probe.c"), os.path.join(work, "probe")
        with open(source, "w", encoding="utf-8") as file:
            file.write("\n".join(lines))
        include = os.path.join(ROOT, "include")
        subprocess.run(["cc", "-std=c11", f"-I{include}", source, "-o", program], check=True)
        shown = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    opening = OPENING
    for word, text in part_of.items():
        opening = opening.replace("{" + word + "}", text)
    sys.stdout.write(opening + shown)


main()
