// LibraryKernel.swift - a kernel of the user's, from a shared library: `kernel`.
//
// The library is loaded by the leader before the team is forked, so its functions are at the same
// addresses in every rank. It declares what it moves, as Muster's own kernels do.

internal import MusterCore
internal import Glibc
internal import Muster

/// Functions of a library, found by name.
private struct Library {
    let kernel: muster_user_kernel
    let check: muster_user_check?
    let cost: muster_kernel_cost

    init(_ path: String, _ name: String) throws(MusterError) {
        // A name without a slash would be looked for where system libraries are.
        let full = path.utf8.contains(UInt8(ascii: "/")) ? path : "./" + path
        let handle = full.withFileName { dlopen($0, RTLD_NOW | RTLD_LOCAL) }
        guard let library = handle else {
            throw Library.missing(path, "can't load it: \(Library.reason())")
        }
        guard let function = dlsym(library, name) else {
            throw Library.missing(path, "it has no function \(name)")
        }
        guard let cost = dlsym(library, name + "_cost") else {
            throw Library.missing(
                path,
                "it has no \(name)_cost: declare `const struct muster_kernel_cost \(name)_cost = "
                    + "{\"\(name)\", BYTES, FLOPS};` beside the function")
        }
        kernel = unsafeBitCast(function, to: muster_user_kernel.self)
        check = dlsym(library, name + "_check").map {
            unsafeBitCast($0, to: muster_user_check.self)
        }
        self.cost = cost.load(as: muster_kernel_cost.self)
        guard self.cost.bytes_per_element > 0 else {
            throw Library.missing(path, "\(name)_cost says that an element has 0 bytes")
        }
    }

    /// The loader's words, in which the name stands byte by byte.
    private static func reason() -> String {
        guard let text = dlerror() else { return "no reason given" }
        return String(fileName: UnsafeRawBufferPointer(start: text, count: strlen(text)))
    }

    private static func missing(_ path: String, _ reason: String) -> MusterError {
        MusterError(.file, subject: "--kernel-library \(path)", reason: reason)
    }
}

private struct UserKernel: Kernel {
    let function: muster_user_kernel
    let to: SharedArray<Double>.Output
    let a: SharedArray<Double>.Input
    let b: SharedArray<Double>.Input

    func process(_ chunk: borrowing Chunk) throws {
        let (a, b) = (a.span(chunk), b.span(chunk))
        to.write(chunk) { to in
            to.withUnsafeMutableBufferPointer { to in
                a.withUnsafeBufferPointer { a in
                    b.withUnsafeBufferPointer { b in
                        function(to.baseAddress, a.baseAddress, b.baseAddress, to.count)
                    }
                }
            }
        }
    }
}

private struct UserCheck: Reduction {
    let function: muster_user_check
    let to: SharedArray<Double>.Input
    let a: SharedArray<Double>.Input
    let b: SharedArray<Double>.Input

    var identity: Int { 0 }

    func process(_ chunk: borrowing Chunk) throws -> Int {
        let (to, a, b) = (to.span(chunk), a.span(chunk), b.span(chunk))
        return to.withUnsafeBufferPointer { to in
            a.withUnsafeBufferPointer { a in
                b.withUnsafeBufferPointer { b in
                    function(to.baseAddress, a.baseAddress, b.baseAddress, to.count)
                }
            }
        }
    }

    func combine(_ left: Int, _ right: Int) -> Int { left + right }
}

private struct Begin: Kernel {
    let a: SharedArray<Double>.Output
    let b: SharedArray<Double>.Output
    func process(_ chunk: borrowing Chunk) throws {
        let first = chunk.range.lowerBound
        a.write(chunk) { a in for i in a.indices { a[i] = Double((first + i) % 1021) } }
        b.write(chunk) { b in for i in b.indices { b[i] = Double((first + i) % 509) } }
    }
}

extension BenchTest {
    static let kernel = BenchTest(
        "kernel", "a kernel of your own: --kernel-library FILE.so --kernel NAME",
        method: [
            "void NAME(double *to, const double *a, const double *b, size_t count), called for each "
                + "chunk by the rank that has it; bytes as `const struct muster_kernel_cost NAME_cost` "
                + "declares them; a[i] = i mod 1021, b[i] = i mod 509",
            "size_t NAME_check(const double *to, const double *a, const double *b, size_t count), where "
                + "there is one, returns how many elements are wrong; without it results are not checked",
        ],
        isInTour: false, seconds: { _, _ in 2 }
    ) { run throws(MusterError) in
        guard let (path, name) = run.settings.library else {
            throw MusterError(
                .invalidArgument, subject: "kernel",
                reason: "needs --kernel-library FILE.so and --kernel NAME")
        }
        let library = try Library(path, name)
        let grain = StreamBench.grain
        let elements = max(1, run.settings.arrayBytes(run.host) / 8)
        let ranks = run.ranks
        let team = try Team(size: ranks, binding: run.settings.binding)
        let pages = run.settings.pages ?? .automatic
        var to = try team.array(of: Double.self, count: elements, pages: pages)
        let a = try team.array(of: Double.self, count: elements, pages: pages)
        let b = try team.array(of: Double.self, count: elements, pages: pages)
        for note in to.notes + a.notes + b.notes { run.note("kernel: \(note)") }
        try run.tracer?.begin(team)
        run.add(try team.run(Begin(a: a.output, b: b.output), grain: grain))
        let work = UserKernel(function: library.kernel, to: to.output, a: a.input, b: b.input)
        var values: [Double] = []
        let samples = run.samples(10)
        for round in 0...samples {
            try run.progress(Double(round) / Double(samples + 1))
            let started = nanoseconds()
            run.add(try team.run(work, grain: grain))
            let elapsed = nanoseconds() - started
            let bytes = Double(library.cost.bytes_per_element) * Double(elements)
            if round > 0 { values.append(bytes / elapsed) }
        }
        if run.settings.isSpoilt { to[0] += 1 }
        if let check = library.check {
            let (wrong, report) = try team.reduce(
                UserCheck(function: check, to: to.input, a: a.input, b: b.input), grain: grain)
            run.add(report)
            try run.require(
                wrong == 0, "kernel \(name)", "\(wrong) of \(elements) elements are wrong")
        } else {
            run.note("kernel \(name): there is no \(name)_check, so its results were not checked")
        }
        try run.tracer?.end(team, "kernel")
        let placed = try run.placed("kernel") { () throws(MusterError) in
            min(try to.verifiedFraction(), try a.verifiedFraction(), try b.verifiedFraction())
        }
        run.add(
            Row(
                test: "kernel", kernel: name, ranks: ranks, quantity: .rate,
                samples: Samples(values),
                parameters: [
                    "size_bytes": .number(elements * 8),
                    "bytes_per_element": .number(Int(library.cost.bytes_per_element)),
                    "flops_per_element": .number(Int(library.cost.flops_per_element)),
                ], placedFraction: placed, isVerified: library.check != nil))
    }
}
