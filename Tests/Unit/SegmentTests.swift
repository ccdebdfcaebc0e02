/// segment.h: what attach accepts and refuses. Every segment here is made by hand, byte by byte, so
/// that each rule of the header is broken alone.

import MusterCore
import Glibc
import Testing

// <linux/fcntl.h> and <linux/memfd.h>; Glibc's module hides them behind _GNU_SOURCE.
private let addSeals: Int32 = 1033
private let sealShrink: Int32 = 2
private let sealGrow: Int32 = 4
private let sealWrite: Int32 = 8
private let allowSealing: UInt32 = 2

/// A nameless file in memory. Not in Glibc's module either.
func makeMemfd(_ flags: UInt32) -> Int32 {
    typealias Call = @convention(c) (UnsafePointer<CChar>, UInt32) -> Int32
    return unsafeBitCast(dlsym(nil, "memfd_create"), to: Call.self)("muster-test", flags)
}

/// FNV-1a, 64 bits, over the fields before the checksum: as segment.h says.
private func checksum(_ header: muster_segment_header) -> UInt64 {
    withUnsafeBytes(of: header) { bytes in
        bytes.prefix(24).reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}

private func goodHeader(_ size: UInt64) -> muster_segment_header {
    muster_segment_header(
        magic: 0x0a0d_5245_5453_554d, layout_version: MUSTER_LAYOUT_VERSION,
        kind: MUSTER_SEGMENT_CONTROL.rawValue, size_bytes: size, checksum: 0)
}

/// What attach says of a file with this header.
private func attach(
    size: Int = 8192, seals: Int32 = sealShrink | sealGrow, mends: Bool = true,
    _ change: (inout muster_segment_header) -> Void = { _ in }
) -> Int32 {
    let fd = makeMemfd(allowSealing)
    precondition(fd >= 0 && ftruncate(fd, size) == 0)
    defer { close(fd) }
    var header = goodHeader(UInt64(size))
    if !mends { header.checksum = checksum(header) }
    change(&header)
    if mends { header.checksum = checksum(header) }
    withUnsafeBytes(of: &header) { _ = pwrite(fd, $0.baseAddress, min(size, 32), 0) }
    if seals != 0 { precondition(fcntl(fd, addSeals, seals) == 0) }
    var segment = muster_segment(fd: -5, reserved: 0, size_bytes: 5, address: nil)
    let status = muster_segment_attach(fd, MUSTER_SEGMENT_CONTROL, &segment)
    if status == 0 {
        #expect(segment.size_bytes == UInt64(size) && segment.address != nil)
        muster_segment_destroy(&segment)
    } else {
        #expect(segment.fd == -5 && segment.size_bytes == 5, "outputs are set on success only")
    }
    #expect(fcntl(fd, F_GETFD) >= 0, "the descriptor is not taken over")
    return status
}

@Suite struct SegmentTests {
    @Test func aSegmentIsMadeSealedAndAttached() throws {
        var made = muster_segment()
        try #require(
            muster_segment_create("muster-test", MUSTER_SEGMENT_CONTROL, 1 << 20, &made) == 0)
        #expect(ftruncate(made.fd, 4096) < 0 && ftruncate(made.fd, 2 << 20) < 0, "size is sealed")
        #expect(fcntl(made.fd, F_GETFD) & FD_CLOEXEC != 0)
        made.address[9999] = 77
        var other = muster_segment()
        try #require(muster_segment_attach(made.fd, MUSTER_SEGMENT_CONTROL, &other) == 0)
        #expect(other.address != made.address && other.address[9999] == 77)
        other.address[9998] = 78
        #expect(made.address[9998] == 78)
        let header = UnsafeRawPointer(other.address!).load(as: muster_segment_header.self)
        #expect(header.checksum == checksum(header) && header.size_bytes == 1 << 20)
        #expect(header.magic == goodHeader(0).magic)

        var refused = muster_segment()
        #expect(muster_segment_attach(made.fd, MUSTER_SEGMENT_ARENA, &refused) == -EPROTO)
        let fd = made.fd
        muster_segment_destroy(&made)
        muster_segment_destroy(&made)
        #expect(made.address == nil && made.fd == -1)
        #expect(muster_segment_attach(fd, MUSTER_SEGMENT_CONTROL, &refused) != 0)
        #expect(other.address[9999] == 77, "a mapping outlives the maker's")
        muster_segment_destroy(&other)
        var never = muster_segment()
        muster_segment_destroy(&never)
    }

    @Test func aHandMadeSegmentIsAccepted() { #expect(attach() == 0) }

    @Test func otherMagicKindOrVersionIsAnotherProtocol() {
        #expect(attach { $0.magic += 1 } == -EPROTO)
        #expect(attach { $0.magic = 0 } == -EPROTO)
        #expect(attach { $0.layout_version += 1 } == -EPROTO)
        #expect(attach { $0.layout_version = 0 } == -EPROTO)
        #expect(attach { $0.kind = MUSTER_SEGMENT_ARENA.rawValue } == -EPROTO)
        #expect(attach { $0.kind = 0 } == -EPROTO)
        #expect(attach { $0.kind = .max } == -EPROTO)
    }

    @Test func aWrongSizeSealOrChecksumFailsValidation() {
        #expect(attach { $0.size_bytes = 4096 } == -EUCLEAN)
        #expect(attach { $0.size_bytes = .max } == -EUCLEAN)
        #expect(attach(mends: false) { $0.checksum ^= 1 } == -EUCLEAN)
        #expect(attach(mends: false) { $0.size_bytes += 1 } == -EUCLEAN)
        #expect(attach(mends: false) { $0.kind = 2 } == -EUCLEAN)
        #expect(attach(seals: 0) == -EUCLEAN)
        #expect(attach(seals: sealShrink) == -EUCLEAN, "may grow")
        #expect(attach(seals: sealGrow) == -EUCLEAN, "may shrink")
    }

    @Test func whatIsNoSegmentAtAllIsRefused() {
        var segment = muster_segment()
        func refused(_ fd: Int32) -> Int32 {
            muster_segment_attach(fd, MUSTER_SEGMENT_CONTROL, &segment)
        }
        #expect(refused(-1) == -EBADF)
        for size in [0, 1, 31] { #expect(attach(size: size) == -EPROTO, "\(size) bytes") }
        #expect(attach(size: 32) == 0, "a header and nothing else")
        let file = open("/proc/self/exe", O_RDONLY)
        #expect(refused(file) == -EPROTO, "a file on disk")
        close(file)
        let directory = open("/", O_RDONLY)
        #expect(refused(directory) == -EPROTO)
        close(directory)
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0 && refused(ends[0]) == -EPROTO && refused(ends[1]) == -EPROTO)
        close(ends[0])
        close(ends[1])
        #expect(refused(ends[0]) == -EBADF, "closed")
        for path in ["/dev/null", "/dev/zero", "/proc/self/maps"] {
            let other = open(path, O_RDONLY)
            #expect(refused(other) == -EPROTO, "\(path)")
            close(other)
        }
    }

    /// A team's own segment, damaged in each of its header's bytes: with the checksum as it was, and
    /// with one that fits.
    @Test func everyByteOfTheHeaderCounts() {
        for index in 0..<MemoryLayout<muster_segment_header>.size {
            func damage(_ header: inout muster_segment_header) {
                withUnsafeMutableBytes(of: &header) { $0[index] ^= 0x40 }
            }
            let isForeign = index < 12
            #expect(
                attach(mends: false, damage) == (isForeign ? -EPROTO : -EUCLEAN), "byte \(index)")
            let mended: Int32 =
                switch index {
                case ..<16: -EPROTO  // magic, version, kind
                case ..<24: -EUCLEAN  // another size than the file's
                default: 0  // the checksum itself, mended
                }
            #expect(attach(mends: true, damage) == mended, "byte \(index), checksum mended")
        }
    }

    /// Torn: a header of which only the first bytes were written, or that a maker who was killed
    /// has never written.
    @Test func aHeaderThatWasCutOffIsRefused() {
        for written in 0..<MemoryLayout<muster_segment_header>.size {
            let status = attach(mends: false) { header in
                withUnsafeMutableBytes(of: &header) { bytes in
                    for index in written..<bytes.count { bytes[index] = 0 }
                }
            }
            // With 9 bytes, magic and version are whole: the version is 1, its other bytes zero.
            #expect(status == (written < 9 ? -EPROTO : -EUCLEAN), "\(written) bytes")
        }
    }

    /// Memory that this process may not map as a segment: the kernel's own errno.
    @Test func aSegmentThatMayNotBeWrittenIsRefused() throws {
        #expect(attach(seals: sealShrink | sealGrow | sealWrite) == -EPERM)
        var made = muster_segment()
        try #require(muster_segment_create("muster-test", MUSTER_SEGMENT_CONTROL, 4096, &made) == 0)
        let readOnly = open("/proc/self/fd/\(made.fd)", O_RDONLY)
        var segment = muster_segment()
        #expect(muster_segment_attach(readOnly, MUSTER_SEGMENT_CONTROL, &segment) == -EACCES)
        close(readOnly)
        muster_segment_destroy(&made)
    }

    /// Without MFD_ALLOW_SEALING nothing can be sealed, so the size can't be either.
    @Test func aMemfdThatCantBeSealedFailsValidation() {
        let fd = makeMemfd(0)
        defer { close(fd) }
        var segment = muster_segment()
        #expect(muster_segment_attach(fd, MUSTER_SEGMENT_CONTROL, &segment) == -EPROTO, "empty")
        #expect(ftruncate(fd, 4096) == 0)
        #expect(muster_segment_attach(fd, MUSTER_SEGMENT_CONTROL, &segment) == -EUCLEAN)
    }

    /// The file and the header must agree on the size, whichever of the two is longer.
    @Test func aFileOfAnotherSizeThanItsHeaderSays() {
        for size in [4096, 12288, 32, 1 << 30] {
            #expect(attach(size: size) { $0.size_bytes = 8192 } == -EUCLEAN, "\(size) bytes")
        }
    }

    @Test func aSizeThatCantBeIsAnErrorWithoutLeftovers() {
        var segment = muster_segment(fd: -5, reserved: 0, size_bytes: 5, address: nil)
        func refused(_ size: UInt64) -> Int32 {
            muster_segment_create("muster-test", MUSTER_SEGMENT_CONTROL, size, &segment)
        }
        #expect(refused(0) < 0)
        #expect(refused(.max) < 0)
        #expect(refused(1 << 60) == -ENOMEM, "no such range of addresses")
        #expect(segment.fd == -5 && segment.size_bytes == 5)
    }
}
