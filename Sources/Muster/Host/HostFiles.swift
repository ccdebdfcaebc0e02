// HostFiles.swift - single files of a host's /sys and /proc, live or recorded.
//
// All parsing here is lenient: what is missing or not as expected is nil, "the host does not say".
// What a team depends on is read by the C core instead (topology.h), where damage is an error.

internal import MusterCore

/// Files of one host; a recording of it grows with what is asked for.
package final class HostFiles {
    /// nil: this host.
    package let root: String?
    /// Every text that was found, by path; kept for recordings only.
    private(set) var texts: [String: String]?

    package init(root: String? = nil, keepsTexts: Bool = false) {
        self.root = root
        texts = keepsTexts ? [:] : nil
    }

    /// Whether this is the host that the program runs on.
    package var isLive: Bool { root == nil }

    /// A whole file; nil: it is not there, or can't be read.
    package func text(_ path: String) -> String? {
        let text = withUnsafeTemporaryAllocation(
            of: CChar.self, capacity: Int(MUSTER_HOST_TEXT_BYTES)
        ) { buffer -> String? in
            let length = withFileName(root) {
                muster_host_read($0, path, buffer.baseAddress!, buffer.count)
            }
            return length < 0 ? nil : String(cString: buffer.baseAddress!)
        }
        if let text { texts?[path] = text }
        return text
    }

    /// The first word of a file.
    package func word(_ path: String) -> String? {
        text(path)?.split(whereSeparator: \.isWhitespace).first.map(String.init)
    }

    /// The first word of a file as a number.
    package func number(_ path: String) -> Int? { word(path).flatMap { Int($0) } }

    /// The word in brackets of a file such as "always [madvise] never".
    package func choice(_ path: String) -> String? {
        guard let text = text(path), let start = text.firstIndex(of: "["),
            let end = text[start...].firstIndex(of: "]")
        else { return nil }
        return String(text[text.index(after: start)..<end])
    }

    /// What follows `head` in the first line that begins with it, without blanks around it.
    package func line(_ path: String, _ head: String) -> String? {
        for line in (text(path) ?? "").split(separator: "\n") where line.hasPrefix(head) {
            let rest = line.dropFirst(head.count).drop(while: \.isWhitespace)
            return String(rest.reversed().drop(while: \.isWhitespace).reversed())
        }
        return nil
    }

    /// Names in a directory, sorted; none where it is not there.
    package func names(_ path: String) -> [String] {
        final class Names { var all: [String] = [] }
        let names = Names()
        _ = withFileName(root) { root in
            muster_host_list(
                root, path,
                { name, context in
                    Unmanaged<Names>.fromOpaque(context!).takeUnretainedValue().all
                        .append(String(cString: name!))
                    return 0
                }, Unmanaged.passUnretained(names).toOpaque())
        }
        return names.all.sorted()
    }

    /// Paths of a pattern in which "*" stands for the rest of a name; of directories too.
    package func paths(_ pattern: String) -> [String] {
        var found = [""]
        for part in pattern.split(separator: "/") {
            let star = part.firstIndex(of: "*")
            found = found.flatMap { folder -> [String] in
                let start = folder.isEmpty ? "" : folder + "/"
                guard let star else { return [start + part] }
                return names(folder).filter { $0.hasPrefix(part[..<star]) }.map { start + $0 }
            }
        }
        return found
    }

    /// A list of the kernel's: "0-3,8".
    package func list(_ path: String) -> [Int]? { text(path).flatMap(HostFiles.list(of:)) }

    /// Numbers of a kernel's list; nil: it is none.
    package static func list(of text: String) -> [Int]? {
        let count = muster_list_parse(text, nil, 0)
        guard count >= 0 else { return nil }
        var ids = [UInt32](repeating: 0, count: Int(count))
        muster_list_parse(text, &ids, ids.count)
        return ids.map { Int($0) }
    }
}

extension Topology {
    /// What a recording has in addition to the files that limits, pages and diagnoses ask for:
    /// those that the C core reads.
    private static let recordedPatterns =
        [
            "sys/devices/system/cpu/possible", "sys/devices/system/cpu/present",
            "sys/devices/system/cpu/online", "sys/devices/system/cpu/cpu*/online",
            "sys/devices/system/node/online", "sys/devices/system/node/has_memory",
            "proc/meminfo", "proc/cmdline", "proc/self/status", "proc/self/cpuset",
        ]
        + [
            "core_id", "physical_package_id", "die_id", "book_id", "drawer_id",
            "thread_siblings_list", "core_cpus_list", "thread_siblings", "core_cpus",
            "package_cpus_list", "core_siblings_list", "package_cpus", "core_siblings",
        ].map { "sys/devices/system/cpu/cpu*/topology/\($0)" }
        + ["level", "type", "size", "shared_cpu_list", "shared_cpu_map"].map {
            "sys/devices/system/cpu/cpu*/cache/index*/\($0)"
        }
        + ["cpulist", "cpumap", "meminfo", "distance"].map {
            "sys/devices/system/node/node*/\($0)"
        }

    /// What a recording keeps of a file: the rest is about one process, or names disks and users.
    private static func wanted(of text: String, in file: String) -> String {
        switch file {
        case "proc/self/status":
            text.split(separator: "\n").filter { $0.contains("s_allowed_list:") }
                .map { $0 + "\n" }.joined()
        case "proc/cmdline":
            text.split(whereSeparator: \.isWhitespace).filter { $0.hasPrefix("numa=") }
                .joined(separator: " ") + "\n"
        default: text
        }
    }

    /// Copies what `init(recordedAt:)` needs of this host into a directory, made where it is missing.
    ///
    /// - Returns: How many files the recording has.
    /// - Throws: `.file`; `.system` when the copy can't be read back as a host.
    @discardableResult
    public static func record(to path: String) throws(MusterError) -> Int {
        try checkName(path)
        let files = HostFiles(keepsTexts: true)
        for pattern in recordedPatterns {
            for file in files.paths(pattern) { _ = files.text(file) }
        }
        let host = try Topology.read()
        _ = host.limits(files)
        _ = host.pages(files)
        _ = Diagnosis(of: host, files)
        for (file, text) in (files.texts ?? [:]).sorted(by: { $0.key < $1.key }) {
            let text = Topology.wanted(of: text, in: file)
            let bytes = Array(text.utf8CString.dropLast())
            let status = path.withFileName { muster_host_write($0, file, bytes, bytes.count) }
            guard status == 0 else {
                throw .system(.file, path, "can't write \(file) there", status: status)
            }
        }
        _ = try Topology(recordedAt: path)
        return files.texts?.count ?? 0
    }
}
