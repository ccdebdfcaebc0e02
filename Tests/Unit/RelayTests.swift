/// relay.h: lines of several sources to one destination, slow and broken destinations, errors.

import MusterCore.Supervision
import Glibc
import Testing

/// A pipe by name, since pipe() can't close on exec: another test's program would keep it open.
private func makePipe(_ ends: inout [Int32]) -> Int32 {
    var name = Array("/tmp/muster-test-XXXXXX".utf8CString)
    guard mkdtemp(&name) != nil else { return -1 }
    let folder = name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    let path = folder + "/pipe"
    guard mkfifo(path, 0o600) == 0 else { return -1 }
    ends[0] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    ends[1] = open(path, O_WRONLY | O_CLOEXEC)
    unlink(path)
    rmdir(folder)
    return ends[1] < 0 ? -1 : 0
}

/// A relay into two pipes, whose other ends are read here.
private final class Rig {
    let relay: OpaquePointer
    let readers: [Int32]
    private let writers: [Int32]

    /// `isSocket`: socket pairs instead of pipes.
    init(isSocket: Bool = false) throws {
        signal(SIGPIPE, SIG_IGN)  // as its supervisor does
        var ends: [[Int32]] = [[0, 0], [0, 0]]
        for index in 0..<2 {
            let status =
                isSocket
                ? socketpair(
                    AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends[index])
                : makePipe(&ends[index])
            try #require(status == 0)
            _ = fcntl(ends[index][0], F_SETFL, O_NONBLOCK)
        }
        readers = ends.map { $0[0] }
        writers = ends.map { $0[1] }
        var relay: OpaquePointer?
        try #require(muster_relay_create(writers[0], writers[1], &relay) == 0)
        self.relay = relay!
    }

    deinit {
        muster_relay_destroy(relay)
        for fd in readers + writers { close(fd) }
    }

    func open(_ destination: Int, tag: String? = nil) throws -> Int32 {
        var writer: Int32 = -1
        try #require(muster_relay_open(relay, UInt32(destination), tag, &writer) == 0)
        return writer
    }

    /// Serves until nothing more happens.
    @discardableResult
    func serve() -> Int32 {
        var failed: UInt32 = .max
        for _ in 0..<100 {
            let status = muster_relay_serve(relay, &failed)
            if status < 0 { return status }
        }
        return 0
    }

    /// What has arrived.
    func read(_ destination: Int = 0) -> String {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let size = Glibc.read(readers[destination], &buffer, buffer.count), size > 0 {
            text += buffer[..<size]
        }
        return String(decoding: text, as: UTF8.self)
    }
}

private func put(_ writer: Int32, _ text: String) {
    var text = text
    let written = text.withUTF8 { write(writer, $0.baseAddress, $0.count) }
    #expect(written == text.utf8.count)
}

@Suite struct RelayTests {
    @Test func linesAreWhole() throws {
        for isSocket in [false, true] {
            let rig = try Rig(isSocket: isSocket)
            let (a, b) = (try rig.open(0, tag: "[a] "), try rig.open(0, tag: "[b] "))
            put(a, "one\ntw")
            put(b, "ei")
            rig.serve()
            #expect(rig.read() == "[a] one\n")
            put(b, "ns\n\nzwei\n")
            rig.serve()
            #expect(rig.read() == "[b] eins\n[b] \n[b] zwei\n")
            put(a, "o\n")
            rig.serve()
            #expect(rig.read() == "[a] two\n")
            // Last lines without an end: left so, unless something follows.
            put(a, "end")
            close(a)
            rig.serve()
            #expect(rig.read() == "[a] end")
            #expect(!muster_relay_is_done(rig.relay))
            put(b, "Ende")
            close(b)
            rig.serve()
            #expect(rig.read() == "\n[b] Ende")
            #expect(muster_relay_is_done(rig.relay))
            #expect(muster_relay_say(rig.relay, 0, "said") == 0)
            #expect(rig.read() == "\nsaid\n")
        }
    }

