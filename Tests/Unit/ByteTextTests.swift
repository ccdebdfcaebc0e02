// Sizes as people type them.

import Muster
import TestSupport
import Testing

@Suite struct ByteTextTests {
    private static let sizes: [(String, Int)] = [
        ("0", 0),
        ("4096", 4096),
        ("17B", 17),
        ("17 b", 17),
        ("512k", 524_288),
        ("96M", 100_663_296),
        ("1G", 1_073_741_824),
        ("1.5GiB", 1_610_612_736),
        ("2GB", 2_000_000_000),
        ("64 MiB", 67_108_864),
        ("1kb", 1000),
        ("1KiB", 1024),
        ("3tib", 3_298_534_883_328),
        ("2P", 2_251_799_813_685_248),
        ("1PB", 1_000_000_000_000_000),
        ("007M", 7_340_032),
        ("9223372036854775807", 9_223_372_036_854_775_807),
        ("8191P", 9_222_246_136_947_933_184),
        ("0.0009765625K", 1),
        ("0.3KiB", 307),
        ("0.99999999999999999999999K", 1023),
        (" 1.25TB", 1_250_000_000_000),
    ]

    @Test("Units are binary unless they say that they are decimal", arguments: sizes)
    func read(_ text: String, _ bytes: Int) throws {
        #expect(try ByteText.bytes(text) == bytes)
    }

    private static let faults: [(String, String)] = [
        ("", "empty"),
        ("  ", "empty"),
        ("M", "digit"),
        ("GiB", "digit"),
        ("-5", "negative"),
        ("-1G", "negative"),
        ("+5", "digit"),
        ("1.2.3", "'1.2.3' is not a number"),
        ("1.", "'1.' is not a number"),
        (".5G", "'.5' is not a number"),
        ("5X", "'X' is no unit"),
        ("5MiBs", "'MiBs' is no unit"),
        ("5 M 3", "'M 3' is no unit"),
        ("1e9", "'e9' is no unit"),
        ("5iB", "'iB' is no unit"),
        ("1_000", "'_000' is no unit"),
        ("٣", "digit"),
        ("9223372036854775808", "more bytes"),
        ("8192P", "more bytes"),
        ("99999999999G", "more bytes"),
    ]

    @Test("What is no size is refused in words", arguments: faults)
    func refuse(_ text: String, _ words: String) {
        let error = #expect(throws: ByteTextError.self) { try ByteText.bytes(text) }
        #expect(error?.description.contains(words) == true, "\(String(describing: error))")
    }

    @Test("Fractions are exact, whatever their length")
    func fractions() throws {
        let seed = UInt64.random(in: 0...999_999)
        var random = Seeded(seed)
        for _ in 0..<500 {
            // A whole number of KiB, so at most 20 digits behind the point.
            let bytes = Int(random.next() % (1 << 30)) << 10
            var rest = bytes % (1 << 30)
            var text = "\(bytes >> 30)."
            repeat {
                rest *= 10
                text += "\(rest >> 30)"
                rest %= 1 << 30
            } while rest > 0
            #expect(try ByteText.bytes(text + "G") == bytes, "\(text), seed \(seed)")
        }
    }
}
