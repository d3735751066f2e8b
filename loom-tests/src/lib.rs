//! Models of fusewire's protocols. Run them with `ci/loom`; without its cfg there is nothing here.
//!
//! One file in `tests/` for each room; a test's name states the invariant. `check` explores the model
//! as it ships, and then once more with each planted fault, which must be found: a model that no fault
//! can break proves nothing.
//!
//! What to know before writing one (loom 0.7):
//! - it remembers one last access per atomic, so a plain load before an exchange in one thread hides an
//!   earlier load of another; the engine's loops begin with a read-modify-write under loom, and
//!   observers stand in threads of their own;
//! - it shows no load buffering, so the Release of a lane's store has no fault that it could find;
//! - one coherent word passes under any ordering: to test an ordering, assert on a second location.

#[cfg(fusewire_loom)]
mod harness {
    use fusewire::model::{Mutant, with_mutant};
    use loom::model::Builder;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn explore(preemptions: usize, model: fn()) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = 50_000;
        builder.check(model);
    }

    /// Explores `model` with up to `preemptions` preemptions, then with each of `mutants` planted.
    ///
    /// # Panics
    ///
    /// When the model fails, or a mutant does not.
    pub fn check(preemptions: usize, mutants: &[Mutant], model: fn()) {
        explore(preemptions, model);
        println!("the model holds");
        for &mutant in mutants {
            let survived =
                catch_unwind(AssertUnwindSafe(|| with_mutant(Some(mutant), || explore(preemptions, model))));
            assert!(survived.is_err(), "{mutant:?} was not found");
            println!("{mutant:?} was found");
        }
    }
}

#[cfg(fusewire_loom)]
pub use harness::check;
