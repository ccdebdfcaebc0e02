"""headers.py - what Muster's C headers declare, with the comments above it.

Reads the house's own headers and no others: clang-format has been over them, a comment belongs to
the declaration that follows it, and nothing but `#ifdef __cplusplus` is conditional within them.
"""

import os
import re
from dataclasses import dataclass, field


@dataclass
class Function:
    name: str
    prototype: str  # without "static inline" and without the final semicolon
    comment: str
    header: str
    is_inline: bool

    def parameters(self):
        inside = self.prototype[self.prototype.index("(") + 1 : self.prototype.rindex(")")]
        found = [re.findall(r"\w+", part) for part in inside.split(",")]
        return [words[-1] for words in found if words and words != ["void"]]


@dataclass
class Header:
    name: str  # "leader.h"
    summary: str  # the rest of the comment's first sentence
    comment: str  # what comes after that
    functions: list = field(default_factory=list)
    types: list = field(default_factory=list)  # (comment, source) of structs, enums, typedefs
    constants: list = field(default_factory=list)  # (comment, source) of #defines


def plain(comment):
    """A comment's text: without its frame, paragraphs and indented lines as they were."""
    text = comment[2:-2].replace("\n *", "\n").strip()
    lines = [line[1:] if line.startswith(" ") else line for line in text.split("\n")]
    return "\n".join(line.rstrip() for line in lines).strip()


def without_cplusplus(text):
    text = re.sub(r"#ifdef __cplusplus\n.*?(?:#else\n(.*?))?#endif\n", r"\1", text, flags=re.S)
    return text


def pieces(text):
    """Comments, directives and declarations, in order: (kind, source)."""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text.startswith("/*", at):
            end = text.index("*/", at) + 2
            yield "comment", text[at:end]
            at = end
        elif text[at] == "#":
            end = re.compile(r"(?<!\\)\n").search(text, at).end()
            yield "directive", text[at : end - 1]
            at = end
        else:
            start, depth, is_body = at, 0, False
            while True:
                if text.startswith("/*", at):
                    at = text.index("*/", at) + 2
                    continue
                character = text[at]
                if character == "{":
                    is_body = is_body or (depth == 0 and text[start:at].rstrip().endswith(")"))
                    depth += 1
                elif character == "}":
                    depth -= 1
                at += 1
                if depth == 0 and (character == ";" or (is_body and character == "}")):
                    break
            yield "declaration", text[start:at]


def function(source, comment, header):
    head = re.sub(r"/\*.*?\*/", "", source, flags=re.S).split("{")[0].rstrip().rstrip(";")
    # A typedef's name is in parentheses: no such thing in a function's head.
    match = re.match(
        r"(?P<inline>static inline |MUSTER_INLINE )?(?P<rest>[^()=]*?\b(?P<name>muster_\w+)\(.*\))$",
        head.strip(), flags=re.S)
    if not match or source.startswith("typedef"):
        return None
    prototype = re.sub(r"\s+", " ", match["rest"]).replace("MUSTER_NORETURN ", "")
    return Function(match["name"], prototype, comment, header, match["inline"] is not None)


def included(umbrella):
    """Paths of the headers that a header includes, but for another umbrella: muster.h's are the
    public ones."""
    with open(umbrella, encoding="utf-8") as file:
        names = re.findall(r"^#include <muster/([\w/]+\.h)>$", file.read(), flags=re.M)
    top = umbrella[: umbrella.rindex("muster/") + len("muster/")]
    return [top + name for name in names if name != "muster.h"]


def read(path):
    with open(path, encoding="utf-8") as file:
        text = without_cplusplus(file.read())
    all_pieces = list(pieces(text))
    name = path.rsplit("/", 1)[-1]
    opening = plain(all_pieces[0][1])
    first, _, rest = opening.removeprefix(f"{name} - ").partition(".\n")
    if not rest and ". " in first:
        first, _, rest = first.partition(". ")
    header = Header(name, re.sub(r"\s+", " ", first).rstrip("."), rest.strip())
    comment = ""
    for kind, source in all_pieces[1:]:
        if kind == "comment":
            text = plain(source)
            comment = "" if text.startswith("-- ") else text
            continue
        if kind == "directive":
            is_constant = re.match(r"#define MUSTER_\w+(\(.*?\))? ", source)
            if is_constant and not source.startswith("#define MUSTER_NORETURN"):
                header.constants.append((comment, source))
            comment = comment if source.startswith(("#if", "#elif", "#define")) else ""
            continue
        found = function(source, comment, name)
        if found:
            header.functions.append(found)
        elif not source.startswith("_Static_assert"):
            header.types.append((comment, source))
        comment = ""
    return header
