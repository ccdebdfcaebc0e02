// StrayMemberScenarios.swift - members in Swift whose kernels are wrong, for tests of what `muster run`
// says of them.

@preconcurrency import Glibc
import Muster

/// The elements of a chunk, doubled; chunk 3 does what is wrong.
@inline(never)
private func double(
    _ x: MemberArray<Double>, _ a: MemberArray<Double>, _ part: MemberLoop.Element, _ wrong: String
) {
    x.write(part) { values in
        for i in values.indices { values[i] *= 2 }
        guard part.index == 3 else { return }
        switch wrong {
        case "index": for i in part.range { values[i] = 0 }
        case "beyond": values.withUnsafeMutableBufferPointer { $0.baseAddress![$0.count] = 1 }
        case "words": fatalError("\(3 + opaqueZero()) is no even number")
        case "null": UnsafeMutablePointer<Int>(bitPattern: 16 + opaqueZero())!.pointee = 1
        case "input": a[7] = 1
        default: break
        }
    }
}

private func doubleAll(_ me: borrowing Muster.Member, _ wrong: String) throws(MusterError) {
    let x = try me.array("x", of: Double.self, count: 1 << 15)
    let a = try me.array("a", of: Double.self, count: 1 << 15)
    let loop = try me.loop(
        over: x.count, schedule: .cyclic, grain: 4096, name: "double",
        uses: [x.use(.inPlace), a.use(.input)])
    for part in loop { double(x, a, part, wrong) }
    try loop.end()
    try me.barrier()
}

/// Arguments: what is wrong. A rank of a team.
func strayMember(_ arguments: [String]) throws {
    let me = try Muster.Member.join()
    // One that is started again makes no mistake, but for what check mode finds.
    let wrong = me.incarnation == 1 || arguments[0] == "beyond" ? arguments[0] : "nothing"
    if me.incarnation > 1 { try me.recover() }
    while true {
        do throws(MusterError) {
            try doubleAll(me, wrong)
            return
        } catch {
            guard error.code == .rankDied else { throw error }
        }
        try me.recover()
    }
}
