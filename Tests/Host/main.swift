// main.swift - scenarios for team tests.
