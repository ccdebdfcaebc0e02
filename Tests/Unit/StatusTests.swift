/// base.h and file.h: words for every status, and each documented error of the file functions.

import MusterCore
import Glibc
import Testing

@Suite struct StatusTests {
    @Test func meaningsOfOurOwnAreInOurOwnWords() {
        func text(_ status: Int32) -> String { String(cString: muster_status_text(status)) }
        #expect(text(0) == "success")
        #expect(text(-EOWNERDEAD) == "a rank died")
        #expect(text(-EXDEV) == "this placement can't be enforced here")
        #expect(text(-EPROTO) == "not a segment of this version of Muster")
        #expect(text(-EUCLEAN) == "shared memory or a file fails validation")
        #expect(text(-ECANCELED) == "cancelled")
        #expect(text(-EBADMSG) == "the audit found chunks that were not committed exactly once")
        #expect(text(-ECONNRESET) == "the launcher is gone")
        #expect(text(-ENOENT) == "No such file or directory")
        #expect(text(-99_999) == "unknown error")
    }

    @Test func everyStatusHasWords() {
        for status: Int32 in Array(-4200...4200) + [.min, .min + 1, .max] {
            #expect(strlen(muster_status_text(status)) > 0, "\(status)")
        }
    }

    /// A filter's EPERM and ENOSYS name the call; the kernel's own EPERM stays what it is.
    @Test func refusedCallsAreNamed() {
        for (function, call) in [
            ("pidfd_open", "pidfd_open"), ("waitpid", "wait4"), ("accept4", "accept4"),
            ("fork", "clone"), ("prctl", "prctl"),
        ] {
            for error in [EPERM, ENOSYS] {
                let status = muster_host_refusal(function, error)
                var name: UnsafePointer<CChar>?
                #expect(muster_refused_call(status, &name) == error)
                #expect(name.map { String(cString: $0) } == call)
                let text = String(cString: muster_status_text(status))
                #expect(text.contains(" \(call) is refused here: a seccomp filter"))
            }
        }
        #expect(muster_host_refusal("open", EPERM) == -EPERM, "open is not filtered here")
        #expect(muster_host_refusal("no such function", EPERM) == -EPERM)
        #expect(muster_host_try_call("no such call") == -EINVAL)
        var name: UnsafePointer<CChar>?
        for status in [0, -EPERM, -ENOSYS, -4095, -99_999, .min] {
            #expect(muster_refused_call(status, &name) == 0 && name == nil)
        }
    }

