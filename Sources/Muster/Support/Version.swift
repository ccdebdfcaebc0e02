// Version.swift - which Muster this is.

internal import MusterCore

/// The version of Muster.
public enum Version {
    /// "0.1.0"
    public static var text: String { MUSTER_VERSION }
}
