/// server.h and muster_space_attach without any process: what is refused, and what means the same in
/// another place.

import MusterCore
import MusterCore.Testing
import Glibc
import Testing

private let mebibyte: UInt64 = 1 << 20

@Suite(.serialized) struct SpaceAttachTests {
    private func attach(
        _ descriptor: Int32, _ size: UInt64, _ arena: UInt64
    ) -> (status: Int32, space: muster_space) {
        var space = muster_space()
        let status = muster_space_attach(descriptor, size, arena, &space)
        return (status, space)
    }

    @Test func anArenaIsTheSameMemoryAtAnotherAddress() throws {
        var space = muster_space()
        try #require(muster_space_create(&space) == 0)
        defer { muster_space_destroy(&space) }
        var (status, other) = attach(space.arena_fd, space.size_bytes, space.arena_bytes)
        try #require(status == 0)
        defer { muster_space_destroy(&other) }
        #expect(other.address != space.address)
        #expect(UInt(bitPattern: other.address) % UInt(2 * mebibyte) == 0)
        // No piece of an arena can be accessed that is not in use; a rank follows a table of these.
        for address in [space.address!, other.address!] {
            try #require(mprotect(address, 65536, PROT_READ | PROT_WRITE) == 0)
        }
        space.address[12_345] = 77
        #expect(other.address[12_345] == 77)
        let window = muster_extent(offset_bytes: other.arena_bytes, size_bytes: 4096)
        #expect(muster_space_map(&other, window, -1, 0, false) == 0)
    }

    @Test func whatIsNoArenaIsRefused() throws {
        var space = muster_space()
        try #require(muster_space_create(&space) == 0)
        defer { muster_space_destroy(&space) }
        let (size, arena) = (space.size_bytes, space.arena_bytes)
        for (size, arena) in [
            (0, 0), (size, 0), (size, arena - 2 * mebibyte), (size, arena + 2 * mebibyte),
            (arena / 2, arena), (size + 1, arena), (size, arena + 1), (1 << 60, arena),
            (UInt64.max, UInt64.max),
        ] {
            #expect(attach(space.arena_fd, size, arena).status == -EUCLEAN, "\(size) \(arena)")
        }
        let file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        #expect(attach(file, size, arena).status == -EUCLEAN)
        #expect(attach(-1, size, arena).status == -EBADF)
    }

    @Test func aFailureLeavesNothing() throws {
        var inode = ino_t(0)
        func mappings() -> Int {
            let file = fopen("/proc/self/maps", "r")!
            defer { fclose(file) }
            var buffer = [CChar](repeating: 0, count: 8192)
            var found = 0
            while fgets(&buffer, 8192, file) != nil {
                let line = String(
                    decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self
                )
                if line.contains(" \(inode) ") { found += 1 }
            }
            return found
        }
        var space = muster_space()
        try #require(muster_space_create(&space) == 0)
        defer { muster_space_destroy(&space) }
        // By this arena alone: other tests have theirs.
        var file = stat()
        try #require(fstat(space.arena_fd, &file) == 0)
        inode = file.st_ino
        let before = mappings()
        var n: UInt64 = 1
        while true {
            muster_testing_fail_call(n, ENOMEM)
            var (status, other) = attach(space.arena_fd, space.size_bytes, space.arena_bytes)
            let failed = muster_testing_failed()
            muster_testing_fail_call(0, 0)
            if status == 0 { muster_space_destroy(&other) }
            #expect(status == 0 || status == -ENOMEM)
            #expect(mappings() == before, "call \(n)")
            if !failed { break }
            n += 1
        }
        #expect(n >= 5)
    }
}

@Suite struct ProgramTests {
    private static let constant: StaticString = "in the program"

    @Test func aPlaceInTheProgramIsFoundAgain() {
        let address = UnsafeRawPointer(ProgramTests.constant.utf8Start)
        let offset = muster_program_offset(address)
        #expect(offset > 0)
        #expect(muster_program_address(offset) == address)
    }

    @Test func otherPlacesAreNone() {
        let heap = malloc(16)!
        defer { free(heap) }
        #expect(muster_program_offset(heap) == -1)
        #expect(muster_program_offset(nil) == -1)
        #expect(muster_program_offset(dlsym(nil, "gnu_get_libc_version")) == -1)
        for offset in [-1, Int64.min, Int64.max, 1 << 46] {
            #expect(muster_program_address(offset) == nil)
        }
    }
}

@Suite struct PlaceTests {
    @Test func aPlaceInALibraryIsFoundAgain() {
        let address = dlsym(nil, "gnu_get_libc_version")
        var place = muster_place()
        #expect(muster_place_find(address, &place) == 0)
        #expect(place.build != 0)
        var found: UnsafeRawPointer?
        #expect(muster_place_address(&place, &found) == 0)
        #expect(found == UnsafeRawPointer(address))
    }

    @Test func anotherBuildIsToldFromNoSuchFile() {
        var place = muster_place()
        #expect(muster_place_find(dlsym(nil, "gnu_get_libc_version"), &place) == 0)
        var found: UnsafeRawPointer?
        place.build ^= 2
        #expect(muster_place_address(&place, &found) == -ESTALE)
        place.name ^= 1
        #expect(muster_place_address(&place, &found) == -ENOENT)
        place.build ^= 2
        place.offset = 1 << 46
        #expect(muster_place_address(&place, &found) == -ENOENT)
        #expect(found == nil)
    }

    @Test func whatIsInNoFileHasNoPlace() {
        let heap = malloc(16)!
        defer { free(heap) }
        var place = muster_place()
        #expect(muster_place_find(heap, &place) == -ENOENT)
        #expect(muster_place_find(nil, &place) == -ENOENT)
        #expect(place.build == 0)
    }
}

@Suite struct ServerTests {
    /// A test runner has no such line.
    @Test func withoutTheLineThereIsNoServer() throws {
        var options = muster_team_options()
        options.size_bytes = UInt32(MemoryLayout<muster_team_options>.size)
        options.size = 2
        options.usable_cpus = 2
        options.spin_ns = -1
        var made: OpaquePointer?
        try #require(muster_team_create(&options, &made) == 0)
        let team = try #require(made)
        defer { muster_team_destroy(team) }
        #expect(!muster_server_is_possible())
        #expect(!muster_server_is_stray())
        #expect(muster_team_use_server(team, nil, nil) == -EPERM)
        #expect(muster_team_server_process(team) == 0)
        var trouble = muster_server_trouble()
        #expect(!muster_team_server_trouble(team, &trouble))
    }
}
