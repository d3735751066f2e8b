//! A hot path of one's own that embeds the engine, and its gate: what a user of Fusewire puts into `benches/`.
//!
//! `cargo run --release -p fusewire-harness --example orders -- --bench` measures it; docs/perf-gating.md explains.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fusewire::{CircuitBreaker, Clock, Limiter, TokenBucketRateLimiter};
use fusewire_harness::{Gate, HotPath};

/// What sends orders to a venue: at most so many a second, and none while the venue fails.
struct Orders {
    venue: CircuitBreaker,
    rate: TokenBucketRateLimiter,
    sent: AtomicU64,
}

impl Orders {
    fn new() -> Self {
        let venue = CircuitBreaker::builder("venue").build().expect("a valid configuration");
        let rate = TokenBucketRateLimiter::builder("orders").rate(1e9).capacity(1_000_000_000);
        let rate = rate.clock(Clock::precise()).build().expect("a valid configuration");
        Self { venue, rate, sent: AtomicU64::new(0) }
    }

    /// The hot path: whether the order went out.
    fn send(&self, price: u64) -> bool {
        let Ok(permit) = self.venue.try_acquire() else { return false };
        if self.rate.try_acquire().is_err() {
            return false; // the permit is cancelled
        }
        black_box(price);
        self.sent.fetch_add(1, Relaxed);
        permit.success();
        true
    }
}

/// The paths, on instances that are new each time.
fn paths() -> [HotPath; 2] {
    let orders = Arc::new(Orders::new());
    let seen = Arc::clone(&orders);
    let send = HotPath::new("send", move || orders.send(black_box(100)));
    // A number for a path that does not do its work would be worth nothing.
    send.run(1000);
    assert_eq!(seen.sent.load(Relaxed), 1000, "every order goes out");

    let rate = TokenBucketRateLimiter::builder("alone").rate(1e9).capacity(1_000_000_000);
    let rate = rate.clock(Clock::precise()).build().expect("a valid configuration");
    [send, HotPath::new("limiter alone", move || rate.try_acquire().is_ok())]
}

fn main() -> ExitCode {
    // A bench has env!("CARGO_TARGET_TMPDIR") for the file.
    let file = std::env::temp_dir().join("orders-gate.json");
    Gate::new(include_str!("orders.toml"), paths).json(file).main()
}
