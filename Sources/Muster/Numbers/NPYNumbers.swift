// NPYNumbers.swift - the numbers of a `.npy` file in any layout that NumPy reads: Fortran order,
// big-endian, data that are not aligned to the element.
//
// An array is mapped and read where it lies, so none of these can be a `SharedArray<Double>`. Statistics
// need less: order doesn't matter to them, the kernels read elements of any alignment, and bytes are
// swapped in pieces that stay in the caches.

internal import MusterCore

/// A `.npy` file of any element type and layout, mapped for statistics.
///
/// ```swift
/// let numbers = try team.numbers(npy: "data.npy")
/// let (statistics, report) = try team.statistics(of: numbers)
/// ```
public struct NPYNumbers: ~Copyable {
    /// What the file's header says.
    public let header: NPYHeader
    let bytes: SharedArray<UInt8>

    /// The file.
    public var path: String { bytes.path ?? "" }

    /// Number of elements.
    public var count: Int { header.count }

    var input: NumberInput {
        NumberInput(
            bytes: bytes.rows(of: header.dtype.byteCount).input, count: header.count,
            stride: header.dtype.byteCount,
            dtype: header.dtype.code, isSwapped: header.isBigEndian)
    }
}

extension Team {
    /// Maps a `.npy` file for statistics, read-only.
    ///
    /// Reads what ``array(npy:as:writable:)`` reads, and also Fortran order, big-endian data and data that
    /// are not aligned.
    ///
    /// - Throws: As ``array(npy:as:writable:)``.
    public func numbers(npy path: String) throws(MusterError) -> NPYNumbers {
        let file = try BackingFile(opening: path, writable: false)
        do throws(MusterError) {
            let header = try NPYHeader(file)
            let bytes: SharedArray<UInt8> = try mapped(
                file, dataOffset: header.dataOffset, dtype: nil, shape: [header.dataByteCount],
                writable: false)
            return NPYNumbers(header: header, bytes: bytes)
        } catch {
            muster_file_close(file.descriptor)
            throw error
        }
    }
}

/// Elements of a type that is known only when the program runs, for kernels that read them.
///
/// The bytes are an access of its own type, so that a team finds it in a kernel by reflection: rows of
/// the bytes of an element.
struct NumberInput: BitwiseCopyable, Sendable {
    let bytes: SharedArray<UInt8>.Rows.Input
    let count: Int
    /// Bytes of an element.
    let stride: Int
    /// enum muster_type
    let dtype: UInt32
    let isSwapped: Bool

    /// Lends the chunk's elements in this machine's byte order, at any alignment.
    func withElements(
        of chunk: borrowing Chunk, _ body: (_ start: UnsafeRawPointer?, _ count: Int) -> Void
    ) {
        let range = chunk.range
        let span = bytes.span(chunk)
        span.withUnsafeBytes { raw in
            guard isSwapped, let start = raw.baseAddress else {
                return body(raw.baseAddress, range.count)
            }
            // Up to 512 KiB, which stays in the second-level cache; more only where a histogram has
            // so many bins that its chunks grow.
            withUnsafeTemporaryAllocation(byteCount: raw.count, alignment: 8) { swapped in
                muster_swap_bytes(swapped.baseAddress, start, range.count, stride)
                body(UnsafeRawPointer(swapped.baseAddress), range.count)
            }
        }
    }
}
