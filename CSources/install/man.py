#!/usr/bin/env python3
"""man.py - manual pages from the text that stands in the sources: section 3 from the comments of
the C headers, section 1 from the tool's own help. So each sentence exists once.

    man.py headers muster.h                        paths of the public headers: what it includes
    man.py functions [--inline] HEADER...          names of functions that have a symbol, or of all
    man.py pages --date D --version V --to DIR [--tool-help JSON] HEADER...
"""

import argparse
import json
import os
import re
import sys
import textwrap

sys.dont_write_bytecode = True
import headers as c  # noqa: E402

LABELS = {
    "Returns": "RETURN VALUE",
    "Errors": "ERRORS",
    "Ownership": "OWNERSHIP",
    "Concurrency": "CONCURRENCY",
    "Precondition": "PRECONDITION",
    "Cost": "COST",
    "Source": "SOURCE",
}


# -- roff -----------------------------------------------------------------------------------------


def escape(text):
    text = text.replace("\\", "\\e").replace("`", "\\(ga")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def code(text):
    """For what people copy: hyphens are minus signs, quotes straight."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti").replace('"', "\\(dq")
    return re.sub(r"^\.", r"\\&.", text, flags=re.M)


def wrapped(line):
    """Input lines of 78 columns, none of which begins like a request."""
    lines = textwrap.wrap(line, 78, break_long_words=False, break_on_hyphens=False)
    return [re.sub(r"^([.'])", r"\\&\1", text) for text in lines]


def example(lines):
    return [".IP", ".EX", code("\n".join(lines)), ".EE"]


def prose(text, inner=False):
    """Paragraphs, and what is indented by four spaces as an example. Backticks are bold. inner: in
    a section whose paragraphs are indented already."""
    paragraph = ".IP" if inner else ".PP"
    made = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.split("\n")
        if all(line.startswith("    ") for line in lines):
            least = min(len(line) - len(line.lstrip()) for line in lines)
            made += example([line[least:] for line in lines])
            continue
        joined = escape(re.sub(r"\s+", " ", block).strip())
        joined = re.sub(r"\\\(ga([^\\]*?)\\\(ga", r"\\fB\1\\fP", joined)
        joined = re.sub(r"\b(muster_\w+|MUSTER_\w+)\b", r"\\fB\1\\fP", joined)
        if joined:
            made += [paragraph] + wrapped(joined)
    return made


def page(name, section, context, body):
    title = code(name.upper())
    return "\n".join(
        [f'.TH "{title}" {section} "{context.date}" "Muster {context.version}" "Muster Manual"',
         ".nh", ".ad l"]  # names of functions are to stay whole
        + body) + "\n"


def heading(text):
    return [f".SH {text}"]


def after_heading(lines):
    """A paragraph macro right after a heading is one too many."""
    return lines[1:] if lines and lines[0] == ".PP" else lines


# -- section 3 ------------------------------------------------------------------------------------


def sections(comment, parameters):
    """A comment's parts: [(None, text)] first, then (label or parameter, text)."""
    names = "|".join(list(LABELS) + [re.escape(name) for name in parameters])
    # A label begins a line or follows a full stop; "rank, size: ..." describes two parameters.
    pattern = re.compile(
        rf"(?:^|(?<=\n)|(?<=\. )|(?<=\.\n))((?:{names})(?:, (?:{names}))*): ?(?=\S|\n)")
    parts = pattern.split(comment)
    return [(None, parts[0])] + list(zip(parts[1::2], parts[2::2]))


def sentence(text):
    """The first sentence, for NAME and lists. Words in front of a colon's list count as one."""
    flat = re.sub(r"\s+", " ", text).strip()
    match = re.match(r"(.*?[^.][.:])(?= |$)", flat)
    return (match[1] if match else flat).rstrip(".:")


def brief(function):
    parts = sections(function.comment, function.parameters())
    text = parts[0][1].strip() or next((t for name, t in parts if name == "Returns"), "")
    line = sentence(text)
    return line[:1].lower() + line[1:] if not line[1:2].isupper() else line


