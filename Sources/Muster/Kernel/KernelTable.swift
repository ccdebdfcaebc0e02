// KernelTable.swift - kernels that a team has seen: how a worker finds the type, and which arrays it uses.
//
// A forked worker finds a kernel's type by the two words of its existential metatype (metadata and
// witness table). They are right in the worker when both lie in the program's image, or when the type
// was known before the worker was forked; a generic type first used later is found by its mangled name;
// a private generic type has no such name, so idle workers are forked again.
//
// Ranks of a fork server are other processes of the same program: types in the program's image are
// found by their place in it, others by mangled name, and private generic ones not at all.

internal import MusterCore
@_spi(Reflection) import Swift

/// An access within a kernel's bytes.
struct AccessField {
    let offset: Int
    let kind: AccessKind
    let elementBytes: Int
    /// What a C kernel's access says of its array's length; in Swift its type does.
    var flags: UInt32 = 0
    /// Where in the kernel's bytes the number of elements that one index stands for is; nil: it is 1.
    var rowOffset: Int?
    /// The stored property, a string that lives as long as the program; nil: of a C kernel.
    var name: UnsafePointer<CChar>?

    /// Bytes from `offset` by which one access differs from another.
    var byteCount: Int {
        let handle = MemoryLayout<_ArrayHandle>.size
        return rowOffset == offset + handle ? handle + MemoryLayout<Int>.size : handle
    }

    /// Elements that one index of the loop stands for: 1 or more, where the access makes sense.
    func elementsPerIndex(in kernel: UnsafeRawBufferPointer) -> Int {
        rowOffset.map { kernel.loadUnaligned(fromByteOffset: $0, as: Int.self) } ?? 1
    }

    func handle(in kernel: UnsafeRawBufferPointer) -> _ArrayHandle {
        kernel.loadUnaligned(fromByteOffset: offset, as: _ArrayHandle.self)
    }

    /// The elements of this array that a chunk owns: those that its rank may write, and that a journal
    /// keeps. Of an input: those within the array. In C: `muster_work_elements`.
    func elements(
        ownedBy chunk: muster_chunk, in kernel: UnsafeRawBufferPointer
    ) -> Range<Int> {
        let owned = withUnsafePointer(to: chunk) {
            muster_chunk_elements($0, UInt64(elementsPerIndex(in: kernel)))
        }
        let most = UInt64(handle(in: kernel).count)
        return Int(min(owned.first, most))..<Int(min(owned.end, most))
    }
}

/// How a worker that was forked before the kernel was known can find its type.
enum KernelLookup {
    /// By the metatype's words.
    case image
    /// By mangled name.
    case name([UInt8])
    /// Not at all.
    case fork
    /// In another process of this program: by the places of the metatype's words in its image.
    case program(UInt, UInt)
    /// In another process of this program: not at all.
    case nowhere
}

/// A kernel type.
struct KernelEntry {
    let id: UInt32
    let type: any _Work.Type
    let lookup: KernelLookup
    let accesses: [AccessField]
    /// Whether it has properties in which there may be accesses that reflection does not see.
    let hidesAccesses: Bool
    /// For error messages.
    var name: String { type is CKernel.Type ? "the kernel" : "\(type)" }
}

/// The kernel types of a team, numbered in the order of their first use.
struct KernelTable {
    private(set) var entries: [KernelEntry] = []
    private var numbers: [ObjectIdentifier: Int] = [:]
    /// Whether the ranks are other processes of this program, not forked from this one.
    var isForServer = false
    /// Whether they are processes of another program, which has the library but not this image.
    var isForOtherProgram = false

    /// The entry of a type, made on its first use.
    mutating func entry<Work: _Work>(for type: Work.Type) -> KernelEntry {
        if let number = numbers[ObjectIdentifier(type)] { return entries[number] }
        var hidesAccesses = false
        let accesses = KernelTable.accesses(in: type, &hidesAccesses)
        let entry = KernelEntry(
            id: UInt32(entries.count), type: type,
            lookup: isForServer
                ? KernelTable.lookupAcross(type, isOther: isForOtherProgram)
                : KernelTable.lookup(type),
            accesses: accesses, hidesAccesses: hidesAccesses)
        numbers[ObjectIdentifier(type)] = entries.count
        entries.append(entry)
        return entry
    }

