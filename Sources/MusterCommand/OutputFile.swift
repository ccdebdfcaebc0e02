// OutputFile.swift - the tool's one way to a file.
//
// Invariant: a file that is there stays as it is until all of the new one is written beside it. A name that
// is no file's, like /dev/stdout, a pipe's or a link's, is written to as it is.

@preconcurrency import Glibc

enum OutputFile {
    /// Writes a file whole or not at all.
    static func write(_ text: String, to path: String) throws {
        let target = try Target(path)
        let (name, descriptor) = try target.open()
        let failed = fill(descriptor, text, like: target.replaced)
        let closed = Glibc.close(descriptor) == 0 ? 0 : errno
        guard target.isFile else {
            guard failed == 0, closed == 0 else {
                throw target.failure(failed == 0 ? closed : failed)
            }
            return
        }
        guard failed == 0, closed == 0, rename(name, path) == 0 else {
            let number = failed != 0 ? failed : closed != 0 ? closed : errno
            unlink(name)
            throw target.failure(number)
        }
    }

    /// Fails unless a file can be written, and changes none: what takes minutes to find out should not be
    /// lost to a wrong name.
    static func check(_ path: String) throws {
        let target = try Target(path)
        if target.isFile {
            let (draft, descriptor) = try target.open()
            close(descriptor)
            unlink(draft)
        } else if access(path, F_OK) == 0 {
            // Not opened: a pipe would wait for its reader.
            guard access(path, W_OK) == 0 else { throw target.failure(errno) }
        } else {
            // A link to what is not there yet.
            let (_, descriptor) = try target.open()
            close(descriptor)
            guard let made = realpath(path, nil) else { return }
            unlink(made)
            free(made)
        }
    }

    /// Writes all of a text. Returns 0 or an errno.
    private static func fill(_ descriptor: Int32, _ text: String, like replaced: stat?) -> Int32 {
        if let replaced {
            // Its owner where that is allowed; before its permissions, of which a new owner takes some.
            _ = fchown(descriptor, replaced.st_uid, replaced.st_gid)
            guard fchmod(descriptor, replaced.st_mode & 0o7777) == 0 else { return errno }
        }
        var left = Array(text.utf8)[...]
        while !left.isEmpty {
            let written = left.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            if written < 0 && errno == EINTR { continue }
            guard written != 0 else { return EIO }
            guard written > 0 else { return errno }
            left = left.dropFirst(written)
        }
        return 0
    }

    /// What a name is the name of.
    private struct Target {
        let path: String
        /// A file, or nothing yet.
        let isFile: Bool
        /// The file that is there.
        let replaced: stat?

        init(_ path: String) throws {
            self.path = path
            var information = stat()
            let isThere = lstat(path, &information) == 0
            isFile = !isThere || information.st_mode & S_IFMT == S_IFREG
            replaced = isThere && isFile ? information : nil
            if stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFDIR {
                throw failure(EISDIR)
            }
            // A folder that may be written in would have let it be replaced all the same.
            if replaced != nil, access(path, W_OK) != 0 { throw failure(errno) }
        }

        /// Opens what the text goes to first: a draft in a file's stead, else the thing itself.
        func open() throws -> (name: String, descriptor: Int32) {
            let flags = O_WRONLY | O_CREAT | O_CLOEXEC
            var name = path
            var descriptor = isFile ? -1 : Glibc.open(path, flags | O_TRUNC, 0o666)
            // Names that are taken, by whatever, are left alone.
            for attempt in 0..<100 where isFile && descriptor < 0 {
                name = "\(path).\(getpid()).\(attempt)"
                descriptor = Glibc.open(name, flags | O_EXCL, 0o666)
                if descriptor < 0 && errno != EEXIST { break }
            }
            guard descriptor >= 0 else { throw failure(errno) }
            return (name, descriptor)
        }

        func failure(_ number: Int32) -> Failure {
            .cannotRun("\(path): can't be written: \(String(cString: strerror(number)))")
        }
    }
}
