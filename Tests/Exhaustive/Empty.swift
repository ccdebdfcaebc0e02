// Exhaustive tests.
