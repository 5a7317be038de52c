//! A generator of pseudo-random numbers whose results never change: a seed printed today replays tomorrow.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The numbers of one case: cases do not depend on each other, so that each can be replayed alone.
    pub fn of_case(seed: u64, case: u64) -> Self {
        let mut rng = Rng(seed);
        Rng(rng.next() ^ case.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }

    /// Both ends included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// A number that is small, at an edge of some type, or anything.
    pub fn number(&mut self) -> i64 {
        const EDGES: [i64; 14] = [
            0,
            1,
            -1,
            127,
            255,
            65_535,
            i32::MAX as i64,
            i32::MIN as i64,
            u32::MAX as i64,
            i64::MAX,
            i64::MIN,
            253_402_300_800,
            -62_135_596_801,
            8_210_266_876_800,
        ];
        match self.below(4) {
            0 => self.below(10) as i64,
            1 => self.below(4_000_000_000) as i64 - 2_000_000_000,
            2 => EDGES[self.below(EDGES.len())],
            _ => self.next() as i64 >> self.below(64),
        }
    }
}
