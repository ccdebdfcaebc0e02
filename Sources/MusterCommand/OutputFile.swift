// OutputFile.swift - the tool's one way to a file.
//
// Invariant: a file that is there stays as it is until all of the new one is written beside it. A name that
// is no file's, like /dev/stdout, a pipe's or a link's, is written to as it is.

@preconcurrency import Glibc
import Muster

enum OutputFile {
    /// Writes a file whole or not at all.
    static func write(_ text: String, to path: String) throws {
        let draft = try OutputDraft(path)
        try draft.put(Array(text.utf8))
        try draft.finish()
    }

    /// Fails unless a file can be written, and changes none: what takes minutes to find out should not be
    /// lost to a wrong name.
    static func check(_ path: String) throws {
        let target = try Target(path)
        if target.isFile {
            let (draft, descriptor) = try target.open()
            close(descriptor)
            remove(draft)
        } else if path.withFileName({ access($0, F_OK) }) == 0 {
            // Not opened: a pipe would wait for its reader.
            guard path.withFileName({ access($0, W_OK) }) == 0 else { throw target.failure(errno) }
        } else {
            // A link to what is not there yet.
            let (_, descriptor) = try target.open()
            close(descriptor)
            guard let made = path.withFileName({ realpath($0, nil) }) else { return }
            unlink(made)
            free(made)
        }
    }

    fileprivate static func remove(_ name: String) { _ = name.withFileName { unlink($0) } }

    /// What a name is the name of.
    fileprivate struct Target {
        let path: String
        /// A file, or nothing yet.
        let isFile: Bool
        /// The file that is there.
        let replaced: stat?

        init(_ path: String) throws {
            guard !path.isEmpty else { throw Failure.cannotRun("a file's name is empty") }
            self.path = path
            guard !path.utf8.contains(0) else {
                throw Failure.cannotRun("\(path): a file's name can't have a NUL byte in it")
            }
            var information = stat()
            let isThere = path.withFileName { lstat($0, &information) } == 0
            isFile = !isThere || information.st_mode & S_IFMT == S_IFREG
            replaced = isThere && isFile ? information : nil
            if path.withFileName({ stat($0, &information) }) == 0,
                information.st_mode & S_IFMT == S_IFDIR
            {
                throw failure(EISDIR)
            }
            // A folder that may be written in would have let it be replaced all the same.
            if replaced != nil, path.withFileName({ access($0, W_OK) }) != 0 {
                throw failure(errno)
            }
        }

        /// Opens what the text goes to first: a draft in a file's stead, else the thing itself.
        func open() throws -> (name: String, descriptor: Int32) {
            let flags = O_WRONLY | O_CREAT | O_CLOEXEC
            var name = path
            // /dev/stdout may be a file in which others' output stands already.
            let isOurs =
                ["/dev/stdout", "/dev/stderr"].contains(path) || path.hasPrefix("/dev/fd/")
            let start = isOurs ? O_APPEND : O_TRUNC
            var descriptor =
                isFile ? -1 : path.withFileName { Glibc.open($0, flags | start, 0o666) }
            // Names that are taken, by whatever, are left alone.
            for attempt in 0..<100 where isFile && descriptor < 0 {
                name = "\(path).\(getpid()).\(attempt)"
                descriptor = name.withFileName { Glibc.open($0, flags | O_EXCL, 0o666) }
                if descriptor < 0 && errno != EEXIST { break }
            }
            guard descriptor >= 0 else { throw failure(errno) }
            return (name, descriptor)
        }

        /// `count`: bytes that were to be written to the descriptor.
        func failure(_ number: Int32, of descriptor: Int32 = -1, count: Int = 0) -> Failure {
            .cannotRun("\(path): can't be written: \(Output.reason(number, descriptor, count))")
        }
    }
}

/// A file that is written piece by piece: whole or not at all.
final class OutputDraft {
    private let target: OutputFile.Target
    private let name: String
    private var descriptor: Int32

    /// Begins it. A file of that name stays as it is until `finish`.
    init(_ path: String) throws {
        target = try OutputFile.Target(path)
        (name, descriptor) = try target.open()
        guard let replaced = target.replaced else { return }
        // Its owner where that is allowed; before its permissions, of which a new owner takes some.
        _ = fchown(descriptor, replaced.st_uid, replaced.st_gid)
        guard fchmod(descriptor, replaced.st_mode & 0o7777) == 0 else {
            throw target.failure(errno)
        }
    }

    deinit { abandon() }

    /// Writes what comes next.
    func put(_ bytes: [UInt8]) throws {
        let end = Output.write(bytes, to: descriptor)
        guard end.errno == 0 else {
            throw target.failure(end.errno, of: descriptor, count: end.left)
        }
    }

    /// Gives it its name.
    func finish() throws {
        let closed = Glibc.close(descriptor) == 0 ? 0 : errno
        descriptor = -1
        guard closed == 0, !target.isFile || isRenamed() else {
            let number = closed == 0 ? errno : closed
            if target.isFile { OutputFile.remove(name) }
            throw target.failure(number)
        }
    }

    private func isRenamed() -> Bool {
        name.withFileName { old in target.path.withFileName { rename(old, $0) } } == 0
    }

    private func abandon() {
        guard descriptor >= 0 else { return }
        Glibc.close(descriptor)
        if target.isFile { OutputFile.remove(name) }
    }
}