def broken(prototype):
    """A prototype in lines of 72 columns."""
    if len(prototype) <= 72:
        return [prototype + ";"]
    start = prototype.index("(") + 1
    lines, line = [], prototype[:start]
    for number, part in enumerate(prototype[start:].split(", ")):
        text = part if number == 0 else ", " + part
        if len(line) + len(text) > 72 and number > 0:
            lines.append(line + ",")
            line, text = " " * min(start, 8), part
        line += text
    return lines + [line + ";"]


def types_of(function, header):
    """The header's types that a prototype names."""
    named = set(re.findall(r"(?:struct|enum) (\w+)|\b(muster_\w+)\b", function.prototype))
    named = {first or second for first, second in named}
    found = []
    for _, source in header.types:
        match = re.match(r"(?:typedef .*?\(\*|typedef |struct |enum )(\w+)", source, flags=re.S)
        if match and match[1] in named and not re.fullmatch(r"struct \w+;", source):
            found.append(source)
    return found


def function_page(function, header, context):
    body = heading("NAME") + [f"{code(function.name)} \\- {escape(brief(function))}"]
    body += heading("SYNOPSIS") + [".nf", f"\\fB#include <muster/{header.name}>\\fP", ""]
    body += [code(line) for line in broken(function.prototype)] + [".fi"]
    parts = sections(function.comment, function.parameters())
    body += heading("DESCRIPTION") + after_heading(prose(parts[0][1]) or [escape(brief(function))])
    for name, text in parts[1:]:
        if name.split(", ")[0] not in LABELS:
            body += [".TP", f"\\fI{code(name)}\\fP"]
            lines = prose(text, inner=True)
            body += lines[1:] if lines else ["\\&"]
    for label, title in LABELS.items():
        texts = [text for name, text in parts[1:] if name == label]
        if texts:
            body += heading(title) + after_heading(prose("\n\n".join(texts)))
    for source in types_of(function, header):
        body += heading("TYPES") if ".SH TYPES" not in body else []
        body += example(source.split("\n"))
    others = [other.name for other in header.functions if other.name != function.name][:12]
    body += heading("SEE ALSO")
    seen = [f"muster-{header.name}"] + others
    body += [f".BR {code(name)} (3){',' if name != seen[-1] else ''}" for name in seen]
    return page(function.name, 3, context, body)


def header_page(header, context):
    name = f"muster-{header.name}"
    body = heading("NAME") + [f"{code(name)} \\- {escape(header.summary)}"]
    body += heading("SYNOPSIS") + [f"\\fB#include <muster/{header.name}>\\fP"]
    body += heading("DESCRIPTION") + after_heading(prose(header.comment) or [escape(header.summary)])
    for title, declared in (("CONSTANTS", header.constants), ("TYPES", header.types)):
        if declared:
            body += heading(title)
        for number, (comment, source) in enumerate(declared):
            lines = prose(comment)
            body += after_heading(lines) if number == 0 else lines
            body += example(source.split("\n"))
    if header.functions:
        body += heading("FUNCTIONS")
        for function in header.functions:
            body += [".TP", f".BR {code(function.name)} (3)", escape(brief(function))]
    return page(name, 3, context, body)


# -- section 1 ------------------------------------------------------------------------------------


def spelled(argument):
    """"-n, --ranks <count>", with the fonts of a manual page."""
    dashes = {"short": "-", "longWithSingleDash": "-", "long": "--"}
    names = [f"\\fB{code(dashes[n['kind']] + n['name'])}\\fP" for n in argument.get("names") or []]
    value = f"\\fI{code(argument.get('valueName') or 'value')}\\fP"
    if argument["kind"] == "positional":
        return value
    return ", ".join(names) + (f" {value}" if argument["kind"] == "option" else "")


