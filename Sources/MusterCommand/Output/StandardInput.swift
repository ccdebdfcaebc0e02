// StandardInput.swift - standard input as a file that can be mapped.

@preconcurrency import Glibc
import Muster

enum StandardInput {
    /// A name for standard input: of itself if it is a file, of a temporary copy if it is a pipe or a socket.
    /// The copy goes with this process.
    static func path() throws -> String {
        var status = stat()
        guard fstat(0, &status) == 0 else {
            throw Failure.cannotRun(
                "standard input: can't read it: it is closed; name a file instead")
        }
        let kind = status.st_mode & S_IFMT
        if kind == S_IFREG || kind == S_IFDIR { return "/dev/stdin" }
        guard kind == S_IFIFO || kind == S_IFSOCK else {
            throw Failure.cannotRun(
                "standard input: is a terminal or another device, not a .npy file; "
                    + "use 'muster stats - < data.npy', or a pipe")
        }
        return try copy()
    }

    /// Runs what reads such a file, or none: its errors name standard input, not the file.
    static func naming<Result>(_ path: String?, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as MusterError where error.subject == path {
            throw MusterError(
                error.code, subject: "standard input", reason: error.reason,
                errorNumber: error.errorNumber, report: error.report)
        }
    }

    private static func copy() throws -> String {
        func fail(_ what: String) -> Failure {
            Failure.cannotRun("standard input: can't \(what): \(String(cString: strerror(errno)))")
        }
        // Without a name as soon as it is open, so that nothing is left of it.
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var name = Array("\(folder)/muster-stdin-XXXXXX".utf8CString)
        let draft = mkstemp(&name)
        guard draft >= 0 else {
            throw fail("copy it to a file in \(folder) (TMPDIR names another)")
        }
        unlink(name)
        _ = fcntl(draft, F_SETFD, FD_CLOEXEC)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let length = read(0, &buffer, buffer.count)
            if length == 0 { break }
            if length < 0 {
                guard errno == EINTR || errno == EAGAIN else { throw fail("read it") }
                var wait = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
                _ = poll(&wait, 1, -1)
                continue
            }
            var done = 0
            while done < length {
                let written = buffer.withUnsafeBytes {
                    write(draft, $0.baseAddress! + done, length - done)
                }
                guard written >= 0 || errno == EINTR else {
                    throw Failure.cannotRun(
                        "standard input: can't copy it to a file in \(folder) (TMPDIR names another): "
                            + Output.reason(errno, draft, length - done))
                }
                done += max(0, written)
            }
        }
        return "/proc/self/fd/\(draft)"
    }
}
