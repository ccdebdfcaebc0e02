// ThrowsOfNumbers.swift - what headers of `.npy` files, statistics and the like throw, each error provoked.

import MusterCore
@preconcurrency import Glibc
import Muster

// MARK: - Headers

/// A file's header with this text, as version 1 has it.
private func header(_ text: String, major: UInt8 = 1, claimed: Int? = nil) -> [UInt8] {
    let count = claimed ?? text.utf8.count
    let length = (0..<(major == 1 ? 2 : 4)).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) }
    return [0x93] + Array("NUMPY".utf8) + [major, 0] + length + Array(text.utf8)
}

private func entries(_ descr: String = "'<f8'", _ shape: String = "(1,)") -> String {
    "{'descr': \(descr), 'fortran_order': False, 'shape': \(shape), }"
}

/// Fixed parts that are refused, with the length of their file; nil: as it is.
private let preambles: [(NPYError.Reason, [UInt8], Int?)] = [
    (.emptyFile, [], nil),
    (.notNPY, Array("hello, world".utf8), nil),
    (.truncatedHeader, Array(header("{}").prefix(9)), nil),
    (.prefixTooShort, Array(header(entries()).prefix(9)), 100),
    (.unsupportedVersion, header(entries(), major: 4), nil),
    (.headerBeyondFile, header(entries(), claimed: 1000), nil),
    (.headerTooLong, header("{}", major: 2, claimed: 0xFFFF_FFFF), 1 << 40),
]

/// Dictionaries that are refused, with the bytes of data after them.
private let dictionaries: [(NPYError.Reason, String, Int)] = [
    (.malformedHeader, "[]", 8),
    (.unknownKey, "{'x': 1}", 8),
    (.missingKey, "{}", 8),
    (.duplicateKey, "{'shape': (1,), 'shape': (1,)}", 8),
    (.objectDType, entries("'|O'"), 8),
    (.structuredDType, entries("[('a', '<f4')]"), 8),
    (.complexDType, entries("'<c16'"), 16),
    (.unsupportedDType, entries("'|S5'"), 5),
    (
        .tooManyDimensions,
        entries("'<f8'", "(" + String(repeating: "1, ", count: 65) + ")"), 8
    ),
    (.invalidShape, entries("'<f8'", "(-1,)"), 8),
    (.countOverflow, entries("'<f8'", "(2000000000000000000,)"), 8),
    (.dataTruncated, entries(), 7),
    (.dataTooLong, entries(), 9),
]

func headerThrows() -> [Provocation] {
    let parse = "NPYHeader.init(prefix:fileByteCount:)"
    return preambles.flatMap { reason, bytes, count in
        [
            Provocation("NPYHeader.requiredPrefix(_:fileByteCount:)", reason) {
                _ = try NPYHeader.requiredPrefix(bytes, fileByteCount: count ?? bytes.count)
            },
            Provocation(parse, reason) {
                _ = try NPYHeader(prefix: bytes, fileByteCount: count ?? bytes.count)
            },
        ]
    }
        + dictionaries.map { reason, text, data in
            let bytes = header(text)
            return Provocation(parse, reason) {
                _ = try NPYHeader(prefix: bytes, fileByteCount: bytes.count + data)
            }
        }
        + [
            Provocation("NPYHeader.init(path:)", .file) { _ = try NPYHeader(path: "absent.npy") },
            Provocation("NPYHeader.channelCount(axis:path:)", .invalidArgument) {
                _ = try NPYHeader(path: npyFile("axis.npy")).channelCount(axis: 3, path: "axis.npy")
            },
            Provocation("NPYFiles.init(paths:)", .invalidArgument) { _ = try NPYFiles(paths: []) },
            Provocation("NPYFiles.init(paths:)", .file) { _ = try NPYFiles(paths: ["absent.npy"]) },
            Provocation("NPYFiles.channelCount(axis:)", .invalidArgument) {
                _ = try NPYFiles(paths: [npyFile("axis.npy")]).channelCount(axis: 3)
            },
        ]
}

// MARK: - Numbers

/// A function over an array, a mapped file, or files, that takes an argument which may be wrong.
private struct OverNumbers: Sendable {
    let name: String
    /// What follows the name for the function over an array, over a mapped file and over files; nil:
    /// there is none.
    let labels: (array: String, numbers: String, files: String)
    let array:
        @Sendable (borrowing Team, borrowing SharedArray<Double>, _ isWrong: Bool) throws -> Void
    let numbers: @Sendable (borrowing Team, borrowing NPYNumbers, _ isWrong: Bool) throws -> Void
    let files:
        @Sendable (borrowing Team, NPYFiles, _ isWrong: Bool, @escaping (Int) -> Void) throws ->
            Void
    /// Whether an argument can be wrong.
    var hasWrongArgument = true
}

private let percents = [50.0]
private let manyPercents = [Double](repeating: 50, count: 33)

