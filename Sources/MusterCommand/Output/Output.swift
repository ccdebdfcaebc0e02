// Output.swift - the tool's one way to stdout and stderr.
//
// Text is collected and written when a command is done (or when `flush` is called), so a failure half
// way leaves no half table; a write that fails is a failure of the tool, never ignored.

@preconcurrency import Glibc
import Muster

enum Output {
    /// What is still to be written to stdout. The tool has one thread.
    nonisolated(unsafe) private static var pending: [UInt8] = []

    /// A line on stdout.
    static func line(_ text: String = "") {
        pending += Array(text.utf8)
        pending.append(10)
    }

    /// Writes what is pending.
    static func flush() throws {
        defer { pending = [] }
        let end = write(pending, to: 1)
        guard end.errno == 0 else {
            throw Failure.cannotRun(
                "standard output: can't write to it: \(reason(end.errno, 1, end.left))")
        }
    }

    /// Writes all bytes, and waits where there is no room: a pipe or terminal that is shared with
    /// another program may be non-blocking. Returns: an errno, or 0; and how many bytes are left.
    static func write(_ bytes: [UInt8], to descriptor: Int32) -> (errno: Int32, left: Int) {
        bytes.withUnsafeBytes { bytes in
            var start = 0
            while start < bytes.count {
                let written = Glibc.write(
                    descriptor, bytes.baseAddress! + start, bytes.count - start)
                if written > 0 {
                    start += written
                } else if written == 0 {
                    return (EIO, bytes.count - start)
                } else if errno == EAGAIN {
                    var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    // What ends the wait without room, an error or the reader's end, is for write to say.
                    guard poll(&wanted, 1, -1) >= 0 || errno == EINTR else {
                        return (errno, bytes.count - start)
                    }
                } else if errno != EINTR {
                    return (errno, bytes.count - start)
                }
            }
            return (0, 0)
        }
    }

    /// Why a write failed; of so many bytes to a file that is open, and may be as long as it may be.
    static func reason(_ number: Int32, _ descriptor: Int32, _ count: Int) -> String {
        guard number == EFBIG else { return MusterError.words(number) }
        let position = max(0, lseek(descriptor, 0, SEEK_CUR))
        return MusterError.why(number, needed: UInt64(Int(position) + count))
    }

    /// The end of a command: everything is written, or it has failed.
    static func finish() throws { try flush() }

    /// What a command had ready before it failed is still worth having.
    static func flushAfterFailure() { try? flush() }

    /// "muster: ..." on stderr, one line for any text.
    static func error(_ text: String) { writeError("muster: \(plain(text))\n") }

    /// A remark on stderr that is no failure.
    static func note(_ text: String) { writeError("muster: note: \(plain(text))\n") }

    /// Text that stays on its line and does nothing to a terminal: a file's name may have line breaks,
    /// escape sequences and bytes in it that are no UTF-8.
    static func plain(_ text: String) -> String { text.shownName }

    static func writeError(_ text: String) {
        _ = write(Array(text.utf8), to: 2)
    }

    /// Whether stdout is a terminal.
    static var isTerminal: Bool { isatty(1) == 1 }

    /// Width of the terminal on stdout, 80 where it has none.
    static var width: Int {
        var size = winsize()
        guard ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}
