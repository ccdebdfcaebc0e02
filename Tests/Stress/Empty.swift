// Stress tests.
