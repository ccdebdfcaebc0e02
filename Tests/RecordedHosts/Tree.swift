// A `/sys` tree that a test makes for itself.

import Foundation
import Testing

/// A `/sys` tree in a directory of its own, which goes away with it.
final class Tree {
    let root: String

    init(_ files: [String: String]) throws {
        var template = Array((NSTemporaryDirectory() + "/muster-topology-XXXXXX").utf8CString)
        root = String(cString: try #require(mkdtemp(&template)))
        for (path, text) in files {
            try write(path, Array(text.utf8))
        }
    }

    /// The host that it is. A tree may go away after its last use, which `root` is.
    func read() throws -> Host { try withExtendedLifetime(self) { try readHost(root) } }

    deinit {
        try? FileManager.default.removeItem(atPath: root)
    }

    /// nil: the file is taken away.
    func write(_ path: String, _ bytes: [UInt8]?) throws {
        guard let bytes else {
            unlink("\(root)/\(path)")
            return
        }
        let url = URL(fileURLWithPath: "\(root)/\(path)")
        let folder = url.deletingLastPathComponent()
        if access(folder.path, F_OK) != 0 {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        }
        try Data(bytes).write(to: url)
    }
}