    @Test func destinationsAreApartUnlessTheyAreOne() throws {
        let rig = try Rig()
        #expect(!muster_relay_is_one(rig.relay))
        let (a, b) = (try rig.open(0), try rig.open(1))
        put(a, "out\n")
        put(b, "err\n")
        rig.serve()
        #expect(rig.read(0) == "out\n" && rig.read(1) == "err\n")
        close(a)
        close(b)
        var ends: [Int32] = [0, 0]
        try #require(makePipe(&ends) == 0)
        defer { for fd in ends { close(fd) } }
        let copy = dup(ends[1])
        defer { close(copy) }
        var relay: OpaquePointer?
        try #require(muster_relay_create(ends[1], copy, &relay) == 0)
        #expect(muster_relay_is_one(relay))
        muster_relay_destroy(relay)
    }

    @Test func oneThatIsAloneIsPassedOnAtOnce() throws {
        let rig = try Rig()
        let a = try rig.open(0)
        muster_relay_seal(rig.relay)
        put(a, "name? ")
        rig.serve()
        #expect(rig.read() == "name? ")
        close(a)
    }

    @Test func aLineBeyondTheLimitGoesOnInParts() throws {
        let rig = try Rig()
        let (a, b) = (try rig.open(0), try rig.open(0))
        let part = String(repeating: "x", count: 32768)
        var arrived = ""
        func drain() {
            while case let size = arrived.utf8.count, true {
                rig.serve()
                arrived += rig.read()
                if arrived.utf8.count == size { return }
            }
        }
        for _ in 0..<40 {  // 1.25 MiB
            put(a, part)
            drain()
        }
        #expect(arrived.utf8.count > Int(MUSTER_RELAY_LINE_BYTES))
        put(b, "short\n")
        drain()
        put(a, "end\n")
        drain()
        #expect(arrived.hasSuffix("x\nshort\nend\n") || arrived.hasSuffix("x\nshort\nxend\n"))
        #expect(arrived.utf8.filter { $0 == UInt8(ascii: "x") }.count == 40 * 32768)
        close(a)
        close(b)
    }

    @Test func aSlowReaderHoldsItsWritersBack() throws {
        let rig = try Rig()
        let (a, b) = (try rig.open(0), try rig.open(1))
        _ = fcntl(a, F_SETFL, O_NONBLOCK)
        let block = [UInt8](repeating: UInt8(ascii: "y"), count: 4095) + [10]
        var taken = 0
        // A thousand refusals one after the other: the relay takes no more.
        var refusals = 0
        while refusals < 1000 {
            rig.serve()
            let size = write(a, block, block.count)
            refusals = size < 0 ? refusals + 1 : 0
            taken += max(0, size)
            try #require(taken < 1 << 24, "memory without bounds")
        }
        #expect(taken > 1 << 20)
        // The other destination is not held back.
        put(b, "free\n")
        rig.serve()
        #expect(rig.read(1) == "free\n")
        close(a)
        var arrived = 0
        while !muster_relay_is_done(rig.relay) && arrived < taken {
            rig.serve()
            arrived += rig.read().utf8.count
        }
        #expect(arrived == taken)
        close(b)
    }

    @Test func aReaderThatReadsNoMoreIsSaidOnce() throws {
        var ends: [Int32] = [0, 0]
        signal(SIGPIPE, SIG_IGN)
        try #require(makePipe(&ends) == 0)
        let full = open("/dev/full", O_WRONLY | O_CLOEXEC)
        var relay: OpaquePointer?
        try #require(muster_relay_create(ends[1], full, &relay) == 0)
        defer {
            muster_relay_destroy(relay)
            close(full)
            close(ends[1])
        }
        close(ends[0])
        for (destination, expected) in [(UInt32(0), -EPIPE), (1, -ENOSPC)] {
            var writer: Int32 = -1
            try #require(muster_relay_open(relay, destination, nil, &writer) == 0)
            put(writer, "lost\n")
            var failed: UInt32 = .max
            #expect(muster_relay_serve(relay, &failed) == expected && failed == destination)
            #expect(muster_relay_serve(relay, &failed) == 0)
            // Who writes there is told by the system.
            #expect(write(writer, "x", 1) == -1 && errno == EPIPE)
            close(writer)
            #expect(muster_relay_say(relay, destination, "x") == expected)
        }
        #expect(muster_relay_is_done(relay))
    }

    @Test func whatIsNoDescriptorIsRefused() {
        var relay: OpaquePointer?
        #expect(muster_relay_create(1, 1_000_000, &relay) == -EBADF && relay == nil)
    }
}
