// HostFiles.swift - single files of a host's /sys and /proc, live or recorded.
//
// What is missing is nil, "the host does not say"; so is what makes no sense, and then a note says which
// file it was. What a team depends on is read by the C core instead (topology.h), which does the same.

internal import Glibc
internal import MusterCore

/// Files of one host; a recording of it grows with what is asked for.
package final class HostFiles {
    /// nil: this host.
    package let root: String?
    /// Every text that was found, by path; kept for recordings only.
    private(set) var texts: [String: String]?
    /// Files that are there and make no sense, and what follows.
    private var remarks: [Remark] = []

    private struct Remark {
        let path: String
        let what: String
        let effect: String
        var others: Set<String> = []

        /// The same for files whose paths differ in numbers only.
        func isLike(_ path: String, _ what: String, _ effect: String) -> Bool {
            func shape(_ path: String) -> [Substring] {
                path.split(omittingEmptySubsequences: false) { $0.isASCII && $0.isNumber }
                    .filter { !$0.isEmpty }
            }
            return self.what == what && self.effect == effect && shape(self.path) == shape(path)
        }
    }

    package init(root: String? = nil, keepsTexts: Bool = false) {
        self.root = root
        texts = keepsTexts ? [:] : nil
    }

    /// Whether this is the host that the program runs on.
    package var isLive: Bool { root == nil }

    private func read(_ path: String) -> (text: String?, status: Int64) {
        // Not on the stack, which may be little larger.
        let buffer = UnsafeMutableBufferPointer<CChar>.allocate(
            capacity: Int(MUSTER_HOST_TEXT_BYTES))
        defer { buffer.deallocate() }
        let status = withFileName(root) {
            muster_host_read($0, path, buffer.baseAddress!, buffer.count)
        }
        let text = status < 0 ? nil : String(cString: buffer.baseAddress!)
        if let text { texts?[path] = text }
        return (text, status)
    }

    /// A whole file; nil: it is not there, or can't be read.
    package func text(_ path: String) -> String? { read(path).text }

    /// Keeps some lines of a file of any length of this host for a recording.
    package func keepLines(of path: String, where isKept: (Substring) -> Bool) {
        var descriptor: Int32 = -1
        var size: UInt64 = 0
        guard muster_file_open("/\(path)", false, &descriptor, &size) == 0 else { return }
        defer { muster_file_close(descriptor) }
        var kept = ""
        var rest: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        var offset: UInt64 = 0
        while true {
            let length = muster_file_read(descriptor, &piece, piece.count, offset)
            if length <= 0 { break }
            offset += UInt64(length)
            rest += piece[..<Int(length)]
            let end = rest.lastIndex(of: 10).map { $0 + 1 } ?? 0
            let lines = String(decoding: rest[..<end], as: UTF8.self)
            for line in lines.dropLast().split(separator: "\n", omittingEmptySubsequences: false)
            where isKept(line) {
                kept += line + "\n"
            }
            rest.removeFirst(end)
        }
        if !kept.isEmpty { texts?[path] = kept }
    }

    // MARK: - What makes no sense

    /// What it does where a file makes no sense.
    package static let unknown = "what it says is unknown"

    /// What is wrong with files that are there: a sentence each, which begins with the file, as in
    /// `Topology.notes`.
    package var notes: [String] {
        remarks.map { remark in
            let others = remark.others.count
            return "/\(remark.path)\(others > 0 ? " (and \(others) more like it)" : "") "
                + "\(remark.what): \(remark.effect)"
        }
    }

    /// How often a file was found to make no sense, those that are noted already included.
    package private(set) var remarkCount = 0

    package func remark(
        on path: String, _ what: String = "makes no sense", _ effect: String = HostFiles.unknown
    ) {
        remarkCount += 1
        if let at = remarks.firstIndex(where: { $0.isLike(path, what, effect) }) {
            if remarks[at].path != path { remarks[at].others.insert(path) }
        } else {
            remarks.append(Remark(path: path, what: what, effect: effect))
        }
    }

    /// The words of a file; nil: it is not there, or there is a remark on why it has none.
    package func words(_ path: String, or effect: String = HostFiles.unknown) -> [Substring]? {
        let (text, status) = read(path)
        guard let text else {
            switch -status {
            case Int64(ENOENT), Int64(ENOTDIR): break
            case Int64(EPERM), Int64(EACCES):
                remark(on: path, "may not be read by this process", effect)
            default: remark(on: path, "can't be read", effect)
            }
            return nil
        }
        let words = text.split(whereSeparator: \.isWhitespace)
        if words.isEmpty { remark(on: path, "is empty", effect) }
        return words.isEmpty ? nil : words
    }

    // MARK: - Kinds of file

    /// The first word of a file.
    package func word(_ path: String) -> String? { words(path)?.first.map(String.init) }

    /// A file that holds a number, and nothing else. `besides`: words that stand for none.
    package func number<Number: FixedWidthInteger>(
        _ path: String, besides none: [Substring] = [], or effect: String = HostFiles.unknown
    ) -> Number? {
        guard let words = words(path, or: effect), !none.contains(words[0]) else { return nil }
        guard words.count == 1, let number = Number(words[0]) else {
            remark(on: path, "makes no sense", effect)
            return nil
        }
        return number
    }

    /// The word in brackets of a file such as "always [madvise] never".
    package func choice(_ path: String) -> String? {
        guard let words = words(path) else { return nil }
        guard let word = words.first(where: { $0.hasPrefix("[") && $0.hasSuffix("]") }),
            word.count > 2
        else {
            remark(on: path)
            return nil
        }
        return String(word.dropFirst().dropLast())
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

    /// Beginnings of the lines of proc/cpuinfo that the C core reads (host/cpuinfo.c). The file has 1.5 KB
    /// for each CPU, most of them features.
    private static let cpuLines = [
        "processor", "physical id", "core id", "vendor_id", "cpu family",
    ]

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
    /// - Throws: `.file` if the copy can't be written; `.system` if this host can't be read, or the copy can't
    ///   be read back as a host.
    @discardableResult
    public static func record(to path: String) throws(MusterError) -> Int {
        try checkName(path)
        let files = HostFiles(keepsTexts: true)
        for pattern in recordedPatterns {
            for file in files.paths(pattern) { _ = files.text(file) }
        }
        files.keepLines(of: "proc/cpuinfo") { line in
            line.isEmpty || cpuLines.contains { line.hasPrefix($0) }
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