    /// The two words of a metatype. An existential metatype of a protocol without class constraint is
    /// metadata and witness table: part of the stable ABI on every platform ("TypeMetadata.rst").
    static func words(of type: any _Work.Type) -> (UInt, UInt) {
        // `as`: without it the existential is opened, and a concrete metatype has other bytes.
        unsafeBitCast(type as any _Work.Type, to: (UInt, UInt).self)
    }

    static func type(words: (UInt, UInt)) -> any _Work.Type {
        unsafeBitCast(words, to: (any _Work.Type).self)
    }

    /// Whether a type's metadata is complete in the program's image: not generic (the runtime makes such
    /// metadata when first used, at first in a buffer of its own image), and not initialised at run
    /// time. Flags of the nominal type descriptor, which the second word points to; part of the stable
    /// ABI ("TypeMetadata.rst", "Nominal type descriptor").
    static func isComplete(_ metadata: UInt) -> Bool {
        let words = UnsafePointer<UInt>(bitPattern: metadata)!
        let isStructure = words[0] == 0x200
        let isEnumeration = words[0] == 0x201
        guard isStructure || isEnumeration else { return false }
        let flags = UnsafePointer<UInt32>(bitPattern: words[1])!.pointee
        let isGeneric = flags & 0x80 != 0
        let isInitialisedLater = (flags >> 16) & 3 != 0
        return !isGeneric && !isInitialisedLater
    }

    private static func lookup<Work: _Work>(_ type: Work.Type) -> KernelLookup {
        let (metadata, witnesses) = words(of: type)
        let inImage =
            isComplete(metadata)
            && [metadata, witnesses].allSatisfy { word in
                muster_address_is_static(UnsafeRawPointer(bitPattern: word))
            }
        if inImage { return .image }
        // Names of private types hold references that only mean something to their own image.
        if let name = _mangledTypeName(type), let found = _typeByName(name),
            ObjectIdentifier(found) == ObjectIdentifier(type)
        {
            return .name(Array(name.utf8))
        }
        return .fork
    }

    private static func accesses(in type: Any.Type, _ hides: inout Bool) -> [AccessField] {
        var found: [AccessField] = []
        collect(type, nil, at: 0, depth: 0, into: &found, &hides)
        return found
    }

    /// Walks stored properties, structures within structures too. Accesses inside enumerations (an
    /// optional access, say) are not seen: then `hides` becomes true.
    private static func collect(
        _ type: Any.Type, _ name: UnsafePointer<CChar>?, at base: Int, depth: Int,
        into found: inout [AccessField], _ hides: inout Bool
    ) {
        guard depth < 16 else {
            hides = true
            return
        }
        if let access = type as? any ArrayAccess.Type {
            found.append(
                AccessField(
                    offset: base, kind: access.kind, elementBytes: access.elementBytes,
                    flags: access.isGather ? MUSTER_USE_GATHER.rawValue : 0,
                    rowOffset: access.hasRows ? base + MemoryLayout<_ArrayHandle>.size : nil,
                    name: name))
            return
        }
        var inner: [(Int, Any.Type, UnsafePointer<CChar>)] = []
        var isHidden = false
        _ = _forEachField(of: type, options: .init(rawValue: 2)) { name, offset, fieldType, kind in
            if kind == .struct || kind == .tuple { inner.append((offset, fieldType, name)) }
            isHidden = isHidden || kind == .enum || kind == .optional
            return true
        }
        hides = hides || isHidden
        for (offset, fieldType, name) in inner {
            collect(fieldType, name, at: base + offset, depth: depth + 1, into: &found, &hides)
        }
    }
}
