// StatsTests.swift - `muster stats`: right numbers, the same bits for every team, all keys.

import Foundation
import Muster
import Testing

@Suite struct StatsTests {
    let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    private func stats(_ path: String, _ options: String...) throws -> [String: Any] {
        let result = try CommandRunner.run(["stats", path, "--json"] + options)
        try #require(result.status == 0, "\(result.errors)")
        return try result.json()
    }

    @Test("The same bits for any team size and schedule, and every chunk exactly once")
    func sameBits() throws {
        let seed: UInt64 = 20_261_122
        let path = try folder.write(
            "a.npy", StatsFiles.npy(StatsFiles.awkward(count: 100_003, seed: seed)))
        var seen: Set<[String]> = []
        for size in [1, 2, 3, 8, 31] {
            for schedule in Schedule.allCases {
                let found = try stats(path, "-n", "\(size)", "--schedule", "\(schedule)")
                let moments = ["sum_bits", "mean", "standard_deviation", "minimum", "maximum"]
                let histogram = found["histogram"] as? [String: Any]
                seen.insert(
                    moments.map { "\(found[$0]!)" }
                        + ["\(histogram!["counts"]!)", "\(histogram!["edges"]!)"])
                let audit = try #require(found["audit"] as? [String: Any])
                #expect(audit["exactly_once"] as? Int == audit["chunks"] as? Int)
                #expect(audit["chunks"] as! Int >= 2 * 4)
                #expect((audit["missing"] as? [Any])?.isEmpty == true)
                #expect((audit["repeated"] as? [Any])?.isEmpty == true)
                #expect((found["team"] as? [String: Any])?["size"] as? Int == size)
            }
        }
        #expect(seen.count == 1, "seed \(seed): \(seen.map { $0.prefix(3) })")
    }

    @Test("Agrees with a plain computation")
    func agreesWithPlainComputation() throws {
        let seed: UInt64 = 7
        let elements = StatsFiles.awkward(count: 50_021, seed: seed)
        let found = try stats(
            try folder.write("a.npy", StatsFiles.npy(elements)), "--bins", "37", "-n", "3")
        let finite = elements.filter(\.isFinite)
        #expect(found["count"] as? Int == elements.count)
        #expect(found["nan_count"] as? Int == elements.count { $0.isNaN })
        #expect(found["infinity_count"] as? Int == elements.count { $0.isInfinite })
        #expect(number(found["minimum"]) == finite.min())
        #expect(number(found["maximum"]) == finite.max())

        // Neumaier's sum errs by about one rounding of the true sum; ours by far less than this bound.
        var sum = 0.0
        var rest = 0.0
        for x in finite {
            let next = sum + x
            rest += abs(sum) >= abs(x) ? (sum - next) + x : (x - next) + sum
            sum = next
        }
        sum += rest
        let bound = 40 * Double.ulpOfOne * finite.reduce(0) { $0 + abs($1) }
        let ours = try #require(number(found["sum"]))
        #expect(abs(ours - sum) <= bound, "seed \(seed)")
        let bits = try #require(found["sum_bits"] as? String)
        #expect(bits.count == 16 && UInt64(bits, radix: 16) == ours.bitPattern)

        let mean = sum / Double(finite.count)
        let variance = finite.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(finite.count)
        #expect(abs(number(found["mean"])! - mean) <= bound / Double(finite.count))
        let deviation = number(found["standard_deviation"])!
        #expect(abs(deviation - variance.squareRoot()) <= 1e-10 * deviation)

        let histogram = try #require(found["histogram"] as? [String: Any])
        let edges = try #require((histogram["edges"] as? [Any])?.compactMap(number))
        let counts = try #require(histogram["counts"] as? [Int])
        try #require(edges.count == 38 && counts.count == 37)
        #expect(edges.first == finite.min() && edges.last == finite.max())
        let expected = (0..<37).map { bin in
            finite.count { x in
                x >= edges[bin] && (x < edges[bin + 1] || (bin == 36 && x == edges[37]))
            }
        }
        #expect(counts == expected)
    }

