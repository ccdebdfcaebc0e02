// NPYHeaderFuzzTests.swift - mutations of NumPy headers: read or refused, and never a trap.

import Muster
import TestSupport
import Testing

extension NPYHeaderTests {
    /// In a process of its own: a trap is a failure that names the seed, not the end of the run.
    @Test(
        "No mutation of a valid header traps",
        arguments: [1, 2, 3, 4, UInt64.random(in: 5...(.max))])
    func mutations(seed: UInt64) async {
        await #expect(processExitsWith: .success, "seed \(seed)") { [seed] in
            var random = Seeded(seed)
            var acceptedCount = 0
            for round in 0..<20_000 {
                var (file, data) = mutationBase(&random)
                for _ in 0...Int(random.next() % 3) { mutate(&file, &random) }
                // Length and size are mostly mended, so that what comes after them is reached.
                if random.next() % 4 != 0 { mendLength(&file) }
                if random.next() % 4 == 0 {
                    data = [0, 1, 8, 1 << 60].randomElement(using: &random)!
                }
                let size = file.count + data
                do throws(NPYError) {
                    let header = try NPYHeader(prefix: file, fileByteCount: size)
                    acceptedCount += 1
                    let product = header.shape.contains(0) ? 0 : header.shape.reduce(1, *)
                    #expect(header.count == product, "seed \(seed), round \(round)")
                    #expect(
                        header.dataOffset + header.dataByteCount == size,
                        "seed \(seed), round \(round)")
                } catch {
                    #expect(isOneLine(error), "seed \(seed), round \(round): \(error)")
                }
            }
            // Were all refused at once, nothing would have been tested.
            #expect(acceptedCount > 200, "seed \(seed)")
        }
    }
}

/// A header of any version, and how many bytes of data make its file a good one.
private func mutationBase(_ random: inout Seeded) -> (file: [UInt8], data: Int) {
    let texts = [
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }", 24),
        ("{'descr': '|u1', 'fortran_order': True, 'shape': (1, 24), }", 24),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", 24),
        ("{'descr': '<i2', 'fortran_order': False, 'shape': (), }", 2),
        ("{'descr': '>i8', 'fortran_order': False, 'shape': (0, 5), }", 0),
        ("{'descr': [('a', '<f4'), ('b', [('c', '|S4')])], 'shape': (3L,), }", 24),
    ]
    let (text, data) = texts.randomElement(using: &random)!
    return (npy(text, major: UInt8.random(in: 1...3, using: &random)), data)
}

private func mutate(_ file: inout [UInt8], _ random: inout Seeded) {
    let tokens = [
        "(", ")", "[", "]", "{", "}", ",", ":", "'", "\"", "\\", "-", "0", "9", "L", ".", "e", "\0",
        "True", "None", "\n", "'shape'", ">", "|", "9223372036854775807", "-9223372036854775808",
        "99999999999999999999999", "\u{E9}", "((((((((((((((((",
    ]
    let place = Int.random(in: 0...file.count, using: &random)
    let other = Int.random(in: 0...file.count, using: &random)
    let span = min(place, other)..<max(place, other)
    switch random.next() % 8 {
    case 0 where place < file.count: file[place] ^= 1 << UInt8(random.next() % 8)
    case 1 where place < file.count: file[place] = UInt8(truncatingIfNeeded: random.next())
    case 2: file.removeSubrange(place..<min(place + 3, file.count))
    case 3: file.insert(contentsOf: Array(file[span]), at: span.upperBound)
    case 4 where random.next() % 4 == 0: file.removeSubrange(place...)
    case 5 where file.count > 11:
        file[Int.random(in: 0..<12, using: &random)] = UInt8(truncatingIfNeeded: random.next())
    default: file.insert(contentsOf: Array(tokens.randomElement(using: &random)!.utf8), at: place)
    }
}

/// Pads the text and writes the length that it now has, if the fixed part still is one.
private func mendLength(_ file: inout [UInt8]) {
    guard file.count >= 12 else { return }
    while !file.count.isMultiple(of: 64) { file.append(UInt8(ascii: " ")) }
    let start = file[6] == 1 ? 10 : 12
    for index in 0..<(start - 8) {
        file[8 + index] = UInt8((file.count - start) >> (8 * index) & 255)
    }
}