    @Test func signalsHaveNames() {
        func name(_ number: Int32) -> String { String(cString: muster_signal_name(number)) }
        for (number, expected) in [
            (SIGHUP, "SIGHUP"), (SIGQUIT, "SIGQUIT"), (SIGTRAP, "SIGTRAP"), (SIGBUS, "SIGBUS"),
            (SIGKILL, "SIGKILL"), (SIGUSR1, "SIGUSR1"), (SIGUSR2, "SIGUSR2"),
            (SIGPIPE, "SIGPIPE"), (SIGALRM, "SIGALRM"), (SIGCONT, "SIGCONT"),
            (SIGSTOP, "SIGSTOP"), (SIGTSTP, "SIGTSTP"), (SIGTTIN, "SIGTTIN"),
            (SIGTTOU, "SIGTTOU"), (SIGXCPU, "SIGXCPU"), (SIGXFSZ, "SIGXFSZ"), (SIGSYS, "SIGSYS"),
        ] { #expect(name(number) == expected) }
        // All that the kernel has; from 32 on they are numbered.
        for number: Int32 in 1..<32 { #expect(name(number).hasPrefix("SIG"), "\(number)") }
        for number: Int32 in 32...64 { #expect(name(number) == "signal \(number)") }
        for number: Int32 in [.min, -1, 0, 65, .max] { #expect(name(number) == "unknown signal") }
    }

    /// A mistake of the address: what lies in the program is the same in a forked worker, what was
    /// allocated later is not.
    @Test func staticAddressesAreToldFromOthers() {
        let heap = malloc(64)!
        defer { free(heap) }
        var onStack = 0
        #expect(!muster_address_is_static(heap))
        withUnsafePointer(to: &onStack) { #expect(!muster_address_is_static($0)) }
        #expect(muster_address_is_static(UnsafeRawPointer(muster_status_text(-EOWNERDEAD))))
    }

    @Test func thisProcessIsKnown() {
        #expect(muster_process_id() == getpid())
        #expect(muster_process_threads() >= 1)
        var cpu: UInt32 = .max
        var node: UInt32 = .max
        #expect(muster_topology_here(&cpu, &node) == 0)
        #expect(cpu < 1 << 20 && node < UInt32(MUSTER_NODES_MAX))
    }
}

/// A directory that goes away with the test.
private final class Scratch {
    let path: String
    init() {
        var name = Array("/tmp/muster-test-XXXXXX".utf8CString)
        path = String(cString: mkdtemp(&name))
    }
    deinit {
        for name in ["file", "fifo", "socket", "closed"] { unlink("\(path)/\(name)") }
        rmdir(path)
    }
    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }
}

@Suite struct FileTests {
    private func opened(_ path: String, writable: Bool = false) -> Int32 {
        var fd: Int32 = -7
        var size: UInt64 = 7
        let status = muster_file_open(path, writable, &fd, &size)
        if status == 0 {
            muster_file_close(fd)
        } else {
            // Outputs are set on success only.
            #expect(fd == -7 && size == 7, "\(path)")
        }
        return status
    }

    @Test(.timeLimit(.minutes(10))) func whatIsNoRegularFileIsRefusedWithoutWaiting() throws {
        let scratch = Scratch()
        try #require(mkfifo(scratch("fifo"), 0o600) == 0)
        let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: scratch("socket").utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0)
        for writable in [false, true] {
            #expect(opened(scratch.path, writable: writable) == -EISDIR)
            #expect(opened(scratch("fifo"), writable: writable) == -EINVAL)
            #expect(opened(scratch("socket"), writable: writable) == -EINVAL)
            #expect(opened("/dev/null", writable: writable) == -EINVAL)
            #expect(opened(scratch("missing"), writable: writable) == -ENOENT)
            #expect(opened("/dev/null/below", writable: writable) == -ENOTDIR)
            #expect(opened(String(repeating: "x", count: 300), writable: writable) == -ENAMETOOLONG)
        }
    }

    @Test func aFileWithoutPermissionIsRefused() throws {
        let scratch = Scratch()
        var fd: Int32 = -1
        try #require(muster_file_create(scratch("closed"), &fd) == 0)
        #expect(muster_file_finish(fd) == 0)
        chmod(scratch("closed"), 0)
        chmod(scratch.path, 0o755)
        // Root may open any file: this thread, as far as files go, is nobody for the moment.
        // Glibc's Swift module leaves the function out.
        let symbol = try #require(dlsym(nil, "setfsuid"))
        let setfsuid = unsafeBitCast(symbol, to: (@convention(c) (uid_t) -> CInt).self)
        if getuid() == 0 { _ = setfsuid(65534) }
        defer { if getuid() == 0 { _ = setfsuid(0) } }
        #expect(opened(scratch("closed")) == -EACCES)
    }

    @Test func aFileIsWrittenMeasuredAndReadBack() throws {
        let scratch = Scratch()
        var fd: Int32 = -1
        try #require(muster_file_create(scratch("file"), &fd) == 0)
        #expect(fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
        let text = Array("0123456789".utf8)
        #expect(muster_file_write(fd, text, 10) == 10)
        #expect(muster_file_write(fd, text, 0) == 0)
        #expect(muster_file_allocate(fd, 0) == 0)
        var size: UInt64 = 0
        #expect(muster_file_size(fd, &size) == 0 && size == 10)
        let allocated = muster_file_allocate(fd, 5000)
        if allocated == 0 {
            #expect(muster_file_size(fd, &size) == 0 && size == 5000)
        } else {
            #expect(allocated == -EOPNOTSUPP)
        }
        #expect(muster_file_allocate(fd, 1 << 62) < 0)
        #expect(muster_file_finish(fd) == 0)
        #expect(muster_file_finish(fd) == -EBADF)

        // Creating it again empties it.
        try #require(muster_file_create(scratch("file"), &fd) == 0)
        #expect(muster_file_write(fd, text, 10) == 10)
        #expect(muster_file_finish(fd) == 0)
        try #require(muster_file_open(scratch("file"), false, &fd, &size) == 0)
        #expect(size == 10 && fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
        var bytes = [UInt8](repeating: 0, count: 20)
        #expect(muster_file_read(fd, &bytes, 4, 3) == 4 && bytes.prefix(5) == [51, 52, 53, 54, 0])
        // Fewer only at the end of the file.
        #expect(muster_file_read(fd, &bytes, 20, 8) == 2)
        #expect(muster_file_read(fd, &bytes, 20, 10) == 0)
        #expect(muster_file_read(fd, &bytes, 20, 1 << 63) == Int64(-EINVAL))
        // It was opened for reading.
        #expect(muster_file_write(fd, text, 1) == Int64(-EBADF))
        #expect(muster_file_allocate(fd, 100) == -EBADF)
        muster_file_close(fd)
        #expect(muster_file_read(-1, &bytes, 1, 0) == Int64(-EBADF))
        #expect(muster_file_size(-1, &size) == -EBADF && size == 10)
    }

    @Test func afullDiskIsSaid() throws {
        var fd: Int32 = -1
        try #require(muster_file_create("/dev/full", &fd) == 0)
        defer { muster_file_close(fd) }
        #expect(muster_file_write(fd, [1, 2, 3], 3) == Int64(-ENOSPC))
    }

    @Test func aFileCantBeCreatedOverADirectoryOrNowhere() {
        let scratch = Scratch()
        var fd: Int32 = -7
        #expect(muster_file_create(scratch.path, &fd) == -EISDIR)
        #expect(muster_file_create(scratch("no/where"), &fd) == -ENOENT)
        #expect(fd == -7)
    }

    /// "The library never touches errno": neither on success nor on failure.
    @Test func errnoIsLeftAlone() {
        var fd: Int32 = -1
        var size: UInt64 = 0
        errno = 4242
        _ = muster_file_open("/nowhere", false, &fd, &size)
        _ = muster_file_size(-1, &size)
        _ = muster_file_create("/", &fd)
        _ = muster_memory_available(&size)
        #expect(errno == 4242)
    }
}