def usage(argument):
    dashes = {"short": "-", "longWithSingleDash": "-", "long": "--"}
    text = f"\\fI{code(argument.get('valueName') or 'value')}\\fP"
    if argument["kind"] != "positional":
        name = argument.get("preferredName") or argument["names"][0]
        option = f"\\fB{code(dashes[name['kind']] + name['name'])}\\fP"
        text = f"{option} {text}" if argument["kind"] == "option" else option
    return f"[{text}]" if argument.get("isOptional") else text


def discussion(text):
    """Help texts have examples in lines of two or more spaces."""
    made = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        if re.fullmatch(r"[A-Z ]+", block):
            made += heading(block)
            continue
        run, indented = [], False
        for line in block.split("\n"):
            if line.startswith("  ") != indented and run:
                made += example(run) if indented else prose("\n".join(run))
                run = []
            indented = line.startswith("  ")
            run.append(line.strip() if indented else line)
        if run:
            made += example(run) if indented else prose("\n".join(run))
    return made


def command_pages(command, above, context):
    """Pages of a command and of those below it: {name: text}."""
    words = above + [command["commandName"]]
    name = "-".join(words)
    arguments = [a for a in command.get("arguments") or [] if a.get("shouldDisplay", True)]
    below = [c for c in command.get("subcommands") or [] if c["commandName"] != "help"]
    below = [c for c in below if c.get("shouldDisplay", True)]
    abstract = command.get("abstract", "").rstrip(".")
    body = heading("NAME") + [f"{code(name)} \\- {escape(abstract)}"]
    body += heading("SYNOPSIS") + [" ".join(
        [f"\\fB{code(' '.join(words))}\\fP"] + [usage(a) for a in arguments]
        + (["\\fIcommand\\fP ..."] if below else []))]
    body += heading("DESCRIPTION")
    body += after_heading(discussion(command.get("discussion") or "")) or [escape(abstract)]
    if below:
        body += heading("COMMANDS")
        for other in below:
            body += [".TP", f".BR {code(name + '-' + other['commandName'])} (1)"]
            body += [escape(other.get("abstract", "")) or "\\&"]
    if arguments:
        body += heading("OPTIONS")
    for argument in arguments:
        body += [".TP", spelled(argument)]
        text = " ".join(filter(None, [argument.get("abstract"), argument.get("discussion")]))
        if argument.get("defaultValue") is not None and argument["kind"] != "flag":
            text += f" (default: {argument['defaultValue']})"
        body += [escape(re.sub(r"\s+", " ", text)) or "\\&"]
    if above:
        body += heading("SEE ALSO") + [f".BR {code('-'.join(above))} (1)"]
    pages = {name: page(name, 1, context, body)}
    for other in below:
        pages |= command_pages(other, words, context)
    return pages


# -- main -----------------------------------------------------------------------------------------


def write(folder, name, section, text):
    place = os.path.join(folder, f"man{section}")
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, f"{name}.{section}"), "w", encoding="utf-8") as file:
        file.write(text)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("what", choices=["headers", "functions", "pages"])
    parser.add_argument("--inline", action="store_true")
    parser.add_argument("--date", default="")
    parser.add_argument("--version", default="")
    parser.add_argument("--to")
    parser.add_argument("--tool-help")
    parser.add_argument("headers", nargs="+")
    given = parser.parse_args()
    if given.what == "headers":
        print(*(path for umbrella in given.headers for path in c.included(umbrella)), sep="\n")
        return
    read = [c.read(path) for path in given.headers]
    if given.what == "functions":
        for header in read:
            for function in header.functions:
                if given.inline or not function.is_inline:
                    print(function.name)
        return
    for header in read:
        write(given.to, f"muster-{header.name}", 3, header_page(header, given))
        for function in header.functions:
            if not function.comment:
                sys.exit(f"{header.name}: {function.name} has no comment")
            write(given.to, function.name, 3, function_page(function, header, given))
    if given.tool_help:
        with open(given.tool_help, encoding="utf-8") as file:
            command = json.load(file)["command"]
        for name, text in command_pages(command, [], given).items():
            write(given.to, name, 1, text)


main()
