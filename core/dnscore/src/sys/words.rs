//! What the system refuses, in words.

use std::io;

/// The system's words, without the number that Rust puts behind them.
#[must_use]
pub fn in_words(error: &io::Error) -> String {
    let words = error.to_string();
    let number = error.raw_os_error().map(|number| format!(" (os error {number})"));
    number.and_then(|number| Some(words.strip_suffix(&number)?.to_string())).unwrap_or(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_left_out_and_other_words_stay() {
        assert_eq!(in_words(&io::Error::from_raw_os_error(2)), "No such file or directory");
        assert_eq!(in_words(&io::Error::other("a word (os error 2)")), "a word (os error 2)");
    }
}
