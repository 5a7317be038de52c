//! Where all chance of a run comes from: one number. [`Rng`] makes the faults and the senders' lives; the tables of the
//! standard library, which are seeded by the system, get the same seed in every process.

/// A stream of random numbers (SplitMix64). Streams of one seed are independent.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03));
        rng.next();
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[low, high]`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high.saturating_sub(low) + 1)
    }

    pub fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count.max(1) as u64).expect("less than count")
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// Takes the place of the system's source of randomness in this process: hash tables iterate in the same order, and
/// `tokio::select!` chooses the same branches, in each replay of a seed.
///
/// # Safety
/// As getrandom(2): `buffer` is writable for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    for i in 0..length {
        // SAFETY: the caller gives a buffer of that length.
        unsafe { buffer.add(i).write(u8::try_from(i % 251).unwrap_or(0) ^ 0x5A) };
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}
