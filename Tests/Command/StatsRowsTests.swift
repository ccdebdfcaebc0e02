// StatsRowsTests.swift - `muster stats` of several files, and of channels.

import Foundation
import Muster
import Testing

@Suite struct StatsRowsTests {
    let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    private func stats(_ arguments: [String]) throws -> [String: Any] {
        let result = try CommandRunner.run(["stats"] + arguments + ["--json"])
        try #require(result.status == 0, "\(result)")
        return try result.json()
    }

    private func rows(_ found: [String: Any], _ key: String) throws -> [[String: Any]] {
        try #require(found[key] as? [[String: Any]])
    }

    private func text(_ value: Any?) throws -> String {
        let data = try JSONSerialization.data(withJSONObject: value!, options: .sortedKeys)
        return String(decoding: data, as: UTF8.self)
    }

    @Test("Several files: a row each, and all as one data set, the same bits for any team")
    func files() throws {
        let values = StatsFiles.awkward(count: 90_001, seed: 31)
        let whole = try folder.write("whole.npy", StatsFiles.npy(values))
        let cuts = [0, 1, 40_000, 40_000, 90_001]
        let parts = try zip(cuts, cuts.dropFirst()).enumerated().map { index, cut in
            try folder.write("part\(index).npy", StatsFiles.npy(Array(values[cut.0..<cut.1])))
        }
        let expected = try stats([whole, "--percentiles", "5,50", "--bins", "7"])
        for size in ["1", "3"] {
            let found = try stats(parts + ["-n", size, "--percentiles", "5,50", "--bins", "7"])
            #expect(found["file"] is NSNull && found["shape"] is NSNull)
            #expect(found["dtype"] as? String == "float64")
            for key in ["sum_bits", "mean", "count", "nan_count", "minimum", "maximum"] {
                #expect("\(found[key]!)" == "\(expected[key]!)", "\(key)")
            }
            for key in ["histogram", "percentiles"] {
                #expect(try text(found[key]) == text(expected[key]), "\(key)")
            }
            let each = try rows(found, "files")
            #expect(each.map { $0["file"] as? String } == parts)
            #expect(each.map { $0["count"] as? Int } == [1, 39_999, 0, 50_001])
            #expect(each[2]["mean"] is NSNull && number(each[2]["sum"]) == 0)
        }
        let text = try CommandRunner.run(["stats"] + parts)
        #expect(text.status == 0 && text.errors == "")
        for (start, count) in [(parts[1], "39,999"), ("all", "90,001")] {
            #expect(
                text.output.split(separator: "\n").contains {
                    $0.hasPrefix("\(start) ") && $0.contains(" \(count) ")
                }, "\(text.output)")
        }
    }

    @Test("A file that can't be read is named, with status 2, before any work")
    func unreadable() throws {
        let good = try folder.write("good.npy", StatsFiles.npy([1.0, 2]))
        let bad = try folder.write("bad.npy", Array("text".utf8))
        for (wrong, word) in [(bad, "not a .npy file"), (folder.path("none.npy"), "No such file")] {
            // The trace would be there if a loop had begun.
            let trace = folder.path("trace.json")
            let result = try CommandRunner.run(["stats", good, wrong, good, "--trace", trace])
            #expect(result.status == 2 && result.output == "", "\(result)")
            #expect(result.errorLines.count == 1, "\(result)")
            #expect(result.errors.hasPrefix("muster: \(wrong): ") && result.errors.contains(word))
            #expect(!FileManager.default.fileExists(atPath: trace))
        }
    }

    @Test("More files than there may be descriptors, with any bytes in their names")
    func manyFiles() throws {
        for index in 0..<60 {
            _ = try folder.write("f\(index)", StatsFiles.npy([Double(index)]))
        }
        // A byte that no UTF-8 has.
        let line = """
            cd "$2" && for i in $(seq 0 59); do mv "f$i" "$(printf 'f%s\\361' "$i")"; done \
            && ulimit -n 40 && "$1" stats f* -n 2 --bins 1
            """
        let result = try CommandRunner.run(
            ["-c", line, "sh", CommandRunner.muster, folder.path("")], program: "/bin/sh")
        #expect(result.status == 0, "\(result)")
        #expect(
            result.output.contains("f59\\xf1") && result.output.contains("sum            1770.0"))
    }

    @Test("A row for each channel, in either order of dimensions")
    func channels() throws {
        // Channel c of (200, 300, 3) has c, c + 3, ...
        let values = (0..<180_000).map { Int32($0) }
        let file = StatsFiles.npy(values, shape: [200, 300, 3])
        let path = try folder.write("c.npy", file)
        let fortran = try folder.write(
            "f.npy",
            StatsFiles.npy(
                header: "{'descr': '<i4', 'fortran_order': True, 'shape': (3, 300, 200)}",
                StatsFiles.bytes(of: values)))
        for (path, axis) in [(path, "-1"), (path, "2"), (fortran, "0")] {
            let found = try stats([path, "--axis", axis, "-n", "2"])
            #expect(found["axis"] as? Int == Int(axis))
            let rows = try rows(found, "channels")
            #expect(rows.map { $0["index"] as? Int } == [0, 1, 2])
            #expect(rows.map { $0["count"] as? Int } == [60_000, 60_000, 60_000])
            #expect(rows.map { $0["minimum"] as? Int } == [0, 1, 2])
            #expect(rows.map { $0["maximum"] as? Int } == [179_997, 179_998, 179_999])
            #expect(rows.map { number($0["mean"]) } == [89_998.5, 89_999.5, 90_000.5])
        }
        let text = try CommandRunner.run(["stats", path, "--axis=-1"])
        #expect(text.output.contains("\naxis -1 "), "\(text.output)")
        #expect(text.output.contains("channels: "), "\(text.output)")
    }

    @Test("Percentiles of each channel, and of all of them")
    func percentilesOfChannels() throws {
        // Channel c has c, c + 3, c + 6, ...: 60,000 numbers, and one NaN in the last one.
        var values = (0..<180_000).map(Double.init)
        values[179_999] = .nan
        let path = try folder.write("p.npy", StatsFiles.npy(values, shape: [200, 300, 3]))
        let all = try stats([path, "--axis=-1", "--percentiles", "0,50,100", "-n", "2"])
        let rows = try rows(all, "channels")
        func listed(in row: [String: Any]) -> [Double?] {
            (row["percentiles"] as? [[String: Any]] ?? []).map { number($0["value"]) }
        }
        #expect(listed(in: rows[0]) == [0, 89_998.5, 179_997])
        #expect(listed(in: rows[1]) == [1, 89_999.5, 179_998])
        #expect(listed(in: rows[2]) == [2, 89_999, 179_996])
        #expect(listed(in: all) == [0, 89_999, 179_998])
        let text = try CommandRunner.run(["stats", path, "--axis=-1", "--percentiles", "50"])
        #expect(text.output.contains("percentiles of channels: "), "\(text.output)")
        let many = try folder.write(
            "m.npy", StatsFiles.npy([Int8](repeating: 1, count: 650), shape: [10, 65]))
        let refused = try CommandRunner.run(["stats", many, "--axis=1", "--percentiles", "50"])
        #expect(
            refused.status == 2 && refused.errors.contains("65 channels")
                && refused.errors.contains("64 at most"), "\(refused)")
    }

    @Test("Thousands of channels are dealt in many chunks")
    func chunksOfChannels() throws {
        let values = (0..<(4096 * 100)).map { Float($0 % 4096) }
        let path = try folder.write("w.npy", StatsFiles.npy(values, shape: [100, 4096]))
        let found = try stats([path, "--axis=-1", "-n", "2"])
        let rows = try rows(found, "channels")
        #expect(rows.map { number($0["mean"]) } == (0..<4096).map(Double.init))
        let text = try CommandRunner.run(["stats", path, "--axis=-1", "-n", "2"])
        // 16 MiB of partial results, 3.4 MiB a chunk.
        #expect(text.output.contains("channels: 4 chunks, each exactly once"), "\(text.output)")
    }

    @Test("Axes that are not there or too long: one line that names the file, status 2")
    func wrongAxes() throws {
        let path = try folder.write("a.npy", StatsFiles.npy([Int8](repeating: 1, count: 6000)))
        let other = try folder.write("b.npy", StatsFiles.npy([1.0, 2], shape: [2, 1]))
        let scalar = try folder.write("s.npy", StatsFiles.npy([1.0], shape: []))
        for (files, axis, word) in [
            ([path], "1", "one dimension; name one from 0 to 0"), ([path], "0", "6000 channels"),
            ([scalar], "-1", "no dimensions"), ([other], "-3", "2 dimensions"),
            ([other, path], "0", "6000 channels"),
        ] {
            let result = try CommandRunner.run(["stats"] + files + ["--axis=\(axis)"])
            #expect(result.status == 2 && result.errorLines.count == 1, "\(result)")
            #expect(result.errors.hasPrefix("muster: \(files.last!): "), "\(result)")
            #expect(result.errors.contains(word), "\(result)")
        }
    }

    @Test("A sum beyond the largest double is said, and float32 elements have their own digits")
    func words() throws {
        let path = try folder.write("h.npy", StatsFiles.npy([1e308, 1e308]))
        let found = try stats([path])
        #expect(found["sum"] is NSNull)
        #expect((found["notes"] as? [String])?.first?.contains("beyond the largest double") == true)
        let narrow = try folder.write("n.npy", StatsFiles.npy([0.1, 0.3] as [Float]))
        let result = try CommandRunner.run(
            ["stats", narrow, "--json", "--percentiles", "0,50,100"])
        #expect(result.output.contains("\"minimum\" : 0.1,"), "\(result.output)")
        #expect(result.output.contains("\"value\" : 0.3\n"), "\(result.output)")
        #expect((try result.json()["notes"] as? [String])?.isEmpty == true)
    }
}
