//! Failure rates of many breakers.

use fearless_simd::{Simd, f64x8, prelude::*, u64x8};

/// Below this length the twin is used.
pub const SHORT: usize = 16;

/// `count as f64`, in operations that every target has for several numbers at once: the halves of the count become
/// the low bits of 2^52 and of 2^84, whose sum, less those two, is rounded once.
#[inline(always)]
fn float(count: u64) -> f64 {
    const LOW: f64 = 4_503_599_627_370_496.0;
    const HIGH: f64 = LOW * 4_294_967_296.0;
    let low = f64::from_bits(LOW.to_bits() | (count & 0xFFFF_FFFF));
    let high = f64::from_bits(HIGH.to_bits() | (count >> 32));
    (high - (HIGH + LOW)) + low
}

#[inline(always)]
pub fn twin(calls: &[u64], failures: &[u64], rates: &mut [f64]) {
    for ((calls, failures), rate) in calls.iter().zip(failures).zip(rates) {
        let divisor = float(*calls);
        let quotient = float(*failures) / divisor;
        *rate = if divisor == 0.0 { 0.0 } else { quotient };
    }
}

#[inline(always)]
pub fn kernel<S: Simd>(simd: S, calls: &[u64], failures: &[u64], rates: &mut [f64]) {
    let common = calls.len().min(failures.len()).min(rates.len());
    let (calls, calls_tail) = calls[..common].as_chunks::<8>();
    let (failures, failures_tail) = failures[..common].as_chunks::<8>();
    let (rates, rates_tail) = rates[..common].as_chunks_mut::<8>();
    let zero = f64x8::splat(simd, 0.0);
    for ((calls, failures), rates) in calls.iter().zip(failures).zip(rates) {
        let divisor: f64x8<S> = u64x8::load_array_ref(simd, calls).to_float();
        let failures: f64x8<S> = u64x8::load_array_ref(simd, failures).to_float();
        divisor.simd_eq(zero).select(zero, failures / divisor).store_array(rates);
    }
    twin(calls_tail, failures_tail, rates_tail);
}
