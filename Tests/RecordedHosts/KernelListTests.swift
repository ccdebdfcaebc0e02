// The parser of the kernel's lists of CPUs and nodes.

import MusterCore
import TestSupport
import Testing

/// The count that `muster_list_parse` returns, and the numbers, nil for an error.
func parseList(_ text: String, capacity: Int) -> (count: Int64, ids: [UInt32]?) {
    let beyond = UInt32.max
    var ids = [UInt32](repeating: beyond, count: capacity + 1)
    let count = muster_list_parse(text, &ids, capacity)
    #expect(ids[capacity] == beyond, "\(text) written beyond the capacity")
    return (count, count < 0 ? nil : Array(ids.prefix(min(Int(count), capacity))))
}

@Suite("Kernel lists")
struct ListTests {
    @Test(
        "A kernel list is read",
        arguments: [
            ("", []), ("\n", []), (" \t\n", []), ("0", [0]), ("7\n", [7]), ("0-3\n", [0, 1, 2, 3]),
            ("0-3,8,10-11\n", [0, 1, 2, 3, 8, 10, 11]), (" 0 ,\t2-3 \n", [0, 2, 3]), ("5-5", [5]),
            ("0,1,2", [0, 1, 2]), ("1048575", [1_048_575]),
        ] as [(String, [UInt32])])
    func readsList(text: String, expected: [UInt32]) {
        let (count, ids) = parseList(text, capacity: 16)
        #expect(count == Int64(expected.count))
        #expect(ids == expected)
    }

    @Test(
        "Anything else is not a list",
        arguments: [
            ",", "1,", ",1", "1,,2", "1,\n", "-", "1-", "-1", "1-2-3", "1--2", "1 - 2", "1 2",
            "1;2",
            "a", "1a", "all", "0x1", "+1", "1.5", "0-31:2/16", "1\n\n", "\n\n", "\n1", "1\n2",
            "1\r\n",
            "1\u{b}",
        ])
    func refusesOtherText(text: String) {
        #expect(parseList(text, capacity: 64).count == -Int64(EUCLEAN))
    }

    @Test(
        "A falling range or list is refused",
        arguments: ["3-1", "2,1", "1,1", "0-3,3", "0-3,2-5", "4-6,0-3"])
    func refusesFalling(text: String) {
        #expect(parseList(text, capacity: 64).count == -Int64(EUCLEAN))
    }

    @Test(
        "A number above the limit is refused",
        arguments: [
            "1048576", "0-1048576", "0,1048576", "4294967296", "18446744073709551616",
            "99999999999999999999999999999999999999999999",
        ])
    func refusesLargeNumbers(text: String) {
        #expect(parseList(text, capacity: 64).count == -Int64(EUCLEAN))
    }

    @Test("The count may exceed the capacity")
    func capacity() {
        #expect(parseList("0-9,20", capacity: 4) == (11, [0, 1, 2, 3]))
        #expect(parseList("0-9,20", capacity: 10) == (11, Array(0...9)))
        #expect(muster_list_parse("0-1048575", nil, 0) == 1_048_576)
    }

    /// Writes `ids` as the kernel's `%*pbl` does.
    private func kernelList(_ ids: [UInt32]) -> String {
        var ranges: [ClosedRange<UInt32>] = []
        for id in ids {
            if let last = ranges.last, last.upperBound + 1 == id {
                ranges[ranges.count - 1] = last.lowerBound...id
            } else {
                ranges.append(id...id)
            }
        }
        let parts = ranges.map {
            $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
        }
        return parts.joined(separator: ",") + "\n"
    }

    @Test("A list written and read again is the same")
    func roundTrip() {
        for seed in UInt64(1)...300 {
            var random = Seeded(seed)
            let limit = UInt32(1) << UInt32.random(in: 1...20, using: &random)
            let density = Double.random(in: 0...1, using: &random)
            let numbers = (0..<200).map { _ in UInt32.random(in: 0..<limit, using: &random) }
            let runs = numbers.flatMap { number in
                Double.random(in: 0..<1, using: &random) < density
                    ? [number] : [number, min(number + 1, limit - 1), min(number + 2, limit - 1)]
            }
            let ids = Set(runs).sorted()
            let text = kernelList(ids)
            let (count, parsed) = parseList(text, capacity: ids.count)
            #expect(count == Int64(ids.count), "seed \(seed)")
            #expect(parsed == ids, "seed \(seed)")
        }
    }
}
