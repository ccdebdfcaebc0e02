// FileNameTests.swift - names are bytes: what a String carries comes back as it was.

import MusterCore
import Foundation
import Testing

@testable import Muster

@Suite("Names of files")
struct FileNameTests {
    @Test("Any bytes come back unchanged, and different bytes are different names, also shown")
    func roundTrip() {
        // The escapes' own range, their bytes one by one, torn and overlong sequences, surrogates.
        var names: [[UInt8]] = [
            [], [0xF1], [0xC3], [0xC3, 0xB1], [0xF4, 0x8F, 0xBE, 0x80], [0xF4, 0x8F, 0xBF, 0xBF],
            [0xF4, 0x8F, 0xBD, 0xBF], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xEF, 0xBF, 0xBD],
            Array("\\xf1".utf8), Array("a\nb".utf8), Array("a\\nb".utf8), Array("e\u{301}".utf8),
            Array("\u{e9}".utf8), Array("\u{202E}x".utf8),
        ]
        let seed = UInt64.random(in: 0...UInt64.max)
        var state = seed
        func next() -> UInt8 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
        for _ in 0..<3000 {
            // Half of the bytes from UTF-8's upper range, so that sequences are whole now and then.
            names.append(
                (0..<Int(next() % 12)).map { _ in
                    let byte = next()
                    return next() < 128 ? byte | 0x80 : byte
                })
        }
        var shown: [String: [UInt8]] = [:]
        for name in names {
            let text = String(fileName: name)
            #expect(text.fileNameBytes == name, "seed \(seed): \(name)")
            #expect(String(validating: text.utf8, as: UTF8.self) != nil)
            #expect(
                text.withFileName { String(fileName: $0) }.utf8.elementsEqual(
                    String(fileName: name.prefix { $0 != 0 }).utf8))
            // Swift's == takes differently composed characters for one: compared are the bytes.
            let key = "\(Array(text.shownName.utf8))"
            #expect(shown[key] == nil || shown[key] == name, "seed \(seed): \(name)")
            shown[key] = name
        }
    }

    @Test("A name is shown on one line")
    func shown() {
        let name = String(fileName: Array("mu".utf8) + [0xF1] + Array("oz\u{1B}\n\\".utf8))
        #expect(name.shownName == #"mu\xf1oz\u{1B}\n\\"#)
        #expect(name.jsonName == "mu\\xf1oz\u{1B}\n\\\\")
        #expect(name.shellWord == #"$'mu\xf1oz\x1b\n\\'"#)
        #expect(
            "a b".shellWord == "'a b'" && "a-1.npy".shellWord == "a-1.npy" && "".shellWord == "''")
        #expect("it's".shellWord == #"$'it\'s'"#)
    }

    @Test("A word list that is too long is said with its limits")
    func tooLong() {
        var text = [CChar](repeating: 0, count: 512)
        #expect(muster_supervisor_explain("true", -E2BIG, &text, text.count) == 1)
        let words = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
        #expect(words.contains("ulimit -s"))
        #expect(muster_supervisor_explain("true", -EIO, &text, text.count) == 0)
    }

    @Test("A name with a NUL in it is refused, and no file that its beginning names is opened")
    func nul() {
        #expect(throws: MusterError.self) { _ = try NPYHeader(path: "/dev/null\0x") }
        do {
            _ = try NPYHeader(path: "/dev/null\0x")
        } catch {
            #expect("\(error)".contains("NUL byte") && !"\(error)".contains("\0"), "\(error)")
        }
    }
}
