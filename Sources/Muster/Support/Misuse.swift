// Misuse.swift - mistakes of a program that no function can throw for: they end the process with words.
//
// `precondition` has no words in a release build. What can throw says the same as `.invalidArgument`.

/// Ends this process, and says why in every build: in a rank, the loop's error has the words.
@usableFromInline @inline(never)
func misuse(_ words: @autoclosure () -> String) -> Never { fatalError(words()) }

/// The same for a row, whose check is in innermost loops: without text to be made there.
@usableFromInline @inline(never)
func misuseOfRow() -> Never { misuse("the row is beyond this view") }
