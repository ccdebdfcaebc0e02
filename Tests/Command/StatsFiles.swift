// StatsFiles.swift - the .npy files of the tests, and random numbers to fill them.

import Muster
import TestSupport

enum StatsFiles {
    /// A file as numpy.save writes it.
    static func npy<Element: NPYElement>(_ elements: [Element], shape: [Int]? = nil) -> [UInt8] {
        npy(dtype: Element.dtype, shape: shape ?? [elements.count], bytes(of: elements))
    }

    static func npy(dtype: DType, shape: [Int], _ data: [UInt8]) -> [UInt8] {
        NPYHeader.encode(dtype: dtype, shape: shape) + data
    }

    /// A file with any header text, right or wrong.
    /// `shift`: bytes that the data lie behind the place that NumPy would align them to.
    static func npy(header: String, _ data: [UInt8], shift: Int = 0) -> [UInt8] {
        let blank = 63 - (10 + header.utf8.count) % 64 + shift
        let text = Array(header.utf8) + Array(repeating: 32, count: blank) + [10]
        return [0x93] + Array("NUMPY".utf8) + [
            1, 0, UInt8(text.count % 256), UInt8(text.count / 256),
        ]
            + text + data
    }

    static func bytes<Element: BitwiseCopyable>(of elements: [Element]) -> [UInt8] {
        elements.withUnsafeBytes { Array($0) }
    }

    /// Doubles of very different sizes and both signs, with NaN, infinities, zeros and subnormals: a sum
    /// that is added up in another order has other bits.
    static func awkward(count: Int, seed: UInt64) -> [Double] {
        var random = Seeded(seed)
        return (0..<count).map { _ in
            switch random.next() % 100 {
            case 0: .nan
            case 1: .infinity
            case 2: -.infinity
            case 3: -0.0
            case 4: .leastNonzeroMagnitude
            default:
                Double(
                    sign: random.next() % 2 == 0 ? .plus : .minus,
                    exponent: Int(random.next() % 60) - 30,
                    significand: 1 + Double(random.next() >> 11) * 0x1p-53)
            }
        }
    }
}
