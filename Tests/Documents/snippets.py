#!/usr/bin/env python3
"""Compiles the Swift examples of the articles and of README.md, as far as the type checker goes.

    Tests/Documents/snippets.py [MODULES]

MODULES: the folder with a build's Muster.swiftmodule (default: .build/debug/Modules). Each block stands in
a scope of its own, after what its article takes for granted (GIVEN). Programs of ComingFrom.md are
compiled and run by Tests/Install/check.

Exit: 0 all compile; 1 one does not; 2 no build.
"""

import glob
import os
import re
import subprocess
import sys
import tempfile

GIVEN = {
    "Rows": "let team = try Team(size: 2)",
    "StatisticsOfFiles": "let team = try Team(size: 2)",
    "Timelines": """let team = try Team(size: 2)
        let kernel = Bulk.Copy(
            to: try team.array(of: Double.self, count: 1).output,
            from: try team.array(of: Double.self, count: 1).input)""",
}
ELSEWHERE = ("ComingFrom",)
# No program: lines of a package's description.
PACKAGE = re.compile(r"^\.package\(|^\.product\(", re.MULTILINE)


def blocks(path):
    with open(path, encoding="utf-8") as file:
        for block in re.findall(r"^```swift\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL):
            if not PACKAGE.search(block):
                yield re.sub(r"^import Muster\n", "", block, flags=re.MULTILINE)


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    modules = sys.argv[1] if len(sys.argv) > 1 else ".build/debug/Modules"
    if not os.path.exists(f"{modules}/Muster.swiftmodule"):
        print(f"no Muster.swiftmodule in {modules}: swift build makes one", file=sys.stderr)
        sys.exit(2)
    count, failed = 0, False
    for path in ["README.md", *sorted(glob.glob("Sources/Muster/Muster.docc/*.md"))]:
        name = os.path.splitext(os.path.basename(path))[0]
        found = list(blocks(path))
        if not found or name in ELSEWHERE:
            continue
        text = "import Muster\n" + "".join(
            f"do {{\n{GIVEN.get(name, '')}\n{block}}}\n" for block in found
        )
        with tempfile.TemporaryDirectory() as folder:
            program = f"{folder}/main.swift"
            with open(program, "w", encoding="utf-8") as file:
                file.write(text)
            done = subprocess.run(
                [
                    *("swiftc", "-typecheck", program, "-I", modules),
                    *("-enable-experimental-feature", "Lifetimes"),
                    *("-Xcc", "-fmodule-map-file=CSources/include/module.modulemap"),
                    *("-Xcc", "-ICSources/include"),
                ],
                capture_output=True,
                text=True,
                timeout=300,
            )
        count += len(found)
        if done.returncode != 0:
            failed = True
            faults = [line for line in done.stderr.splitlines() if re.match(r"\S+: error: ", line)]
            print(f"{path}: " + "\n".join(faults), file=sys.stderr)
    if failed or count == 0:
        sys.exit(1)
    print(f"{count} examples in Swift compile")


main()
