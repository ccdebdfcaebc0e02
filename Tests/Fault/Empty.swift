// Fault tests.
