// The `.npy` header parser on any bytes and any file size. Compiled together with the parser's own
// sources, so this file is no part of the package.
//
// What must hold: no input traps; a refusal is one line of printable ASCII; an accepted header
// describes exactly the file's bytes; what lies behind the header doesn't change the answer; the
// header written for the same array parses to the same array.

/// Ends the process, which libFuzzer reports as a crash and keeps the input.
private func hold(_ condition: Bool, _ what: @autoclosure () -> String, line: Int = #line) {
    guard !condition else { return }
    fatalError("fuzz_npy.swift:\(line): does not hold: \(what())")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOne(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: data, count: size))
    guard let mode = input.first else { return 0 }
    let rest = Array(input.dropFirst())
    switch mode % 4 {
    case 0: checkFile(rest, fileByteCount: rest.count)
    case 1: checkFile(Array(rest.dropFirst(8)), fileByteCount: Int(truncatingIfNeeded: word(rest)))
    case 2: checkText(rest)
    default: checkWritten(rest)
    }
    return 0
}

/// The first 8 bytes as a little-endian number.
private func word(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
}

private func parse(_ prefix: [UInt8], _ fileByteCount: Int) -> Result<NPYHeader, NPYError> {
    let first = Result { () throws(NPYError) in
        try NPYHeader(prefix: prefix, fileByteCount: fileByteCount)
    }
    if case .failure(let error) = first {
        let scalars = error.description.unicodeScalars
        hold(
            scalars.count < 400 && scalars.allSatisfy { (" "..."~").contains($0) },
            "a message of one line: \(error.description.debugDescription)")
    }
    return first
}

/// Any bytes, with any size of the file that they are the beginning of.
private func checkFile(_ prefix: [UInt8], fileByteCount: Int) {
    let result = parse(prefix, fileByteCount)
    let needed = Result { () throws(NPYError) in
        try NPYHeader.requiredPrefix(prefix, fileByteCount: fileByteCount)
    }
    switch (needed, result) {
    case (.failure(let one), .failure(let other)): hold(one == other, "\(one), then \(other)")
    case (.failure(let error), .success): hold(false, "parsed, though \(error)")
    case (.success(let needed), .failure(let error)):
        hold(needed <= NPYHeader.maximumByteCount && needed <= fileByteCount, "\(needed) needed")
        hold(
            (error.reason == .prefixTooShort) == (prefix.count < needed),
            "\(needed) of \(prefix.count) bytes needed: \(error)")
    case (.success(let needed), .success(let header)):
        hold(needed == header.dataOffset, "\(needed) needed, data at \(header.dataOffset)")
        check(header, of: prefix, fileByteCount)
    }
}

/// A header whose magic and length are right, around any text: finds the one size that its file can
/// have, if there is one, by asking whether each size is too small or too large.
private func checkText(_ input: [UInt8]) {
    let form = input.first ?? 0
    var text = Array(input.dropFirst())
    // So deep that a parser without a bound would run out of stack.
    if form & 64 != 0, let parenthesis = text.firstIndex(of: UInt8(ascii: "(")) {
        text.insert(contentsOf: repeatElement(text[parenthesis], count: 200_000), at: parenthesis)
    }
    let major = 1 + form % 3
    let lengthByteCount = major == 1 ? 2 : 4
    guard text.count < 1 << (8 * lengthByteCount) else { return }
    var prefix: [UInt8] = [0x93] + Array("NUMPY".utf8) + [major, 0]
    for index in 0..<lengthByteCount {
        prefix.append(UInt8(truncatingIfNeeded: text.count >> (8 * index)))
    }
    prefix += text
    // Half of the inputs are aligned as NumPy does it, or few would be accepted.
    if form & 128 == 0 {
        let padding = 63 - prefix.count % 64
        prefix += Array(repeating: 0x20, count: padding) + [0x0A]
        let length = prefix.count - 8 - lengthByteCount
        for index in 0..<lengthByteCount {
            prefix[8 + index] = UInt8(truncatingIfNeeded: length >> (8 * index))
        }
    }
    var sizes = prefix.count...Int.max
    while true {
        let size = sizes.lowerBound + (sizes.upperBound - sizes.lowerBound) / 2
        checkFile(prefix, fileByteCount: size)
        guard case .failure(let error) = parse(prefix, size) else { return }
        if error.reason == .dataTruncated, size < sizes.upperBound {
            sizes = (size + 1)...sizes.upperBound
        } else if error.reason == .dataTooLong {
            hold(size > sizes.lowerBound, "\(size) bytes are too many, and one less too few")
            sizes = sizes.lowerBound...(size - 1)
        } else {
            return
        }
    }
}

