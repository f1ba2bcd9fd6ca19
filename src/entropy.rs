//! Randomness for identifiers, from the operating system.

/// Random bytes.
///
/// # Panics
/// When the operating system has no randomness, which Linux rules out once it has booted: an id
/// that could repeat would be worse.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "getrandom(2) cannot fail on a booted Linux")]
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}
