// StatsBadInputTests.swift - whatever is given to `muster stats`: one clear line, the right status.

import Foundation
import Muster
import Testing

@Suite struct StatsBadInputTests {
    let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    private static let f8 = StatsFiles.bytes(of: [1.0, 2, 3, 4])
    private static func dictionary(
        _ descr: String, order: String = "False", shape: String = "(4,)"
    ) -> String {
        "{'descr': \(descr), 'fortran_order': \(order), 'shape': \(shape), }"
    }

    /// Files that can't be read as an array, and a word that the message must have.
    static let files: [(name: String, bytes: [UInt8], word: String)] = [
        ("empty", [], "empty"),
        ("text", Array("1.0, 2.0, 3.0\n".utf8), "not a .npy file"),
        ("zip", [0x50, 0x4B, 3, 4] + f8, "zip"),
        ("header cut", Array(StatsFiles.npy([1.0, 2]).prefix(40)), "the file has 40"),
        ("data cut", Array(StatsFiles.npy([1.0, 2, 3]).dropLast()), "only 23"),
        ("too long", StatsFiles.npy([1.0, 2]) + [0], "has 17"),
        ("objects", StatsFiles.npy(header: dictionary("'|O'"), f8), "Python objects"),
        (
            "structured",
            StatsFiles.npy(header: dictionary("[('a', '<f4'), ('b', '<f4')]"), f8), "structures"
        ),
        ("complex", StatsFiles.npy(header: dictionary("'<c16'", shape: "(2,)"), f8), "complex"),
        ("dates", StatsFiles.npy(header: dictionary("'<M8[ns]'"), f8), "dates"),
        ("no type", StatsFiles.npy(header: dictionary("'float9'"), f8), "does not know"),
        (
            "10^18 elements",
            StatsFiles.npy(header: dictionary("'<f8'", shape: "(1000000000000000000,)"), f8),
            "1000000000000000000"
        ),
        (
            "beyond addresses",
            StatsFiles.npy(header: dictionary("'<f8'", shape: "(4000000000000000000,)"), f8),
            "more elements than"
        ),
    ]

    /// One line that names the file and says why; nothing on stdout; status 2.
    private func expectRefusal(
        _ result: CommandResult, of path: String, _ word: String,
        _ location: SourceLocation = #_sourceLocation
    ) {
        #expect(result.status == 2, "\(result)", sourceLocation: location)
        #expect(result.output == "", sourceLocation: location)
        #expect(result.errorLines.count == 1, "\(result.errors)", sourceLocation: location)
        #expect(
            result.errors.hasPrefix("muster: \(path): "), "\(result.errors)",
            sourceLocation: location)
        #expect(result.errors.contains(word), "\(result.errors)", sourceLocation: location)
    }

    @Test("Files that are no array of numbers as we read them", arguments: files.indices)
    func refusedFile(_ index: Int) throws {
        let (name, bytes, word) = Self.files[index]
        let path = try folder.write("\(name).npy", bytes)
        expectRefusal(try CommandRunner.run(["stats", path]), of: path, word)
        expectRefusal(try CommandRunner.run(["stats", path, "--json"]), of: path, word)
    }

    @Test("No file, a directory, a pipe")
    func noFile() throws {
        let missing = folder.path("missing.npy")
        expectRefusal(try CommandRunner.run(["stats", missing]), of: missing, "No such file")
        let directory = folder.path("directory.npy")
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        expectRefusal(try CommandRunner.run(["stats", directory]), of: directory, "directory")
        let pipe = folder.path("pipe.npy")
        try #require(mkfifo(pipe, 0o600) == 0)
        expectRefusal(try CommandRunner.run(["stats", pipe]), of: pipe, "not a regular file")
        expectRefusal(
            try CommandRunner.run(["stats", "/dev/zero"]), of: "/dev/zero", "not a regular file")
    }

    @Test("A file's name is shown on one line, and does nothing to the terminal")
    func nameWithEscapes() throws {
        let name = "\u{1B}[31mred\nline.npy"
        let missing = try CommandRunner.run(["stats", folder.path(name)])
        #expect(missing.status == 2 && missing.errorLines.count == 1, "\(missing)")
        #expect(missing.errors.contains(#"\u{1B}[31mred\nline.npy: "#))
        let path = try folder.write(name, StatsFiles.npy([1.0]))
        let found = try CommandRunner.run(["stats", path, "-n", "1"])
        #expect(found.status == 0 && !found.output.contains("\u{1B}"))
        #expect(found.output.split(separator: "\n")[0].hasSuffix(#"\u{1B}[31mred\nline.npy"#))
    }

    @Test("An empty name")
    func emptyName() throws {
        let result = try CommandRunner.run(["stats", ""])
        #expect(result.status == 64 && result.errors.contains("<files>"), "\(result)")
    }

    // Root may read any file, so there the tool runs as nobody, where nobody can reach it.
    private static let asNobody = ["--reuid=65534", "--regid=65534", "--clear-groups"]
    private static let setpriv = "/usr/bin/setpriv"
    private static let canLoseRights: Bool = {
        guard geteuid() == 0 else { return true }
        guard access(setpriv, X_OK) == 0 else { return false }
        let tried = try? CommandRunner.run(
            asNobody + [CommandRunner.muster, "--version"], program: setpriv)
        return tried?.status == 0
    }()

    @Test(
        "No permission",
        .enabled(
            if: canLoseRights, "we are root, and the user nobody can't start the tool from here"))
    func noPermission() throws {
        // Not in the test's folder, which may lie where nobody can't look.
        let path = "/tmp/muster-test-\(UUID().uuidString).npy"
        try Data(StatsFiles.npy([1.0])).write(to: URL(fileURLWithPath: path))
        defer { unlink(path) }
        try #require(chmod(path, 0) == 0)
        let result =
            geteuid() == 0
            ? try CommandRunner.run(
                Self.asNobody + [CommandRunner.muster, "stats", path], program: Self.setpriv)
            : try CommandRunner.run(["stats", path])
        expectRefusal(result, of: path, "Permission denied")
    }

    @Test(
        "Wrong usage: one line, status 64",
        arguments: [
            (["-n", "0"], "-n 0: a team has 1 to 4096 ranks"),
            (["-n", "-3"], "-n -3: a team has 1 to 4096 ranks"),
            (["-n", "100000"], "-n 100000: a team has 1 to 4096 ranks"),
            (["-n", "many"], "'many' is invalid"),
            (["-n"], "Missing value"),
            (["--bins", "0"], "--bins 0: a histogram has 1 to 65536 bins"),
            (["--bins", "-1"], "--bins -1: a histogram has 1 to 65536 bins"),
            (["--bins", "65537"], "--bins 65537: a histogram has 1 to 65536 bins"),
            (["--schedule", "fair"], "'fair' is invalid"),
            (["--fast"], "Unknown option '--fast'"),
        ])
    func usage(_ options: [String], _ words: String) throws {
        let path = try folder.write("a.npy", StatsFiles.npy([1.0, 2]))
        let result = try CommandRunner.run(["stats", path] + options)
        #expect(result.status == 64)
        #expect(result.output == "")
        #expect(result.errorLines.count == 1, "\(result.errors)")
        #expect(result.errors.contains(words), "\(result.errors)")
        #expect(result.errors.contains("muster stats --help"))
    }
}
