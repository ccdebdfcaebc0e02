// NPYTypeTests.swift - the names under 'descr', each read as numpy.dtype of NumPy 2.4 reads it.

import Muster
import Testing

@Suite("NPY type names")
struct NPYTypeTests {
    /// As `numpy.dtype(name).str` says on 64-bit Linux.
    static let names: [(DType, [String])] = [
        (.f2, ["float16", "half", "e", "f2", "=f2", "|e"]),
        (.f4, ["float32", "single", "f", "f4", "<f", "|f4"]),
        (.f8, ["float64", "double", "float", "d", "f8", "=f8", "<d", "|d", "f08"]),
        (.i1, ["int8", "byte", "b", "i1", "|i1", "<b", ">i1", ">b"]),
        (.i2, ["int16", "short", "h", "i2", "<h"]),
        (.i4, ["int32", "intc", "i", "i4", "=i"]),
        (
            .i8,
            [
                "int64", "int", "int_", "long", "longlong", "intp", "l", "q", "p", "n", "i8", "<l",
            ]
        ),
        (.u1, ["uint8", "ubyte", "B", "u1", "<u1"]),
        (.u2, ["uint16", "ushort", "H", "u2"]),
        (.u4, ["uint32", "uintc", "I", "u4"]),
        (
            .u8,
            ["uint64", "uint", "ulong", "ulonglong", "uintp", "L", "Q", "P", "N", "u8", "=Q"]
        ),
        (.bool, ["bool", "bool_", "?", "b1", "|b1", "<?", "|?", ">?", "=b1"]),
    ]

    private func parse(_ descr: String) throws(NPYError) -> NPYHeader {
        let file = npy("{'descr': '\(descr)', 'fortran_order': False, 'shape': (0,)}")
        return try NPYHeader(prefix: file, fileByteCount: file.count)
    }

    @Test("Names, character codes and sizes, in this machine's order", arguments: names)
    func native(_ sample: (dtype: DType, names: [String])) throws {
        for name in sample.names {
            let header = try parse(name)
            #expect(header.dtype == sample.dtype && !header.isBigEndian, "\(name)")
        }
    }

    @Test("A code after '>' is big-endian")
    func bigEndian() throws {
        for (name, dtype) in [
            (">e", DType.f2), (">f4", .f4), (">d", .f8), (">h", .i2), (">i4", .i4), (">l", .i8),
            (">H", .u2), (">I", .u4), (">Q", .u8), (">u8", .u8),
        ] {
            let header = try parse(name)
            #expect(header.dtype == dtype && header.isBigEndian, "\(name)")
        }
    }

    @Test("What NumPy doesn't know, and what has no statistics, is refused with what it is")
    func refused() {
        let samples: [(NPYError.Reason, String, [String])] = [
            (
                .unsupportedDType, "NumPy does not know",
                [
                    "<float64", ">half", "=int", "Float64", "float_", "float8", "bfloat16", "u",
                    "f3",
                    "f1", "u3", "d8", "?1", "B1", "e2", "float64 ", " f8", "", "<", "<<f8", "i16",
                ]
            ),
            (.structuredDType, "structures", ["f8,f4", "(2,)f8", "2f8", "1d", "()f8"]),
            (.objectDType, "Python objects", ["O", "|O", "object", "object_", "O8"]),
            (
                .complexDType, "complex",
                ["c8", "<c16", "F", "D", "G", "complex", "complex64", "cdouble"]
            ),
            (.unsupportedDType, "dates", ["M8", "<M8[ns]", "datetime64", "datetime64[D]", "M"]),
            (.unsupportedDType, "time spans", ["m8", ">m8[us]", "timedelta64[s]", "m"]),
            (
                .unsupportedDType, "extended-precision",
                ["g", "f16", "<f16", "longdouble", "float128"]
            ),
            (.unsupportedDType, "strings", ["S", "|S5", "<U3", "str", "bytes_", "T", "c", "a5"]),
            (.unsupportedDType, "raw bytes", ["V", "|V3", "void"]),
        ]
        for (reason, words, names) in samples {
            for name in names {
                do throws(NPYError) {
                    let header = try parse(name)
                    Issue.record("\(name) was read as \(header.dtype)")
                } catch {
                    #expect(error.reason == reason, "\(name)")
                    #expect(error.description.contains(words), "\(name): \(error)")
                    #expect(isOneLine(error), "\(name)")
                }
            }
        }
    }
}
