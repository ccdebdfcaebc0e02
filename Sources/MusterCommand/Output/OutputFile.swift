// OutputFile.swift - the tool's one way to a file.
//
// Invariant: a file that is there stays as it is until all of the new one is written. What is written has no
// name before that, so that nothing is left of it where the tool is killed. A name that is no file's, like
// /dev/stdout, a pipe's or a link's, is written to as it is.

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
            let (name, descriptor) = try target.openNamed()
            close(descriptor)
            remove(name)
        } else if path.withFileName({ access($0, F_OK) }) == 0 {
            // Not opened: a pipe would wait for its reader.
            guard path.withFileName({ access($0, W_OK) }) == 0 else { throw target.failure(errno) }
        } else {
            // A link to what is not there yet.
            close(try target.openItself())
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
            let why = isThere ? ENOENT : errno
            isFile = !isThere || information.st_mode & S_IFMT == S_IFREG
            replaced = isThere && isFile ? information : nil
            // A name that is too long, a folder that is none.
            if why != ENOENT { throw failure(why) }
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

        /// O_TMPFILE, a macro that Swift does not see.
        private static let unnamedFile: Int32 = 0o20_000_000 | O_DIRECTORY

        /// Opens what the text goes to first: what has no name yet in a file's stead, otherwise the
        /// thing itself.
        func open() throws -> Int32 {
            guard isFile else { return try openItself() }
            let unnamed = folder.withFileName {
                Glibc.open($0, O_RDWR | Self.unnamedFile | O_CLOEXEC, 0o666)
            }
            if unnamed >= 0 { return unnamed }
            // This file system has none: the name is taken from it at once.
            let (name, descriptor) = try openNamed()
            OutputFile.remove(name)
            return descriptor
        }

        func openItself() throws -> Int32 {
            // /dev/stdout may be a file in which others' output stands already.
            let isOurs =
                ["/dev/stdout", "/dev/stderr"].contains(path) || path.hasPrefix("/dev/fd/")
            let flags = O_WRONLY | O_CREAT | O_CLOEXEC | (isOurs ? O_APPEND : O_TRUNC)
            let descriptor = path.withFileName { Glibc.open($0, flags, 0o666) }
            guard descriptor >= 0 else { throw failure(errno) }
            return descriptor
        }

        /// A new file in the folder of the one that it will become.
        func openNamed() throws -> (name: String, descriptor: Int32) {
            var descriptor: Int32 = -1
            let name = try named {
                descriptor = $0.withFileName {
                    Glibc.open($0, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
                }
                return descriptor >= 0
            }
            return (name, descriptor)
        }

        /// The first of some names in the file's folder for which `make` succeeds. Names that are taken
        /// are left alone.
        func named(_ make: (String) -> Bool) throws -> String {
            for attempt in 0..<100 {
                let name = "\(folder)/.muster-\(ownProcessID())-\(attempt)"
                if make(name) { return name }
                if errno != EEXIST { break }
            }
            throw failure(errno)
        }

        /// Where the file lies.
        private var folder: String {
            guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
            return slash == path.startIndex ? "/" : String(path[..<slash])
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
    private var descriptor: Int32

    /// Begins it. A file of that name stays as it is until `finish`.
    init(_ path: String) throws {
        target = try OutputFile.Target(path)
        descriptor = try target.open()
        if target.isFile { try adopt(descriptor) }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    /// Writes what comes next.
    func put(_ bytes: [UInt8]) throws {
        let end = Output.write(bytes, to: descriptor)
        guard end.errno == 0 else {
            throw target.failure(end.errno, of: descriptor, count: end.left)
        }
    }

    /// Gives it its name.
    func finish() throws {
        if target.isFile { try publish() }
        let closed = Glibc.close(descriptor) == 0 ? 0 : errno
        descriptor = -1
        guard closed == 0 else { throw target.failure(closed) }
    }

    /// Gives a new file what the one has that it replaces.
    private func adopt(_ descriptor: Int32) throws {
        guard let replaced = target.replaced else { return }
        // Its owner where that is allowed; before its permissions, of which a new owner takes some.
        _ = fchown(descriptor, replaced.st_uid, replaced.st_gid)
        guard fchmod(descriptor, replaced.st_mode & 0o7777) == 0 else {
            throw target.failure(errno)
        }
    }

    private func publish() throws {
        // A link's new name can't be one that is taken; a rename's can.
        if isLinked(target.path) { return }
        var name: String
        do {
            name = try target.named(isLinked)
        } catch {
            // Its name was taken from it, or /proc is not there.
            name = try copy()
        }
        guard name.withFileName({ old in target.path.withFileName { rename(old, $0) } }) == 0 else {
            let number = errno
            OutputFile.remove(name)
            throw target.failure(number)
        }
    }

    private func isLinked(_ name: String) -> Bool {
        let source = "/proc/self/fd/\(descriptor)"
        return name.withFileName {
            linkat(AT_FDCWD, source, AT_FDCWD, $0, AT_SYMLINK_FOLLOW)
        } == 0
    }

    /// A named file with all that is written. Returns: its name.
    private func copy() throws -> String {
        let (name, copy) = try target.openNamed()
        defer { close(copy) }
        do {
            try adopt(copy)
            var position: off_t = 0
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while case let count = pread(descriptor, &buffer, buffer.count, position), count != 0 {
                guard count > 0 else { throw target.failure(errno) }
                let end = Output.write(Array(buffer[..<count]), to: copy)
                guard end.errno == 0 else {
                    throw target.failure(end.errno, of: copy, count: end.left)
                }
                position += off_t(count)
            }
            return name
        } catch {
            OutputFile.remove(name)
            throw error
        }
    }
}
