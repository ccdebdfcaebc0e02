// SchemaCheck.swift - checks a JSON value against a JSON Schema, as far as Muster's schemas go: a word of
// the language that this doesn't know fails the check, so that no rule is skipped silently.

import Foundation
import Testing

struct SchemaCheck {
    let root: [String: Any]

    /// The schema of `muster bench`, as it is documented.
    static func bench() throws -> SchemaCheck {
        let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let file = top.appendingPathComponent(
            "Sources/Muster/Muster.docc/Resources/muster.bench-1.schema.json")
        let value = try JSONSerialization.jsonObject(with: Data(contentsOf: file))
        return SchemaCheck(root: try #require(value as? [String: Any]))
    }

    /// Fails the test with everything that is wrong.
    func expect(_ value: Any) throws {
        let faults = faults(value, root, "report")
        #expect(faults.isEmpty, "\(faults.prefix(5).joined(separator: "\n"))")
    }

    /// What is wrong with a value, each with where it is.
    func faults(_ value: Any, _ schema: [String: Any], _ place: String) -> [String] {
        var faults: [String] = []
        for (word, rule) in schema {
            switch word {
            case "$schema", "$id", "$defs", "title", "description": break
            case "$ref":
                let name = (rule as? String ?? "").split(separator: "/").last.map(String.init) ?? ""
                guard let target = (root["$defs"] as? [String: Any])?[name] as? [String: Any] else {
                    faults.append("\(place): no schema \(rule)")
                    continue
                }
                faults += self.faults(value, target, place)
            case "type":
                let types = rule as? [String] ?? [rule as? String ?? ""]
                if !types.contains(where: { SchemaCheck.has(value, $0) }) {
                    faults.append("\(place): not \(types.joined(separator: " or "))")
                }
            case "const":
                if "\(value)" != "\(rule)" { faults.append("\(place): not \(rule)") }
            case "required":
                let keys = (value as? [String: Any])?.keys.map(\.self) ?? []
                for key in rule as? [String] ?? [] where !keys.contains(key) {
                    faults.append("\(place): no \(key)")
                }
            case "properties", "additionalProperties": break
            case "items":
                for (index, item) in (value as? [Any] ?? []).enumerated() {
                    faults += self.faults(item, rule as? [String: Any] ?? [:], "\(place)[\(index)]")
                }
            case "minItems":
                if let list = value as? [Any], list.count < rule as? Int ?? 0 {
                    faults.append("\(place): too few")
                }
            case "minimum", "maximum":
                if let number = value as? Double, let bound = rule as? Double,
                    word == "minimum" ? number < bound : number > bound
                {
                    faults.append("\(place): beyond its \(word)")
                }
            case "anyOf", "oneOf":
                let each = (rule as? [[String: Any]] ?? []).map { self.faults(value, $0, place) }
                let passed = each.count { $0.isEmpty }
                if word == "oneOf" ? passed != 1 : passed < 1 {
                    faults.append(
                        "\(place): \(passed) of \(each.count) kinds: "
                            + (each.min { $0.count < $1.count }?.first ?? ""))
                }
            default: faults.append("\(place): this check does not know \(word)")
            }
        }
        return faults + members(value, schema, place)
    }

    /// Properties, named and others.
    private func members(_ value: Any, _ schema: [String: Any], _ place: String) -> [String] {
        guard let object = value as? [String: Any] else { return [] }
        let known = schema["properties"] as? [String: [String: Any]] ?? [:]
        var faults: [String] = []
        for (key, member) in object {
            if let rule = known[key] {
                faults += self.faults(member, rule, "\(place).\(key)")
            } else if let rule = schema["additionalProperties"] as? [String: Any] {
                faults += self.faults(member, rule, "\(place).\(key)")
            } else if schema["additionalProperties"] as? Bool == false {
                faults.append("\(place): unknown key \(key)")
            }
        }
        return faults
    }

    private static func has(_ value: Any, _ type: String) -> Bool {
        let number = value as? NSNumber
        // Foundation on Linux keeps booleans apart by their type's code only.
        let isBoolean = number.map { String(cString: $0.objCType) == "c" } ?? false
        switch type {
        case "null": return value is NSNull
        case "boolean": return isBoolean
        case "string": return value is String
        case "array": return value is [Any]
        case "object": return value is [String: Any]
        case "number": return number != nil && !isBoolean
        case "integer":
            return number.map { !isBoolean && $0.doubleValue == $0.doubleValue.rounded() } ?? false
        default: return false
        }
    }
}

/// The keys of `audit`, which is the same in every command's report, as the schema documents it.
enum AuditKeys {
    static let all: Set<String> = {
        let audit = (try? SchemaCheck.bench())?.root["$defs"] as? [String: [String: Any]]
        return Set((audit?["audit"]?["properties"] as? [String: Any] ?? [:]).keys)
    }()
}
