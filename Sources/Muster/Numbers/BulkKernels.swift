// BulkKernels.swift - the C core's vectorised loops over doubles, as kernels of a team.

internal import MusterCore

/// Loops over doubles that come with Muster: vectorised for the CPU at hand, the same bits on each.
///
/// `streaming` writes past the caches: for arrays that are larger than the last-level cache.
public enum Bulk {
    /// to[i] = from[i]: 16 bytes, 0 flops an element.
    public struct Copy: Kernel {
        let to: SharedArray<Double>.Output
        let from: SharedArray<Double>.Input
        let streaming: Bool

        /// Precondition: arrays of equal length.
        public init(
            to: SharedArray<Double>.Output, from: SharedArray<Double>.Input, streaming: Bool = false
        ) {
            self.to = to
            self.from = from
            self.streaming = streaming
        }

        /// Works on one chunk.
        public func process(_ chunk: borrowing Chunk) throws {
            let from = from.span(chunk)
            to.write(chunk) { to in
                pointers(&to, from) { muster_kernels_best().pointee.copy($0, $1, $2, streaming) }
            }
        }
    }

    /// to[i] = factor * from[i]: 16 bytes, 1 flop an element.
    public struct Scale: Kernel {
        let to: SharedArray<Double>.Output
        let factor: Double
        let from: SharedArray<Double>.Input
        let streaming: Bool

        /// Precondition: arrays of equal length.
        public init(
            to: SharedArray<Double>.Output, factor: Double, from: SharedArray<Double>.Input,
            streaming: Bool = false
        ) {
            self.to = to
            self.factor = factor
            self.from = from
            self.streaming = streaming
        }

        /// Works on one chunk.
        public func process(_ chunk: borrowing Chunk) throws {
            let from = from.span(chunk)
            to.write(chunk) { to in
                pointers(&to, from) {
                    muster_kernels_best().pointee.scale($0, factor, $1, $2, streaming)
                }
            }
        }
    }

    /// to[i] = a[i] + b[i]: 24 bytes, 1 flop an element.
    public struct Add: Kernel {
        let to: SharedArray<Double>.Output
        let a: SharedArray<Double>.Input
        let b: SharedArray<Double>.Input
        let streaming: Bool

        /// Precondition: arrays of equal length.
        public init(
            to: SharedArray<Double>.Output, a: SharedArray<Double>.Input,
            b: SharedArray<Double>.Input, streaming: Bool = false
        ) {
            self.to = to
            self.a = a
            self.b = b
            self.streaming = streaming
        }

        /// Works on one chunk.
        public func process(_ chunk: borrowing Chunk) throws {
            let a = a.span(chunk)
            let b = b.span(chunk)
            to.write(chunk) { to in
                b.withUnsafeBufferPointer { b in
                    pointers(&to, a) {
                        muster_kernels_best().pointee.add($0, $1, b.baseAddress, $2, streaming)
                    }
                }
            }
        }
    }

    /// to[i] = a[i] + factor * b[i]: 24 bytes, 2 flops an element. Never fused.
    public struct Triad: Kernel {
        let to: SharedArray<Double>.Output
        let a: SharedArray<Double>.Input
        let factor: Double
        let b: SharedArray<Double>.Input
        let streaming: Bool

        /// Precondition: arrays of equal length.
        public init(
            to: SharedArray<Double>.Output, a: SharedArray<Double>.Input, factor: Double,
            b: SharedArray<Double>.Input, streaming: Bool = false
        ) {
            self.to = to
            self.a = a
            self.factor = factor
            self.b = b
            self.streaming = streaming
        }

        /// Works on one chunk.
        public func process(_ chunk: borrowing Chunk) throws {
            let a = a.span(chunk)
            let b = b.span(chunk)
            to.write(chunk) { to in
                b.withUnsafeBufferPointer { b in
                    pointers(&to, a) {
                        muster_kernels_best().pointee.triad(
                            $0, $1, factor, b.baseAddress, $2, streaming)
                    }
                }
            }
        }
    }

    /// Sum of an array: 8 bytes, 1 flop an element.
    public struct Sum: Reduction {
        let array: SharedArray<Double>.Input

        /// The sum of `array`.
        public init(_ array: SharedArray<Double>.Input) { self.array = array }

        /// 0
        public var identity: Double { 0 }

        /// Sum of one chunk.
        public func process(_ chunk: borrowing Chunk) throws -> Double {
            array.span(chunk).withUnsafeBufferPointer {
                muster_kernels_best().pointee.sum($0.baseAddress, $0.count)
            }
        }

        /// left + right
        public func combine(_ left: Double, _ right: Double) -> Double { left + right }
    }

    /// Sum of an array without rounding errors: 8 bytes an element. The result, ``ExactSum/Value/rounded``,
    /// is the exact sum rounded once (as Python's `math.fsum`), so it has the same bits for any chunks,
    /// order of elements, team and machine.
    public struct ExactSum: Reduction {
        /// An exact sum: a fixed-point number that has room for any double.
        public struct Value: BitwiseCopyable, Sendable {
            var raw = muster_exact_sum()

            /// The sum of nothing.
            public init() {}

            /// The sum, rounded to the nearest double, ties to even. An infinity where it is beyond the
            /// largest double; NaN where an element was NaN, or infinities of both signs were met.
            public var rounded: Double { withUnsafePointer(to: raw) { muster_exact_round($0) } }

            /// Adds another sum.
            public static func + (left: Value, right: Value) -> Value {
                var both = left
                withUnsafePointer(to: right.raw) { muster_exact_combine(&both.raw, $0) }
                return both
            }
        }

        let array: SharedArray<Double>.Input

        /// The exact sum of `array`.
        public init(_ array: SharedArray<Double>.Input) { self.array = array }

        /// 0
        public var identity: Value { Value() }

        /// Sum of one chunk.
        public func process(_ chunk: borrowing Chunk) throws -> Value {
            var sum = Value()
            array.span(chunk).withUnsafeBufferPointer {
                muster_kernels_best().pointee.exact_sum($0.baseAddress, $0.count, &sum.raw)
            }
            return sum
        }

        /// left + right
        public func combine(_ left: Value, _ right: Value) -> Value { left + right }
    }

    /// Scalar product of two arrays: 16 bytes, 2 flops an element.
    public struct Dot: Reduction {
        let a: SharedArray<Double>.Input
        let b: SharedArray<Double>.Input

        /// The product of `a` and `b`, of equal length.
        public init(_ a: SharedArray<Double>.Input, _ b: SharedArray<Double>.Input) {
            self.a = a
            self.b = b
        }

        /// 0
        public var identity: Double { 0 }

        /// Product of one chunk.
        public func process(_ chunk: borrowing Chunk) throws -> Double {
            let b = b.span(chunk)
            return a.span(chunk).withUnsafeBufferPointer { a in
                b.withUnsafeBufferPointer { b in
                    muster_kernels_best().pointee.dot(a.baseAddress, b.baseAddress, a.count)
                }
            }
        }

        /// left + right
        public func combine(_ left: Double, _ right: Double) -> Double { left + right }
    }
}

/// Hands an output's and an input's memory to a C loop.
private func pointers(
    _ to: inout MutableSpan<Double>, _ from: Span<Double>,
    _ body: (UnsafeMutablePointer<Double>?, UnsafePointer<Double>?, Int) -> Void
) {
    to.withUnsafeMutableBufferPointer { to in
        from.withUnsafeBufferPointer { from in body(to.baseAddress, from.baseAddress, to.count) }
    }
}
