// StatsSelectionTests.swift - percentiles, chosen bins, and standard input of `muster stats`.

import Foundation
import Testing

@Suite struct StatsSelectionTests {
    let folder: TemporaryFolder
    init() throws { folder = try TemporaryFolder() }

    private func stats(_ arguments: String...) throws -> [String: Any] {
        let result = try CommandRunner.run(["stats"] + arguments + ["--json"])
        #expect(result.status == 0, "\(result)")
        return try result.json()
    }

    private func value(_ found: [String: Any], _ index: Int) -> Double? {
        let all = found["percentiles"] as? [[String: Any]]
        return number(all?[index]["value"])
    }

    @Test("Percentiles are elements of the sorted data, or NumPy's interpolation between two")
    func percentiles() throws {
        var values = StatsFiles.awkward(count: 70_001, seed: 7)
        values[5] = -1e300
        let sorted = values.filter(\.isFinite).sorted()
        let path = try folder.write("a.npy", StatsFiles.npy(values))
        for size in ["1", "3"] {
            let found = try stats(path, "-n", size, "--percentiles", "100,0,50,12.5")
            #expect(value(found, 0) == sorted.last)
            #expect(value(found, 1) == -1e300)
            for (index, percent) in [(2, 50.0), (3, 12.5)] {
                let place = percent / 100 * Double(sorted.count - 1)
                let low = sorted[Int(place)]
                let high = sorted[min(Int(place) + 1, sorted.count - 1)]
                let part = place - place.rounded(.down)
                let expected =
                    part < 0.5 ? low + (high - low) * part : high - (high - low) * (1 - part)
                #expect(value(found, index) == expected, "\(percent)")
            }
        }
    }

    @Test("Percentiles of 8-byte integers are exact")
    func integers() throws {
        let values: [Int64] = [.min, 9_007_199_254_740_993, .max]
        let path = try folder.write("i.npy", StatsFiles.npy(values))
        let result = try CommandRunner.run(["stats", path, "--percentiles", "0,50,100"])
        #expect(result.status == 0)
        for word in ["-9223372036854775808", "9007199254740993", "9223372036854775807"] {
            #expect(result.output.contains(word), "\(result.output)")
        }
        // The middle of two is whole, and no double: the double nearest to it ends in 992.
        let middle = try folder.write(
            "m.npy", StatsFiles.npy([9_007_199_254_740_991, 9_007_199_254_740_995] as [Int64]))
        let found = try CommandRunner.run(["stats", middle, "--percentiles", "50"])
        #expect(found.output.contains("median         9007199254740993\n"), "\(found.output)")
    }

    @Test(
        "A histogram covers the range that is given, and says what lies outside; --log has equal ratios"
    )
    func bins() throws {
        let path = try folder.write("b.npy", StatsFiles.npy([0.5, 1, 3, 10, 100, 1000]))
        let ranged = try stats(path, "--range", "1,3", "--bins", "2")
        let histogram = ranged["histogram"] as? [String: Any]
        #expect(histogram?["edges"] as? [Double] == [1, 2, 3])
        #expect(histogram?["counts"] as? [Int] == [1, 1])
        #expect(histogram?["outside_count"] as? Int == 4)
        let log = try stats(path, "--range", "1,1000", "--log", "--bins", "3")
        #expect((log["histogram"] as? [String: Any])?["outside_count"] as? Int == 1)
        let below = try CommandRunner.run(["stats", path, "--range", "0,1", "--log"])
        #expect(below.status == 64 && below.errors.contains("above 0"), "\(below)")
        for (option, value) in [
            ("--range", "3,1"), ("--range", "1"), ("--range", "0,nan"), ("--percentiles", "101"),
            ("--percentiles", "5,,7"),
            ("--percentiles", Array(repeating: "1", count: 33).joined(separator: ",")),
        ] {
            let wrong = try CommandRunner.run(["stats", path, option, value])
            #expect(wrong.status == 64 && wrong.errorLines.count == 1, "\(wrong)")
            #expect(wrong.errors.contains("\(option)"), "\(wrong)")
        }
    }

    @Test(
        "Standard input can be a file or a pipe",
        arguments: ["\"$1\" stats - < \"$2\"", "cat \"$2\" | \"$1\" stats -"])
    func standardInput(_ line: String) throws {
        let path = try folder.write("s.npy", StatsFiles.npy([1.0, 2, 3.5]))
        let result = try CommandRunner.run(
            ["-c", line, "sh", CommandRunner.muster, path], program: "/bin/sh")
        #expect(result.status == 0 && result.output.contains("6.5"), "\(result)")
        let wrong = try CommandRunner.run(
            [
                "-c", line, "sh", CommandRunner.muster,
                try folder.write("t.npy", Array("text".utf8)),
            ],
            program: "/bin/sh")
        #expect(
            wrong.status == 2 && wrong.errors.hasPrefix("muster: standard input: not a .npy file"),
            "\(wrong)")
    }

    @Test("A pipe that is larger than a file may be: the limit is named, and nothing is left")
    func limitedCopy() throws {
        let path = try folder.write("l.npy", StatsFiles.npy([Double](repeating: 1, count: 100_000)))
        let result = try CommandRunner.run(
            [
                "-c", "ulimit -f 100; cat \"$2\" | TMPDIR=\"$3\" \"$1\" stats -", "sh",
                CommandRunner.muster, path, folder.path(""),
            ], program: "/bin/sh")
        #expect(result.status == 2 && result.output == "", "\(result)")
        #expect(result.errors.contains("ulimit -f"), "\(result)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path("")) == ["l.npy"])
    }

    @Test(
        "Standard input that is no file: one line",
        arguments: ["<&-", "< /dev/null", "< /"])
    func noStandardInput(_ redirection: String) throws {
        let result = try CommandRunner.run(
            ["-c", "\"$1\" stats - \(redirection)", "sh", CommandRunner.muster], program: "/bin/sh")
        #expect(result.status == 2 && result.errorLines.count == 1, "\(result)")
        #expect(result.errors.hasPrefix("muster: standard input: "), "\(result)")
    }
}
