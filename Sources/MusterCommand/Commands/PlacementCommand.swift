// PlacementCommand.swift - `muster placement`: where the pages of an array or a file lie, as asked and as
// they are.

import ArgumentParser
import Muster

struct PlacementCommand: JSONCommand {
    static let schema = "muster.placement/1"
    static let configuration = CommandConfiguration(
        commandName: "placement",
        abstract: "Shows on which NUMA nodes the pages of an array or a file lie.",
        discussion: """
            Makes an array (--size) as a program would, or maps a file and has each rank read its \
            share, and asks the kernel where every page is. The strip shows the array from its first \
            byte to its last: above the node that was asked for, below the node where most of that part \
            is; a dot stands for any node, a blank for no memory, a letter for a node from 10 on, and the \
            lines below say which. A mirrored array has a strip for each \
            of its copies.

            EXAMPLES
              muster placement --size 1GiB
              muster placement --size 64MiB --placement interleave:0,1
              muster placement --size 1GiB --placement bind:1 --verify-placement 1
              muster placement --size 64MiB --placement mirrored --by-chunk
              muster placement data.npy -n 4 --json
            """)

    @Argument(help: ArgumentHelp("A file to map, read-only.", valueName: "file"))
    var file: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Bytes of an array to make, in place of a file: \(ByteCount.examples)."),
        transform: ByteCount.init(argument:))
    var size: ByteCount?

    @OptionGroup var team: TeamOptions
    @OptionGroup var wish: PlacementOptions

    @Flag(help: "Say for each chunk of a loop over the array on which nodes it lies.")
    var byChunk = false

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard (file == nil) != (size == nil) else {
            throw ValidationError("one of FILE and --size is needed")
        }
        try size?.validate(atLeast: 1, "an array has at least 1 byte")
        if file != nil, wish.placement != .firstTouch || wish.pages != .automatic {
            throw ValidationError(
                "FILE: a file's pages lie where they are read: --placement and --pages are for --size"
            )
        }
    }

    func run() throws {
        let ranks = try team.size()
        let team = try Team(size: ranks, binding: self.team.binding)
        if let file {
            let array = try team.array(file: file, of: UInt8.self)
            // Each rank reads its share, so that what is not in memory comes to its node.
            if array.count > 0 { _ = try team.reduce(Touch(bytes: array.input)) }
            try show(array, "\(file), \(Figures.capacity(UInt64(array.count)))")
        } else {
            let array = try team.array(
                of: UInt8.self, count: size!.bytes, placement: wish.placement, pages: wish.pages)
            try show(array, "array of \(Figures.capacity(UInt64(array.count)))")
        }
    }

    private func show(_ array: borrowing SharedArray<UInt8>, _ title: String) throws {
        let cells = max(1, min(Output.isTerminal ? Output.width : 80, array.count))
        let found: Found
        do throws(MusterError) {
            found = try Found(array, cells: cells, byChunk: byChunk)
        } catch {
            guard error.isUnenforceable else { throw error }
            found = Found()  // a sandbox that refuses the question: the array is there all the same
        }
        let report = PlacementJSON(array, found)
        let complaint = wish.complaint(found.fraction)
        if json {
            if let complaint { throw Failure.wrong(complaint, report: report) }
            return try print(json: report)
        }
        Output.line(Paint.heading(title))
        Output.line("asked  \(array.placement), pages \(report.asked.pages)")
        let bytesByNode = found.residency?.bytesByNode ?? [:]
        let asked = found.strips.joined().compactMap(\.asked)
        let nodes = Set(asked).union(bytesByNode.keys)
        let symbols = NodeSymbols(nodes)
        for strip in found.strips {
            Output.line(strip.map { Paint.node($0.asked, symbols) }.joined())
            Output.line(strip.map { Paint.node($0.found ?? -1, symbols) }.joined())
        }
        // Also a node that was asked for and has nothing.
        for node in nodes.sorted() {
            let bytes = bytesByNode[node] ?? 0
            Output.line(
                "\(Paint.node(node, symbols)) node \(node): \(Figures.capacity(bytes)), "
                    + "\(Output.percent(Double(bytes), of: Double(found.totalBytes)))")
        }
        if let absent = found.residency?.absentBytes, absent > 0 {
            Output.line("  nowhere: \(Figures.capacity(absent))")
        }
        if array.hugePageBytes > 0 {
            Output.line("huge pages: \(Figures.capacity(UInt64(array.hugePageBytes)))")
        }
        Output.line(
            "where it should be: "
                + (found.fraction.map { Output.percent($0, of: 1) } ?? "this system does not say"))
        for note in array.notes { Output.line("note: \(note)") }
        for (number, chunk) in (found.chunks ?? []).enumerated() {
            let parts = chunk.bytesByNode.sorted { $0.key < $1.key }.map {
                "\(Paint.node($0.key, symbols)) node \($0.key): \(Figures.capacity($0.value))"
            }
            Output.line("chunk \(number)  \(parts.joined(separator: "  "))")
        }
        if let complaint { throw Failure.wrong(complaint, report: report) }
    }
}

