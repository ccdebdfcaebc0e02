// OutputTests.swift - where the tool's words go: closed pipes, full devices, terminals.

import Foundation
import Testing

@Suite struct OutputTests {
    static let commands = [
        ["hello", "-n", "2"], ["hello", "-n", "2", "--json"], ["topology"], ["--help"],
        ["--version"],
    ]

    @Test("Into a closed pipe: it ends as other tools do, without a word", arguments: commands)
    func closedPipe(_ arguments: [String]) throws {
        let result = try CommandRunner.run(arguments, output: .closedPipe)
        #expect(result.signal == SIGPIPE, "\(result)")
        #expect(result.errors == "")
    }

    @Test("Onto a full device: one line, status 2", arguments: commands)
    func fullDevice(_ arguments: [String]) throws {
        let result = try CommandRunner.run(arguments, output: .path("/dev/full"))
        #expect(result.status == 2, "\(result)")
        #expect(result.errorLines.count == 1 && result.errors.contains("No space left"))
    }

    @Test("Into a pipe that is full and does not block: it waits, and writes all")
    func nonBlockingPipe() throws {
        let whole = try CommandRunner.run(["run", "--help"]).output
        #expect(try intoNonBlockingPipe(["run", "--help"], room: 4096) == whole)
        let folder = try TemporaryFolder()
        let path = try folder.write("a.npy", StatsFiles.npy(StatsFiles.awkward(count: 99, seed: 1)))
        let histogram = try intoNonBlockingPipe(
            ["stats", path, "--bins", "5000", "-n", "1"], room: 65_536)
        #expect(histogram.split(separator: "\n").count { $0.contains("│") } == 5000)
        #expect(histogram.hasSuffix("by 1 rank\n"), "\(histogram.suffix(200))")
    }

    /// What a command has written into a pipe of so many bytes that was full at least once.
    private func intoNonBlockingPipe(_ arguments: [String], room wanted: Int32) throws -> String {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let (reader, writer) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(reader) }
        let room = fcntl(writer, 1031, wanted)  // F_SETPIPE_SZ
        try #require(room > 0 && fcntl(writer, F_SETFL, O_NONBLOCK) == 0)
        var gathered: [UInt8] = []
        func waiting() -> Int {
            var count: Int32 = 0
            _ = ioctl(reader, UInt(FIONREAD), &count)
            return Int(count)
        }
        func take() {
            var piece = [UInt8](repeating: 0, count: waiting())
            if !piece.isEmpty, read(reader, &piece, piece.count) == piece.count {
                gathered += piece
            }
        }
        var wasFull = false
        let result = try CommandRunner.run(arguments, output: .descriptor(writer)) { _ in
            wasFull = wasFull || waiting() == Int(room)
            if wasFull { take() }
        }
        take()
        close(writer)
        #expect(result.status == 0 && result.errors == "", "\(result)")
        #expect(wasFull && gathered.count > Int(room))
        return String(decoding: gathered, as: UTF8.self)
    }

    @Test("Colours on a terminal only, and not with NO_COLOR")
    func colours() throws {
        let coloured = ["TERM": "xterm", "NO_COLOR": ""]
        let bright = try CommandRunner.run(["topology"], output: .terminal, environment: coloured)
        #expect(bright.status == 0 && bright.output.contains("\u{1B}["), "\(bright)")
        let plain = try CommandRunner.run(
            ["topology"], output: .terminal, environment: ["TERM": "xterm", "NO_COLOR": "1"])
        #expect(plain.status == 0 && plain.output.contains("memory"), "\(plain)")
        #expect(!plain.output.contains("\u{1B}"))
        let piped = try CommandRunner.run(["topology"], environment: coloured)
        #expect(!piped.output.contains("\u{1B}"))
    }

    @Test("What takes more than a second says on a terminal how far it is")
    func progress() throws {
        var terminal: Int32 = -1
        var side: Int32 = -1
        try #require(openpty(&terminal, &side, nil, nil, nil) == 0)
        defer { [terminal, side].forEach { close($0) } }
        _ = fcntl(terminal, F_SETFL, O_NONBLOCK)
        var shown = ""
        let result = try CommandRunner.run(
            ["demo", "--rounds", "100000"], errorTerminal: String(cString: ttyname(side))
        ) { pid in
            var buffer = [UInt8](repeating: 0, count: 4096)
            let length = read(terminal, &buffer, buffer.count)
            shown += String(decoding: buffer.prefix(max(0, length)), as: UTF8.self)
            if shown.contains("%") { kill(-pid, SIGINT) }
        }
        #expect(result.signal == SIGINT && result.output == "")
        #expect(shown.contains("\r\u{1B}[Kdemo: "), "\(shown.debugDescription)")
    }

    @Test("Help has examples", arguments: ["stats", "hello", "topology"])
    func help(_ command: String) throws {
        for arguments in [[command, "--help"], ["help", command]] {
            let result = try CommandRunner.run(arguments)
            #expect(result.status == 0 && result.errors == "")
            #expect(result.output.contains("EXAMPLES\n  muster \(command)"))
        }
    }

    @Test("A wrong command or none")
    func wrongCommand() throws {
        let wrong = try CommandRunner.run(["count"])
        #expect(wrong.status == 64 && wrong.output == "" && wrong.errorLines.count == 1)
        let below = try CommandRunner.run(["bench", "stream", "--fast"])
        #expect(below.status == 64 && below.errors.contains("'muster bench stream --help'"))
        let none = try CommandRunner.run([])
        #expect(none.status == 0 && none.output.contains("SUBCOMMANDS"))
    }
}
