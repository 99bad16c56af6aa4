//! Random inputs for tests.

/// Inputs of all kinds, the same in every run (xorshift64*).
pub(crate) fn random_inputs(count: u64) -> impl Iterator<Item = Vec<u8>> {
    (1..=count).map(|seed| {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
        };
        let length = next() % 900;
        (0..length).map(|_| next().to_le_bytes()[0]).collect()
    })
}