/// What is read back of an array; nothing, where the system does not say.
private struct Found {
    /// One a copy.
    var strips: [[(asked: Int?, found: Int?)]] = []
    var residency: Residency?
    var fraction: Double?
    var chunks: [Residency]?

    var totalBytes: UInt64 { residency?.totalBytes ?? 0 }

    init() {}

    init(
        _ array: borrowing SharedArray<UInt8>, cells: Int, byChunk: Bool
    ) throws(MusterError) {
        for copy in 0..<array.copies {
            strips.append(try array.placementStrip(cells: cells, copy: copy))
        }
        residency = try array.residency()
        fraction = try array.verifiedFraction()
        if byChunk { chunks = try array.residencyByChunk() }
    }
}

/// Reads a byte of each page.
private struct Touch: Reduction {
    let bytes: SharedArray<UInt8>.Input
    var identity: UInt64 { 0 }
    func process(_ chunk: borrowing Chunk) throws -> UInt64 {
        let bytes = bytes.span(chunk)
        return stride(from: 0, to: bytes.count, by: 4096).reduce(0) { $0 &+ UInt64(bytes[$1]) }
    }
    func combine(_ left: UInt64, _ right: UInt64) -> UInt64 { left &+ right }
}

/// `--placement`, `--pages` and `--verify-placement`.
struct PlacementOptions: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Where pages should lie: \(Placement.spelling).", valueName: "placement"))
    var placement: Placement = .firstTouch

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Pages of memory: 4k, thp (2 MiB, collapsed), 2m or 1g (of the system's pool), or auto (thp "
                + "where shares are large enough).",
            valueName: "pages"))
    var pages: Pages = .automatic

    @OptionGroup var check: PlacementCheck

    /// What is wrong with a fraction that was found (nil: the system does not say); nil: nothing.
    func complaint(_ fraction: Double?) -> String? { check.complaint(fraction, placement) }
}

/// `--verify-placement`
struct PlacementCheck: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Exit with status 1 where less than this part is where it should be, 0 to 1.",
            valueName: "fraction"))
    var verifyPlacement: Double?

    var isAsked: Bool { verifyPlacement != nil }

    func validate() throws {
        if let verifyPlacement, !(0...1).contains(verifyPlacement) {
            throw ValidationError("--verify-placement \(verifyPlacement): from 0 to 1")
        }
    }

    /// What is wrong with a fraction that was found (nil: the system does not say); nil: nothing.
    func complaint(
        _ fraction: Double?, _ placement: Placement = .firstTouch
    ) -> String? {
        guard let verifyPlacement else { return nil }
        guard let fraction else {
            return "placement \(placement): this system does not say where pages lie, so it is not "
                + "verified; 'muster doctor' says what mends that"
        }
        guard fraction < verifyPlacement else { return nil }
        return "placement \(placement): \(Output.percent(fraction, of: 1)) of the pages are where "
            + "they should be, less than \(Output.percent(verifyPlacement, of: 1)); "
            + "'muster placement --size ... --placement \(placement)' shows where they are"
    }
}

extension Placement: ExpressibleByArgument {
    /// "interleave:0,1", ...
    public init?(argument: String) { self.init(argument) }
    /// For the help.
    public var defaultValueDescription: String { description }
}

extension Pages: ExpressibleByArgument {
    /// "auto", ...
    public init?(argument: String) { self.init(argument) }
    /// For the help and completion.
    public static var allValueStrings: [String] { allCases.map(\.description) }
    /// For the help.
    public var defaultValueDescription: String { description }
}

extension Output {
    /// "97.5 %"
    static func percent(_ part: Double, of whole: Double) -> String {
        guard whole > 0 else { return "-" }
        // Not rounded up: 99.99 % is not all of it.
        return Figures.short((part / whole * 1000).rounded(.down) / 10) + " %"
    }
}

/// `muster.placement/1`
struct PlacementJSON: Encodable {
    struct Asked: Encodable {
        let kind: String
        let nodes: [Int]
        let pages: String
    }
    struct Share: Encodable {
        let node: Int
        let bytes: UInt64
    }
    struct Chunk: Encodable {
        let index: Int
        let shares: [Share]
    }
    let asked: Asked
    let shares: [Share]
    /// nil: this system does not say.
    @OrNull var verified_fraction: Double?
    let huge_page_bytes: Int
    let copies: Int
    let notes: [String]
    /// nil: not asked for, and no key then.
    let chunks: [Chunk]?

    fileprivate init<Element>(_ array: borrowing SharedArray<Element>, _ found: Found) {
        let kind = array.placement.description.prefix { $0 != ":" }
        asked = Asked(
            kind: String(kind), nodes: array.placement.nodes, pages: array.pages.description)
        shares = found.residency.map(PlacementJSON.shares) ?? []
        verified_fraction = found.fraction
        huge_page_bytes = array.hugePageBytes
        copies = array.copies
        notes = array.notes
        chunks = found.chunks?.enumerated().map {
            Chunk(index: $0.offset, shares: PlacementJSON.shares($0.element))
        }
    }

    private static func shares(_ residency: Residency) -> [Share] {
        residency.bytesByNode.sorted { $0.key < $1.key }.map {
            Share(node: $0.key, bytes: $0.value)
        }
    }
}
