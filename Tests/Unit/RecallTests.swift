/// A host that is recalled is the host that is read, but for the sizes of memory.

import MusterCore
import Glibc
import Dispatch
import Synchronization
import Testing

private struct Host: Equatable {
    var cpus: [[Int64]]
    var nodes: [[Int64]]
    var distances: [UInt32]
    var others: [UInt64]

    init(_ read: (UnsafeMutablePointer<UnsafeMutablePointer<muster_topology>?>) -> Int32) throws {
        var raw: UnsafeMutablePointer<muster_topology>?
        try #require(read(&raw) == 0)
        defer { muster_topology_destroy(raw) }
        let host = try #require(raw).pointee
        cpus = (0..<Int(host.cpu_count)).map {
            let cpu = host.cpus[$0]
            return [
                Int64(cpu.id), Int64(cpu.node), Int64(cpu.core), Int64(cpu.package),
                Int64(cpu.online), Int64(cpu.allowed), Int64(cpu.core_cpu), Int64(cpu.cache_cpu),
                Int64(cpu.package_cpu),
            ]
        }
        nodes = (0..<Int(host.node_count)).map {
            let node = host.nodes[$0]
            return [
                Int64(node.id), Int64(node.cpu_count), Int64(node.allowed),
                Int64(node.has_memory),
            ]
        }
        distances = (0..<Int(host.node_count * host.node_count)).map { host.distances[$0] }
        others = [
            UInt64(host.usable_cpu_count), host.last_level_cache_bytes,
            host.last_level_cache_total_bytes, host.page_bytes,
        ]
    }

    static func read() throws -> Host { try Host { muster_topology_create(nil, $0) } }
    static func recalled() throws -> Host { try Host { muster_topology_recall($0) } }
}

/// What a thread finds that is bound to one CPU for the rest of its life.
private struct Narrow {
    let cpu: Int64
    let bound: Int32
    let recalled: Host
    let read: Host

    init() throws {
        cpu = try #require(try Host.recalled().cpus.last { $0[4] == 1 && $0[5] == 1 })[0]
        bound = muster_binding_enter(UInt32(cpu))
        recalled = try Host.recalled()
        read = try Host.read()
    }
}

nonisolated(unsafe) private var narrow: Result<Narrow, any Error>?

@Suite(.serialized) struct RecallTests {
    @Test func whatIsRecalledIsWhatIsThere() throws {
        let host = try Host.read()
        for _ in 0..<3 { #expect(try Host.recalled() == host) }
    }

    /// The CPUs that a process may use are asked for each time.
    @Test func anAffinityThatChangesIsSeen() throws {
        var thread = pthread_t()
        try #require(
            pthread_create(
                &thread, nil,
                { _ in
                    narrow = Result { try Narrow() }
                    return nil
                }, nil) == 0)
        pthread_join(thread, nil)
        let found = try #require(narrow).get()
        #expect(found.bound == 0)
        #expect(found.recalled == found.read)
        #expect(found.recalled.others[0] == 1)
        #expect(found.recalled.cpus.filter { $0[5] == 1 }.map { $0[0] } == [found.cpu])
    }

    /// A thread that comes while another one reads the host reads everything by itself.
    @Test func manyAtOnceGetTheSame() throws {
        let host = try Host.read()
        let others = Mutex(0)
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            for _ in 0..<50 where (try? Host.recalled()) != host {
                others.withLock { $0 += 1 }
            }
        }
        #expect(others.withLock { $0 } == 0)
    }
}