    @Test("Exactly the keys that are documented")
    func keys() throws {
        let all: Set = [
            "schema", "file", "dtype", "shape", "count", "nan_count", "infinity_count", "sum",
            "sum_bits", "mean", "standard_deviation", "minimum", "maximum", "percentiles",
            "histogram", "files", "axis", "channels", "notes", "team", "audit", "elapsed_s",
            "rate_gb_per_s", "timeline",
        ]
        let path = try folder.write("a.npy", StatsFiles.npy([1.0, 2, 3, 6], shape: [2, 2]))
        let found = try stats(path, "-n", "2", "--schedule", "guided")
        #expect(Set(found.keys) == all)
        #expect(found["schema"] as? String == "muster.stats/1")
        #expect(found["file"] as? String == path)
        #expect(found["dtype"] as? String == "float64")
        #expect(found["shape"] as? [Int] == [2, 2])
        #expect(number(found["sum"]) == 12)
        #expect(found["sum_bits"] as? String == "4028000000000000")
        #expect(
            Set((found["histogram"] as! [String: Any]).keys) == [
                "edges", "counts", "outside_count",
            ])
        let numbers: Set = [
            "count", "nan_count", "infinity_count", "sum", "sum_bits", "mean", "standard_deviation",
            "minimum", "maximum",
        ]
        let files = found["files"] as! [[String: Any]]
        #expect(files.map { Set($0.keys) } == [numbers.union(["file", "dtype", "shape"])])
        let channels = try stats(path, "--axis", "0")["channels"] as! [[String: Any]]
        let keys = numbers.union(["index", "percentiles"])
        #expect(channels.map { Set($0.keys) } == [keys, keys])
        let team = found["team"] as! [String: Any]
        #expect(Set(team.keys) == ["size", "schedule"])
        #expect(team["schedule"] as? String == "guided")
        #expect(
            Set((found["audit"] as! [String: Any]).keys)
                == AuditKeys.all)
        #expect(number(found["elapsed_s"])! > 0)
        #expect(number(found["rate_gb_per_s"])! > 0)

        // What there is not is null, and its key stays.
        let empty = try stats(try folder.write("e.npy", StatsFiles.npy([Double](), shape: [0, 3])))
        #expect(Set(empty.keys) == all)
        for key in [
            "mean", "standard_deviation", "minimum", "maximum", "histogram", "rate_gb_per_s",
            "timeline", "axis", "channels", "percentiles",
        ] {
            #expect(empty[key] is NSNull, "\(key)")
        }
        #expect(empty["count"] as? Int == 0)
        #expect(number(empty["sum"]) == 0)
        #expect((empty["audit"] as! [String: Any])["chunks"] as? Int == 0)
    }

    @Test("Every numeric type")
    func types() throws {
        func check<Element: NPYElement>(_ elements: [Element], _ sum: Double, _ name: String) throws
        {
            let found = try stats(try folder.write("\(name).npy", StatsFiles.npy(elements)))
            #expect(found["dtype"] as? String == name)
            #expect(number(found["sum"]) == sum, "\(name)")
        }
        try check([1, 2, -4.5] as [Float16], -1.5, "float16")
        try check([1, 2, -4.5] as [Float], -1.5, "float32")
        try check([1, 2, -4.5] as [Double], -1.5, "float64")
        try check([127, -128, -128] as [Int8], -129, "int8")
        try check([32767, -32768, -32768] as [Int16], -32769, "int16")
        try check([.max, .max, .min] as [Int32], 2_147_483_646, "int32")
        // Beyond 64 bits, and exact: (2^63 - 1) * 2 + 1 = 2^64 - 1, rounded once.
        try check([.max, .max, 1] as [Int64], 0x1p64, "int64")
        try check([255, 255] as [UInt8], 510, "uint8")
        try check([65535, 65535] as [UInt16], 131_070, "uint16")
        try check([.max, .max] as [UInt32], 8_589_934_590, "uint32")
        try check([.max, 1] as [UInt64], 0x1p64, "uint64")
    }

    @Test("The layout of the data changes nothing: order, byte order, alignment, name of the type")
    func layouts() throws {
        // Enough for several chunks and an odd end.
        let count = 3 * 70_001
        let values = StatsFiles.awkward(count: count, seed: 21)
        let plain = try stats(
            try folder.write("plain.npy", StatsFiles.npy(values)), "-n", "2", "--bins", "7")
        let swapped = values.map { $0.bitPattern.bigEndian }
        let layouts: [(String, String, String, [UInt8])] = [
            ("<f8", "True", "(3, 70001)", StatsFiles.bytes(of: values)),
            (">f8", "False", "(3, 70001)", StatsFiles.bytes(of: swapped)),
            (">d", "True", "(70001, 3)", StatsFiles.bytes(of: swapped)),
            ("float64", "False", "(210003,)", StatsFiles.bytes(of: values)),
        ]
        for (descr, order, shape, data) in layouts {
            for shift in [0, 1, 3] {
                let header = "{'descr': '\(descr)', 'fortran_order': \(order), 'shape': \(shape)}"
                let path = try folder.write(
                    "layout.npy", StatsFiles.npy(header: header, data, shift: shift))
                for size in ["1", "3"] {
                    let found = try stats(path, "-n", size, "--bins", "7")
                    for key in ["sum_bits", "dtype"] {
                        #expect(found[key] as? String == plain[key] as? String, "\(header)")
                    }
                    for key in [
                        "count", "nan_count", "mean", "standard_deviation", "minimum", "maximum",
                    ] {
                        #expect(number(found[key]) == number(plain[key]), "\(key): \(header)")
                    }
                    let counts = (found["histogram"] as? [String: Any])?["counts"] as? [Int]
                    let expected = (plain["histogram"] as? [String: Any])?["counts"] as? [Int]
                    #expect(counts == expected, "\(header)")
                }
            }
        }
    }

    @Test("Of a bool file, every byte but 0 counts as true")
    func bool() throws {
        let path = try folder.write(
            "b.npy", StatsFiles.npy(dtype: .bool, shape: [6], [0, 1, 7, 255, 0, 0]))
        let found = try stats(path, "--bins", "2")
        #expect(found["dtype"] as? String == "bool")
        #expect(number(found["sum"]) == 3)
        #expect(number(found["maximum"]) == 1)
        #expect((found["histogram"] as! [String: Any])["counts"] as? [Int] == [3, 3])
    }

    @Test("Arrays without a dimension, without a finite element, with ends that overflow")
    func corners() throws {
        let scalar = try stats(try folder.write("s.npy", StatsFiles.npy([3.5], shape: [])))
        #expect(scalar["shape"] as? [Int] == [])
        #expect(number(scalar["mean"]) == 3.5)
        let edges = (scalar["histogram"] as! [String: Any])["edges"] as! [Double]
        #expect(edges.first == 3 && edges.last == 4)

        let nothing = try stats(
            try folder.write("n.npy", StatsFiles.npy([.nan, .infinity] as [Double])))
        #expect(nothing["nan_count"] as? Int == 1 && nothing["infinity_count"] as? Int == 1)
        #expect(nothing["histogram"] is NSNull && nothing["mean"] is NSNull)

        // Their distance is beyond a double: NumPy refuses it, we do not.
        let wide = try stats(
            try folder.write("w.npy", StatsFiles.npy([-1.7e308, 0, 1.7e308])), "--bins", "4")
        #expect((wide["histogram"] as! [String: Any])["counts"] as? [Int] == [1, 0, 1, 1])
        #expect(abs(number(wide["standard_deviation"])! / 1.7e308 - (2.0 / 3).squareRoot()) < 1e-15)
    }

    @Test("The text names everything and draws the histogram")
    func text() throws {
        let path = try folder.write("a.npy", StatsFiles.npy([0.1, 0.2, 0.2, .nan] as [Double]))
        let result = try CommandRunner.run(["stats", path, "--bins", "2", "-n", "1"])
        #expect(result.status == 0 && result.errors == "")
        for word in [
            "float64", "(4,)", "std deviation", "0.1 │", "█", "GB/s", "2 passes over 32 B",
            "statistics: 4 chunks, each exactly once, by 1 rank",
            "histogram: 4 chunks, each exactly once, by 1 rank",
        ] {
            #expect(result.output.contains(word), "\(word) in \(result.output)")
        }
        #expect(!result.output.contains("\u{1B}"), "no colours where there is no terminal")
    }

    @Test("More ranks than CPUs, and than chunks, work; the first is said once")
    func manyRanks() throws {
        let path = try folder.write("a.npy", StatsFiles.npy([1.0, 2, 3]))
        let size = try Topology.read().usableCPUCount + 6
        let result = try CommandRunner.run(["stats", path, "-n", "\(size)", "--json"])
        #expect(result.status == 0)
        #expect(result.errorLines.count == 1 && result.errors.contains("\(size) ranks share"))
        #expect(number(try result.json()["sum"]) == 6)
    }
}
