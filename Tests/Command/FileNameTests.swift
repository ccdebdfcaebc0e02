// FileNameTests.swift - the tool takes each path byte by byte as it came, and shows it in words.

import Foundation
import Testing

/// What a shell does in a folder of its own. $B is a name that is not UTF-8, $C another that a repair would
/// make the same, $M the tool, $D the file of numbers.
private func shell(_ script: String) throws -> CommandResult {
    let folder = try TemporaryFolder()
    let numbers = try folder.write("numbers.npy", numbersFile)
    return try CommandRunner.run(
        ["-c", "cd \"$D\"; B=$(printf 'mu\\361oz'); C=$(printf 'mu\\362oz'); " + script],
        program: "/bin/sh",
        environment: [
            "M": CommandRunner.muster, "D": folder.path(""), "N": numbers, "LC_ALL": "C",
        ])
}

/// Four doubles: 1, 2, 3, 4.
private let numbersFile: [UInt8] = {
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (4,), }"
    let padded = header + String(repeating: " ", count: 117 - header.count) + "\n"
    var bytes: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, 118, 0] + Array(padded.utf8)
    for value in [1.0, 2, 3, 4] {
        withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += Array($0) }
    }
    return bytes
}()

@Suite("muster: names are bytes")
struct FileNameTests {
    @Test("stats finds a name that is not UTF-8, and shows it escaped in text and JSON")
    func stats() throws {
        let result = try shell(
            #"cp "$N" "$B.npy"; "$M" stats -n 1 "$B.npy" | grep file; "$M" stats -n 1 --json "$B.npy" | grep '"file"'"#
        )
        #expect(result.output.contains(#"file           mu\xf1oz.npy"#), "\(result)")
        #expect(result.output.contains(#""file" : "mu\\xf1oz.npy""#), "\(result)")
        let absent = try shell(#""$M" stats "$B.npy""#)
        #expect(absent.status == 2)
        #expect(
            absent.errors == "muster: mu\\xf1oz.npy: can't open it: No such file or directory\n",
            "\(absent.errors)")
    }

    @Test("Two names that a repair would make one are two: folders, traces, reports")
    func written() throws {
        let result = try shell(
            #"""
            set -e
            "$M" topology --record "$B" >/dev/null 2>&1; "$M" topology --record "$C" >/dev/null 2>&1
            "$M" topology --from "$B" >/dev/null; "$M" doctor --from "$C" >/dev/null 2>&1 || test $? = 1
            for n in "$B" "$C"; do
              "$M" stats -n 1 --trace "$n.trace" "$N" >/dev/null 2>&1
              "$M" bench tour spawn --quick --save "$n.save" --csv "$n.csv" --html "$n.html" >/dev/null 2>&1
              "$M" report "$n.save" >/dev/null
              "$M" run -n 1 --json "$n.json" --trace "$n.run" --output-dir "$n.d" -- true 2>/dev/null || test -f "$n.json"
            done
            "$M" compare "$B.save" "$C.save" --threshold 100000% >/dev/null
            grep -c 'mu\\\\xf1oz' "$B.save"
            ls | od -An -c | tr -d ' \n' | grep -o 'mu36[12]oz[.a-z]*' | sort -u | tr '\n' ' '
            """#)
        #expect(result.status == 0, "\(result)")
        for byte in ["361", "362"] {
            for ending in ["", ".trace", ".save", ".csv", ".html", ".json", ".d"] {
                #expect(result.output.contains("mu\(byte)oz\(ending)"), "\(result)")
            }
        }
    }

    @Test("run passes program, arguments and environment on as they came")
    func passedOn() throws {
        let result = try shell(
            #"""
            printf '#!/bin/sh\nprintf "%%s|%%s|%%s" "$0" "$1" "$V" | od -An -tx1\n' > "$B"; chmod +x "$B"
            V="$C" "$M" run -n 1 --json "$C.json" -- "./$B" "$C"; grep -A4 '"command"' "$C.json"
            """#)
        #expect(
            result.output.split(whereSeparator: \.isWhitespace).joined(separator: " ").hasPrefix(
                "2e 2f 6d 75 f1 6f 7a 7c 6d 75 f2 6f 7a 7c 6d 75 f2 6f 7a"), "\(result)")
        #expect(
            result.output.contains(#""./mu\\xf1oz""#) && result.output.contains(#""mu\\xf2oz""#))
        let absent = try shell(#""$M" run -n 1 -- "./$B""#)
        #expect(absent.status == 127 && absent.errors.hasPrefix("muster: ./mu\\xf1oz: can't be"))
    }

    @Test("Names that would do something to a line are shown, each otherwise")
    func shown() throws {
        for (name, shown) in [
            ("'a\nb'", #"a\nb"#), (#"'a\nb'"#, #"a\\nb"#), ("'a b\"'", #"a b""#),
            ("-- -x", "-x"), ("\"$(printf 'x\\033[2J')\"", #"x\u{1B}[2J"#),
        ] {
            let result = try shell("\"$M\" stats \(name)")
            #expect(
                result.errors == "muster: \(shown): can't open it: No such file or directory\n",
                "\(name): \(result.errors)")
            #expect(result.status == 2)
        }
        for command in [
            "report", "compare x", "stats --trace", "bench tour spawn --csv", "topology --from",
        ] {
            let result = try shell("\"$M\" \(command) ''")
            #expect([2, 64].contains(result.status) && result.errorLines.count == 1, "\(result)")
        }
        let long = try shell("\"$M\" report $(head -c 5000 /dev/zero | tr '\\0' x)")
        #expect(long.status == 2 && long.errors.hasSuffix("File name too long\n"), "\(long.errors)")
    }
}
