// MusterBench.swift - measuring.