private let overNumbers = [
    OverNumbers(
        name: "Team.statistics",
        labels: (
            "(of:schedule:)-SharedArray", "(of:schedule:)-NPYNumbers", "(of:schedule:willRead:)"
        ),
        array: { team, array, _ in _ = try team.statistics(of: array) },
        numbers: { team, numbers, _ in _ = try team.statistics(of: numbers) },
        files: { team, files, _, willRead in
            _ = try team.statistics(of: files, willRead: willRead)
        },
        hasWrongArgument: false),
    OverNumbers(
        name: "Team.histogram",
        labels: (
            "(of:edges:schedule:)-SharedArray", "(of:edges:schedule:)-NPYNumbers",
            "(of:edges:schedule:willRead:)"
        ),
        array: { team, array, isWrong in
            _ = try team.histogram(of: array, edges: isWrong ? [1] : [0, 9])
        },
        numbers: { team, numbers, isWrong in
            _ = try team.histogram(of: numbers, edges: isWrong ? [1] : [0, 9])
        },
        files: { team, files, isWrong, willRead in
            _ = try team.histogram(of: files, edges: isWrong ? [1] : [0, 9], willRead: willRead)
        }),
    OverNumbers(
        name: "Team.percentiles",
        labels: (
            "(_:of:schedule:)-SharedArray", "(_:of:schedule:)-NPYNumbers",
            "(_:of:schedule:willRead:)"
        ),
        array: { team, array, isWrong in
            _ = try team.percentiles(isWrong ? manyPercents : percents, of: array)
        },
        numbers: { team, numbers, isWrong in
            _ = try team.percentiles(isWrong ? manyPercents : percents, of: numbers)
        },
        files: { team, files, isWrong, willRead in
            _ = try team.percentiles(
                isWrong ? manyPercents : percents, of: files, willRead: willRead)
        }),
    OverNumbers(
        name: "Team.channelStatistics",
        labels: (
            "(of:axis:schedule:)-SharedArray", "(of:axis:schedule:)-NPYNumbers",
            "(of:axis:schedule:willRead:)"
        ),
        array: { team, array, isWrong in
            _ = try team.channelStatistics(of: array, axis: isWrong ? 3 : 0)
        },
        numbers: { team, numbers, isWrong in
            _ = try team.channelStatistics(of: numbers, axis: isWrong ? 3 : 0)
        },
        files: { team, files, isWrong, willRead in
            _ = try team.channelStatistics(of: files, axis: isWrong ? 3 : 0, willRead: willRead)
        }),
]

func numberThrows() -> [Provocation] {
    let channels = "Team.channelPercentiles(_:of:axis:schedule:willRead:)"
    return overNumbers.flatMap(throwsOf) + [
        Provocation(channels, .invalidArgument) {
            let files = try NPYFiles(paths: [npyFile("data.npy")])
            _ = try aTeam().channelPercentiles(percents, of: files, axis: 3)
        },
        Provocation(channels, .file) {
            try withChangingFile {
                _ = try $0.channelPercentiles(percents, of: $1, axis: 0, willRead: $2)
            }
        },
        Provocation("Team.percentiles(_:of:schedule:)-SharedArray", .file) {
            try whileElementsChange { team, path in
                let array = try team.array(npy: path, as: Double.self)
                _ = try team.percentiles([10, 50, 90], of: array)
            }
        },
        Provocation("Team.percentiles(_:of:schedule:)-NPYNumbers", .file) {
            try whileElementsChange { team, path in
                let numbers = try team.numbers(npy: path)
                _ = try team.percentiles([10, 50, 90], of: numbers)
            }
        },
    ]
}

/// Each throws what a loop throws: here for the reason that one runs already.
private func throwsOf(_ function: OverNumbers) -> [Provocation] {
    let (name, labels) = (function.name, function.labels)
    func rows(_ isWrong: Bool) -> [Provocation] {
        func inTeam(_ body: @escaping (borrowing Team) throws -> Void) throws {
            _ = try npyFile("data.npy")
            if isWrong { return try body(try aTeam()) }
            try whileLoopRuns { try body($0.team) }
        }
        return [
            Provocation(name + labels.array, .invalidArgument) {
                let shelf = try Shelf()
                if isWrong { return try function.array(shelf.team, shelf.array, true) }
                try whileLoopRuns { try function.array($0.team, $0.array, false) }
            },
            Provocation(name + labels.numbers, .invalidArgument) {
                _ = try npyFile("data.npy")
                let team = try aTeam()
                let numbers = try team.numbers(npy: "data.npy")
                if isWrong { return try function.numbers(team, numbers, true) }
                // A view that is open keeps loops away as well.
                let array = try team.array([1.0])
                try array.withSpan { _ in try function.numbers(team, numbers, false) }
            },
            Provocation(name + labels.files, .invalidArgument) {
                try inTeam { team in
                    try function.files(team, try NPYFiles(paths: ["data.npy"]), isWrong) { _ in }
                }
            },
        ]
    }
    return rows(false) + (function.hasWrongArgument ? rows(true) : []) + [
        Provocation(name + labels.files, .file) {
            try withChangingFile { try function.files($0, $1, false, $2) }
        }
    ]
}

/// Two files, of which the second is another one when the first is read.
private func withChangingFile(
    _ body: (borrowing Team, NPYFiles, @escaping (Int) -> Void) throws -> Void
) throws {
    let files = try NPYFiles(paths: [npyFile("first.npy"), npyFile("second.npy")])
    let other = try npyFile("other.npy", [1, 2, 3, 4, 5])
    try body(try aTeam(), files) { _ in _ = rename(other, "second.npy") }
}

/// Another process writes new numbers to a file without an end, while the body reads it.
private func whileElementsChange(_ body: (borrowing Team, String) throws -> Void) throws {
    let path = try npyFile("moving.npy", (0..<200_000).map { Double($0) })
    let writer = muster_child_start()
    if writer == 0 {
        let file = open(path, O_RDWR)
        var (block, factor) = ([Double](repeating: 0, count: 4096), 1.0)
        while true {
            factor = -factor * 1.7
            if factor.magnitude > 1e100 { factor = 1e-100 }
            for i in block.indices { block[i] = Double(i) * factor }
            for part in 0..<40 { pwrite(file, block, block.count * 8, 128 + part * 32768) }
        }
    }
    defer {
        kill(writer, SIGKILL)
        waitpid(writer, nil, 0)
    }
    let team = try aTeam()
    for _ in 0..<200 { try body(team, path) }
}
