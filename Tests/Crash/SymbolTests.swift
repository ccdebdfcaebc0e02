// SymbolTests.swift - functions and lines in programs as compilers write them, in every version of DWARF.

import Glibc
import Testing

/// The C compilers that there are.
private let compilers: [String] = ["clang", "gcc"].compactMap { name in
    let path = getenv("PATH").map { String(cString: $0) } ?? ""
    return path.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
}

extension CrashTests {
    @Suite struct Symbols {
        /// Ten libraries of each compiler, each cut off at thirty places.
        @Test(.enabled(if: !compilers.isEmpty, "there is neither clang nor gcc"))
        func functionsAndLinesOfEachKindOfFile() throws {
            let lines = try run(verb: "symbols", compilers, program: HostProcess.memberProgram)
            #expect(lines.last == "libraries \(10 * compilers.count)")
        }
    }
}
