// InputFile.swift - the tool's one way to read a small file whole.

import FoundationEssentials
@preconcurrency import Glibc
import Muster

enum InputFile {
    /// Everything that a file has. Throws a failure that names the file and the reason.
    static func read(_ name: String) throws -> Data {
        guard !name.isEmpty else { throw Failure.cannotRun("a file's name is empty") }
        guard !name.utf8.contains(0) else {
            throw Failure.cannotRun("\(name): a file's name can't have a NUL byte in it")
        }
        let descriptor = name.withFileName { open($0, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw failure(name, errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &piece, piece.count)
            if count == 0 { return Data(bytes) }
            if count > 0 {
                bytes += piece[..<count]
                continue
            }
            if errno == EAGAIN {
                var waited = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                _ = poll(&waited, 1, -1)
            } else if errno != EINTR {
                throw failure(name, errno)
            }
        }
    }

    private static func failure(_ name: String, _ number: Int32) -> Failure {
        let reason =
            switch number {
            case ENOENT: "no such file"
            case EACCES, EPERM: "not allowed"
            case EISDIR: "it is a directory"
            default: String(cString: strerror(number))
            }
        return .cannotRun("\(name): can't read it: \(reason)")
    }
}
