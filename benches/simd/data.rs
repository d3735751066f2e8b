//! What the kernels are measured on.

use fastrand::Rng;

/// Slots of a histogram with 128 of them for each power of two, over 15 powers.
pub const SLOTS: usize = 1920;
/// Breakers of a dashboard.
pub const BREAKERS: usize = 10_000;

/// Words that begin so many bytes after a multiple of 64.
pub struct Row {
    words: Vec<u64>,
    begin: usize,
}

impl Row {
    pub fn new(words: &[u64], offset: usize) -> Self {
        let mut row = vec![0; words.len() + 16];
        let begin = row.as_ptr().align_offset(64) + offset / size_of::<u64>();
        row.truncate(begin);
        row.extend_from_slice(words);
        Self { words: row, begin }
    }

    pub fn words(&self) -> &[u64] {
        &self.words[self.begin..]
    }

    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words[self.begin..]
    }
}

/// Latencies that gather around a slot in the middle, most of them within a quarter of all slots.
pub fn histogram(slots: usize, seed: u64) -> Vec<u64> {
    let mut rng = Rng::with_seed(seed);
    let mut counts = vec![0; slots];
    for _ in 0..slots * 50 {
        let slot: usize = (0..4).map(|_| rng.usize(0..slots)).sum();
        counts[slot / 4] += rng.u64(0..100);
    }
    counts
}

/// Sets of ascending ranks of a histogram, so many and so different that no processor remembers where they lie.
pub fn ranks(counts: &[u64], each: usize, seed: u64) -> Vec<Vec<u64>> {
    let mut rng = Rng::with_seed(seed);
    let total: u64 = counts.iter().sum();
    let mut set = || {
        let mut ranks: Vec<u64> = (0..each).map(|_| rng.u64(1..=total)).collect();
        ranks.sort_unstable();
        ranks
    };
    (0..512).map(|_| set()).collect()
}

/// Calls, failures and states of many breakers, some of them without calls.
pub fn breakers(n: usize, seed: u64) -> (Vec<u64>, Vec<u64>, Vec<u8>) {
    let mut rng = Rng::with_seed(seed);
    let calls: Vec<u64> = (0..n).map(|_| rng.u64(0..1_000_000) * rng.u64(0..8).min(1)).collect();
    let failures = calls.iter().map(|calls| rng.u64(0..=*calls)).collect();
    let states = (0..n).map(|_| rng.u8(0..4)).collect();
    (calls, failures, states)
}
