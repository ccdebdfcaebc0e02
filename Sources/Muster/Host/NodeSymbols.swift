// NodeSymbols.swift - one character for each node, as strips show them.

/// Characters for nodes: their digit below 10; from 10 on letters, a to z and then A to Z, by rising number
/// of the nodes at hand. Should these be more than the letters, "#" stands for all that are left, and the
/// legend names them.
package struct NodeSymbols {
    private let letters: [Int: Character]

    package init(_ nodes: some Sequence<Int>) {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        let large = Set(nodes).filter { $0 >= 10 }.sorted()
        letters = Dictionary(uniqueKeysWithValues: zip(large, alphabet))
    }

    /// The character of a node, 0 or more.
    package subscript(node: Int) -> Character {
        node < 10 ? Character("\(node)") : letters[node] ?? "#"
    }
}