/// What must hold of an accepted header.
private func check(_ header: NPYHeader, of prefix: [UInt8], _ fileByteCount: Int) {
    var count = 1
    var overflows = false
    for length in header.shape {
        hold(length >= 0, "a negative length")
        let (product, overflow) = count.multipliedReportingOverflow(by: length)
        overflows = overflows || overflow
        count = product
    }
    if header.shape.contains(0) { (count, overflows) = (0, false) }
    hold(!overflows && count == header.count, "shape \(header.shape), count \(header.count)")
    hold(header.shape.count <= NPYHeader.maximumDimensionCount, "\(header.shape.count) dimensions")
    let (byteCount, tooMany) = count.multipliedReportingOverflow(by: header.dtype.byteCount)
    hold(!tooMany && byteCount == header.dataByteCount, "\(header.dataByteCount) bytes")
    hold(header.dataOffset >= 10 && header.dataOffset <= prefix.count, "at \(header.dataOffset)")
    hold(fileByteCount - header.dataOffset == byteCount, "the data end elsewhere than the file")
    let isAligned = header.dataOffset % header.dtype.byteCount == 0
    hold(header.isAligned == isAligned, "alignment")
    let isDirect = (try? header.requireDirectView()) != nil
    hold(
        isDirect == (isAligned && !header.isFortranOrder && !header.isBigEndian),
        "a view of \(header)")
    hold((1...3).contains(header.version.major) && header.version.minor == 0, "version")
    #if MUSTER_FUZZ_CANARY
        hold(header.count < 6, "the canary: more elements than in any seed")
    #endif

    // What was read beyond the header, or not read, makes no difference.
    let head = Array(prefix.prefix(header.dataOffset))
    for other in [head, head + [0x27, 0x7D, 0x93]] {
        hold((try? parse(other, fileByteCount).get()) == header, "depends on bytes behind it")
    }
    if case .failure(let error) = parse(Array(head.dropLast()), fileByteCount) {
        hold(error.reason == .prefixTooShort, "cut by one byte: \(error)")
    } else {
        hold(false, "cut by one byte, and accepted")
    }
    checkWritten(header.dtype, header.shape)
}

/// Any type and any shape, written.
private func checkWritten(_ input: [UInt8]) {
    guard input.count >= 2 else { return }
    let dtype = DType.allCases[Int(input[0]) % DType.allCases.count]
    var lengths = input.dropFirst(2)
    var shape: [Int] = []
    for _ in 0..<(Int(input[1]) % (NPYHeader.maximumDimensionCount + 1)) {
        // Mostly small, or few products would fit.
        let isSmall = (lengths.popFirst() ?? 0) < 240
        let length = word(lengths.prefix(isSmall ? 1 : 8))
        lengths = lengths.dropFirst(isSmall ? 1 : 8)
        shape.append(Int(truncatingIfNeeded: length & UInt64(Int.max)))
    }
    checkWritten(dtype, shape)
}

private func checkWritten(_ dtype: DType, _ shape: [Int]) {
    let written = NPYHeader.encode(dtype: dtype, shape: shape)
    hold(written.count % 64 == 0 && written.last == 0x0A, "\(written.count) bytes")
    hold(written.count <= NPYHeader.prefixByteCount, "\(written.count) bytes, more than a page")
    var byteCount = dtype.byteCount
    var overflows = false
    for length in shape where length > 0 {
        let (product, overflow) = byteCount.multipliedReportingOverflow(by: length)
        overflows = overflows || overflow
        byteCount = product
    }
    if shape.contains(0) { byteCount = 0 }
    let (size, tooLong) = written.count.addingReportingOverflow(byteCount)
    let result = parse(written, overflows || tooLong ? Int.max : size)
    if overflows || tooLong {
        guard case .failure(let error) = result else { return hold(false, "\(shape) was accepted") }
        hold(error.reason == (overflows ? .countOverflow : .dataTruncated), "\(shape): \(error)")
        return
    }
    guard case .success(let header) = result else { return hold(false, "\(shape): \(result)") }
    hold(header.dtype == dtype && header.shape == shape, "\(dtype) \(shape) became \(header)")
    hold(header.dataOffset == written.count && header.version.major == 1, "\(header)")
}
